"""Imports point one way: a module knows the layers below its own and nothing else, in Python and in Cython.

A module stands in exactly one layer; those that share a layer do not know each other (the parts of a package do).
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = ROOT / "src" / "pushcast"
EXTENSIONS = ROOT / "ext" / "pushcast"

# From the bottom up.
EXTENSION_LAYERS = [
    [
        "wire",
        "frame",
        "libsrt",
        "libssl",
        "bits",
        "monotonic",
        "atomics",
        "prefetch",
        "epoll",
        "wakeup",
        "splice",
        "wrap",
        "tcpinfo",
    ],
    ["psisection", "tscheck", "flvtag", "message", "tspackets"],
    [
        "tspids",
        "nal",
        "aac",
        "ring",
        "chunk",
        "transport",
        "counters",
        "srt",
        "mailbox",
        "tlscontext",
        "verifypsi",
        "verifypes",
        "verifyflv",
    ],
    [
        "sps",
        "pes",
        "muxer",
        "pace",
        "run",
        "srtconnector",
        "srttransport",
        "rtptransport",
        "tls",
        "overload",
        "wheel",
        "verifyts",
        "verifyrtmp",
    ],
    ["videoconfig", "verify", "selfcheck", "sinks", "cursor", "gopcache", "mediasocket", "tlstransport"],
    ["intake", "mpegts", "flv", "sinktcp", "sinksrt", "destination"],
    ["cbr"],
    ["measured", "sender", "pulse", "sinkrtmp", "feed"],
    ["source"],
    ["esparser", "relay"],
    ["nalparser", "audioparser", "timebase"],
    ["tsinput", "flvinput"],
    ["tstap"],
    ["tssocket", "srtlistener"],
]
PYTHON_LAYERS = [
    ["errors", "file_url", "garbage", "turnstile", "tsoptions", "places", "heap", "descriptors"],
    ["log", "media", "psi", "login_limit", "retry", "bounded", "opus"],
    ["tscodecs", "fourcc"],
    ["selection"],
    ["destinations", "listen_url", "pull_url", "wildcard"],
    ["config_sentence"],
    ["config_types"],
    ["config_sections"],
    ["config"],
    ["access_token", "store", "access", "audit", "output_profile", "publish_token"],
    ["admission"],
    ["rtmp"],
    ["cuepoint", "flvcodecs"],
    ["stream", "push_state"],
    ["ingest", "egress"],
    ["backups", "health", "presets"],
    ["settings"],
    ["connect"],
    ["session"],
    ["push"],
    ["timetable"],
    ["scheduler"],
    ["desired", "events", "statistics", "streammap_rule"],
    ["streammap_file"],
    ["streammap"],
    ["api"],
    ["server"],
    ["sink", "demo"],
    ["cli"],
    ["__main__"],
]
# The extensions stand between the vocabulary and those who carry media.
TOUCH_EXTENSIONS = {
    "flvcodecs",
    "rtmp",
    "stream",
    "ingest",
    "egress",
    "health",
    "sink",
    "session",
    "connect",
    "push",
    "statistics",
    "server",
}
EXTENSIONS_MAY_IMPORT = {
    "errors",
    "media",
    "cuepoint",
    "flvcodecs",
    "fourcc",
    "log",
    "opus",
    "psi",
    "rtmp",
    "tscodecs",
    "tsoptions",
}


def python_modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(SOURCES.rglob("*.py")):
        parts = path.relative_to(SOURCES).with_suffix("").parts
        yield ".".join(part for part in parts if part != "__init__"), path


def extension_modules() -> list[str]:
    return sorted(path.stem for path in EXTENSIONS.glob("*.pyx"))


def layer_of(name: str, layers: list[list[str]]) -> int:
    return next(number for number, layer in enumerate(layers) if name in layer)


def imports_of(path: Path) -> set[str]:
    """Units of pushcast (modules and packages right below it) that a Python file imports, wherever in the file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            if node.module == "pushcast":
                names.update(f"pushcast.{alias.name}" for alias in node.names if alias.name != "__version__")
            elif node.module:
                names.add(node.module)
    return {name.split(".")[1] for name in names if name.startswith("pushcast.")}


