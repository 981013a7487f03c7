"""Compiles the C programs and the muxing loop into build/bench, when their sources are newer than what lies there."""

from __future__ import annotations

import shlex
import subprocess
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT / "bench"
OUTPUT = ROOT / "build" / "bench"
COMPILE = ["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-std=gnu11"]

# program: the sources beside its own, and the pkg-config packages it needs
PROGRAMS = {
    "raw_udp": (("pace.c", "pace.h"), ""),
    "raw_tcp": (("pace.c", "pace.h"), ""),
    "raw_srt": (("pace.c", "pace.h", "srt_callers.c", "srt_callers.h"), "srt"),
    "relay_srt": (("discard.c", "discard.h", "srt_callers.c", "srt_callers.h"), "srt"),
    "relay_ip": (("discard.c", "discard.h"), ""),
    "discard_udp": (("discard.c", "discard.h"), ""),
    "discard_ports": (("discard.c", "discard.h"), ""),
    "discard_tcp": (("discard.c", "discard.h", "rtmp_answer.c", "rtmp_answer.h"), ""),
    "fast_srt": (("srt_listener.c", "srt_listener.h", "discard.c", "discard.h"), ""),
    "stamp_rtmp": (("stamps.c", "stamps.h", "rtmp_answer.c", "rtmp_answer.h", "discard.c", "discard.h"), ""),
    "stamp_udp": (("stamps.c", "stamps.h", "discard.c", "discard.h"), ""),
    "stamp_srt": (("stamps.c", "stamps.h", "srt_listener.c", "srt_listener.h", "discard.c", "discard.h"), ""),
    "av_mux": ((), "libavformat libavcodec libavutil"),
}


def program(name: str) -> Path:
    """The path of a program, compiled if need be.  CalledProcessError shows what the compiler said."""
    others, packages = PROGRAMS[name]
    sources = [SOURCES / f"{name}.c", *(SOURCES / other for other in others)]
    binary = OUTPUT / name
    if _stale(binary, sources):
        flags = shlex.split(_run(["pkg-config", "--cflags", "--libs", *packages.split()])) if packages else []
        OUTPUT.mkdir(parents=True, exist_ok=True)
        fresh = binary.with_suffix(".new")
        _run([*COMPILE, "-o", str(fresh), *(str(source) for source in sources if source.suffix == ".c"), *flags])
        fresh.replace(binary)
    return binary


def module(source: Path, output: Path) -> None:
    """Compile a Cython module that calls C faces of the extensions: no Python call is in what it measures."""
    product = output / f"{source.stem}{sysconfig.get_config_var('EXT_SUFFIX')}"
    if not _stale(product, [source, *(ROOT / "ext" / "pushcast").glob("*.pxd")]):
        return
    from Cython.Build import cythonize
    from setuptools import Distribution, Extension  # type: ignore[import-untyped]

    output.mkdir(parents=True, exist_ok=True)
    extension = Extension(source.stem, [str(source)], extra_compile_args=["-O2", "-g1", "-Wno-unused-function"])
    built = cythonize(  # type: ignore[no-untyped-call]
        [extension], include_path=[str(ROOT / "ext")], build_dir=str(output / "cython"), language_level=3
    )
    command = Distribution({"ext_modules": built}).get_command_obj("build_ext")
    command.build_lib, command.build_temp = str(output), str(output / "temp")
    command.ensure_finalized()
    command.run()


def _stale(product: Path, sources: list[Path]) -> bool:
    return not product.exists() or any(source.stat().st_mtime > product.stat().st_mtime for source in sources)


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{shlex.join(command)}\n{done.stderr}")
    return done.stdout
