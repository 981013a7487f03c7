"""Builds the extension modules in ext/pushcast.

Switches, all environment variables:
  MODULES="ring mpegts"  build only these modules (a fast turn while working on one)
  DEBUG=1                invariant checks and no optimisation
  SANITIZE=address       (or thread, undefined) instrument the extensions
  SANITIZE=fuzz          coverage for libFuzzer with the address sanitizer and traps at undefined behaviour; needs clang
"""

import os
import shlex
import subprocess
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

SOURCES = Path("ext/pushcast")
DEBUG = os.environ.get("DEBUG", "0") == "1"
SANITIZE = os.environ.get("SANITIZE", "")
# Both are what whoever preloads them brings along: nothing is linked.
FUZZ = ["-fsanitize=fuzzer-no-link,address"]
TRAPS = ["-fsanitize=shift,bounds,integer-divide-by-zero", "-fsanitize-trap=shift,bounds,integer-divide-by-zero"]
LIBRARIES = dict.fromkeys(("srt", "srtconnector", "srtlistener", "srttransport", "sinksrt"), ("srt",)) | dict.fromkeys(
    ("tls", "tlscontext"), ("openssl",)
)


def pkg_config(package: str, *what: str) -> list[str]:
    try:
        answer = subprocess.run(["pkg-config", *what, package], check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise SystemExit(
            f"pushcast needs the development files of '{package}': tools/system-packages build installs them"
        ) from error
    return shlex.split(answer.stdout)


def extension(source: Path) -> Extension:
    compile_args = ["-O0", "-g"] if DEBUG else ["-O2", "-g1"]
    compile_args += ["-std=gnu11", "-Wall", "-Wno-unused-function", "-Wno-sign-compare"]
    # Said here, because what an interpreter was built with differs: everybody's extensions are the same code.
    compile_args += ["-fstack-protector-strong", "-fwrapv"]
    link_args: list[str] = []
    if SANITIZE:
        checks = FUZZ + TRAPS if SANITIZE == "fuzz" else [f"-fsanitize={SANITIZE}"]
        compile_args += [*checks, "-fno-omit-frame-pointer", "-O1"]
        link_args += checks
    if SANITIZE == "thread":
        # It knows no fences.  They stand only around bytes of a ring that are used again: it is told so in ring.pyx.
        compile_args += ["-Wno-tsan"]
    for package in LIBRARIES.get(source.stem, ()):
        compile_args += pkg_config(package, "--cflags")
        link_args += pkg_config(package, "--libs")
    return Extension(
        f"pushcast.{source.stem}",
        [str(source)],
        include_dirs=[str(SOURCES)],
        define_macros=[("PUSHCAST_DEBUG", "1" if DEBUG else "0")],
        extra_compile_args=compile_args,
        extra_link_args=link_args,
    )


def modules() -> list[Extension]:
    chosen = os.environ.get("MODULES", "").split()
    sources = sorted(SOURCES.glob("*.pyx"))
    return [extension(source) for source in sources if not chosen or source.stem in chosen]


if SANITIZE == "fuzz":
    os.environ["CC"] = "clang"

setup(
    ext_modules=cythonize(
        modules(),
        include_path=["ext"],
        build_dir=os.environ.get("CYTHON_BUILD_DIR", "build/cython"),
        compiler_directives={
            "language_level": 3,
            "boundscheck": True,
            "wraparound": False,
            "cdivision": True,
            "embedsignature": True,
            "freethreading_compatible": False,
        },
    ),
)