def extension_imports(module: str) -> tuple[set[str], set[str]]:
    """(extensions, Python modules) that a .pyx and its .pxd import or cimport."""
    found: set[str] = set()
    for path in (EXTENSIONS / f"{module}.pyx", EXTENSIONS / f"{module}.pxd"):
        text = path.read_text() if path.exists() else ""
        found.update(re.findall(r"^\s*(?:from|c?import)\s+pushcast\.(\w+)", text, re.MULTILINE))
        for names in re.findall(r"^\s*from\s+pushcast\s+c?import\s+(.+)$", text, re.MULTILINE):
            found.update(name.split()[0] for name in names.strip("()").split(",") if name.strip() != "__version__")
    found.discard(module)
    known = set(chain.from_iterable(EXTENSION_LAYERS))
    return found & known, found - known


def test_every_module_stands_in_one_layer() -> None:
    python = list(chain.from_iterable(PYTHON_LAYERS))
    extensions = list(chain.from_iterable(EXTENSION_LAYERS))
    assert len(set(python + extensions)) == len(python + extensions)
    present = {name.split(".")[0] for name, _ in python_modules() if name}
    assert present == set(python)
    written = {path.stem for path in [*EXTENSIONS.glob("*.pyx"), *EXTENSIONS.glob("*.pxd")]} - {"__init__"}
    assert written == set(extensions)


@pytest.mark.parametrize(("name", "path"), [(name, path) for name, path in python_modules() if name])
def test_python_imports_point_down(name: str, path: Path) -> None:
    unit = name.split(".")[0]
    known = set(chain.from_iterable(EXTENSION_LAYERS))
    for imported in imports_of(path) - {unit}:
        if imported in known:
            assert unit in TOUCH_EXTENSIONS, f"{name} imports the extension {imported}"
        else:
            below, own = layer_of(imported, PYTHON_LAYERS), layer_of(unit, PYTHON_LAYERS)
            assert below < own, f"{name} imports {imported}, which does not stand below it"


@pytest.mark.parametrize("module", extension_modules())
def test_extension_imports_point_down(module: str) -> None:
    extensions, python = extension_imports(module)
    for imported in extensions:
        below, own = layer_of(imported, EXTENSION_LAYERS), layer_of(module, EXTENSION_LAYERS)
        assert below < own, f"{module}.pyx imports {imported}, which does not stand below it"
    assert python <= EXTENSIONS_MAY_IMPORT, f"{module}.pyx imports {sorted(python - EXTENSIONS_MAY_IMPORT)}"


@pytest.mark.parametrize("module", extension_modules())
def test_an_extension_has_its_declarations_and_its_stub(module: str) -> None:
    assert (EXTENSIONS / f"{module}.pxd").exists()
    assert (SOURCES / f"{module}.pyi").exists()


def test_every_module_imports_alone() -> None:
    """Each in a process of its own, forked from one that has loaded the third parties and nothing of pushcast."""
    names = [f"pushcast.{name}" if name else "pushcast" for name, _ in python_modules()]
    names += [f"pushcast.{module}" for module in extension_modules()]
    program = """
import os, sys
import aiohttp, av, click, jwt, orjson, pydantic_settings, rich, sanic
assert not any(name.split(".")[0] == "pushcast" for name in sys.modules)
failed, running = [], {}
def reap():
    child, status = os.wait()
    name = running.pop(child)
    if status:
        failed.append(name)
for name in sys.argv[1:]:
    if len(running) == os.cpu_count():
        reap()
    child = os.fork()
    if child == 0:
        try:
            __import__(name)
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    running[child] = name
while running:
    reap()
print(" ".join(failed))
sys.exit(bool(failed))
"""
    answer = subprocess.run(
        [sys.executable, "-c", program, *names], capture_output=True, text=True, timeout=60, cwd=ROOT / "src"
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
