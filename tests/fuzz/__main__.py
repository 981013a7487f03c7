"""`python -m fuzz TARGET [libFuzzer's arguments]`, in the build that `make fuzz` makes.

libFuzzer and the address sanitizer come with atheris as one library, which must be there before Python starts: this
starts itself again with it.  Python's own allocator is turned off, so that each object has red zones of its own.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

OPTIONS = {
    "ASAN_OPTIONS": "detect_leaks=0:quarantine_size_mb=16:allocator_may_return_null=1:handle_sigill=1:abort_on_error=0",
    "PYTHONMALLOC": "malloc",
    "PYTHONHASHSEED": "1",
}
# Whose coverage counts beside that of the extensions.
PARSERS = [f"pushcast.{name}" for name in ("rtmp.amf0", "flvcodecs", "tscodecs", "opus", "psi", "cuepoint")]


def restart(library: Path) -> None:
    """Replace this process by the same one with the library."""
    environment = {**os.environ, **OPTIONS, "LD_PRELOAD": str(library)}
    os.execve(sys.executable, [sys.executable, "-m", "fuzz", *sys.argv[1:]], environment)


def main() -> None:
    import atheris

    library = Path(atheris.path()) / "asan_with_fuzzer.so"
    if os.environ.get("LD_PRELOAD") != str(library):
        restart(library)
    with atheris.instrument_imports(include=PARSERS):
        from fuzz.receiver import make_cheap
        from fuzz.targets import TARGETS
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"usage: python -m fuzz {{{'|'.join(TARGETS)}}} [libFuzzer's arguments]")
    make_cheap(setattr)
    # libFuzzer starts itself again by its first argument, in a shell, when it merges.
    itself = f"{sys.executable} -m fuzz {sys.argv[1]}"
    atheris.Setup([itself, *sys.argv[2:]], TARGETS[sys.argv[1]].run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
