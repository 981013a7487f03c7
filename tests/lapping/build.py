"""Compiles gated.pyx against the extensions' declarations."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from Cython.Build import cythonize
from setuptools import Distribution, Extension

HERE = Path(__file__).parent
DECLARATIONS = HERE.parent.parent / "ext"


def gated(folder: Path) -> ModuleType:
    """The module, compiled in this folder."""
    extension = Extension("gated", [str(HERE / "gated.pyx")], extra_compile_args=["-O1", "-Wno-unused-function"])
    built = cythonize(
        [extension], include_path=[str(DECLARATIONS)], build_dir=str(folder), language_level=3, quiet=True
    )
    command = Distribution({"ext_modules": built}).get_command_obj("build_ext")
    command.build_lib, command.build_temp = str(folder), str(folder)
    command.ensure_finalized()
    command.run()
    spec = importlib.util.spec_from_file_location("gated", next(folder.glob("gated*.so")))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["gated"] = module
    spec.loader.exec_module(module)
    return module
