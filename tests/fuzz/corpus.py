"""The corpora: for each target one archive of inputs, which git and a reader of the tree see as one file.

`python -m fuzz.corpus unpack TARGET FOLDER` makes a folder of it, as libFuzzer wants one, and `pack TARGET FOLDER` an
archive of a folder.  An archive is the same bytes for the same inputs, whenever it is made.  An input that was a bug's
stands beside the others as `bug-<what it was>`, and stays when a corpus is minimised anew.
"""

from __future__ import annotations

import hashlib
import sys
import zipfile
from pathlib import Path

FOLDER = Path(__file__).with_name("corpus")
BUG = "bug-"
_ALWAYS = (1980, 1, 1, 0, 0, 0)  # what a zip file may begin with


def archive(target: str) -> Path:
    return FOLDER / f"{target}.zip"


def load(target: str) -> dict[str, bytes]:
    """The inputs of a target by name; none when it has no archive yet."""
    if not archive(target).exists():
        return {}
    with zipfile.ZipFile(archive(target)) as packed:
        return {name: packed.read(name) for name in packed.namelist()}


def save(target: str, inputs: dict[str, bytes]) -> None:
    FOLDER.mkdir(exist_ok=True)
    with zipfile.ZipFile(archive(target), "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
        for name in sorted(inputs):
            packed.writestr(zipfile.ZipInfo(name, _ALWAYS), inputs[name], zipfile.ZIP_DEFLATED, 9)


def unpack(target: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in load(target).items():
        (folder / name).write_bytes(data)


def pack(target: str, folder: Path) -> None:
    """The inputs of a folder, and the bugs' that were there before."""
    bugs = {name: data for name, data in load(target).items() if name.startswith(BUG)}
    found = {}
    for path in folder.iterdir():
        data = path.read_bytes()
        found[path.name if path.name.startswith(BUG) else hashlib.sha1(data).hexdigest()[:16]] = data
    save(target, found | bugs)


if __name__ == "__main__":
    {"pack": pack, "unpack": unpack}[sys.argv[1]](sys.argv[2], Path(sys.argv[3]))
