"""Compiles flowfs/core into extension modules while a wheel is built.

Owns the way from `flowfs/core/X.py` with `X.pxd` beside it to `X.cpython-*.so` in the wheel. Knows
nothing of what the modules do. What is always true: all of them are compiled or none is; the source
tree is only read; without a working compiler the wheel is pure, works the same, and says so once.

`FLOWFS_CORE` in the environment decides otherwise: `compiled` makes a failure to compile an error, and
`interpreted` does not try.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

CORE = Path("flowfs", "core")
# Not compiled although a .pxd may stand beside them: the package itself, three helpers whose .pxd replaces
# them in C, and the budgets, a frozen dataclass that nothing hot reads.
PLAIN = frozenset(("__init__", "memory", "pages", "seq", "limits"))
# -O3 measured the same speed in a larger file. -g0: nobody debugs the generated C, and without it the wheel
# is a quarter of the size.
COMPILER_FLAGS = ["-O2", "-g0"]
# The types of C come from the .pxd alone: annotations say `int` where Python's is meant. What a module
# leaves unchecked (boundscheck, wraparound, cdivision) it says in its own first line.
DIRECTIVES = {"language_level": 3, "annotation_typing": False}


def compiled_modules(root: Path) -> list[str]:
    """The names of the core's modules that are to be compiled, in order."""
    declared = (path.stem for path in (root / CORE).glob("*.pxd") if path.with_suffix(".py").exists())
    return sorted(name for name in declared if name not in PLAIN)


def compile_core(root: Path, scratch: Path) -> dict[str, str]:
    """Compiles the core into `scratch`; returns {extension file: its path in the wheel}.

    Raises whatever Cython or setuptools raise when they fail.
    """
    from Cython.Build import cythonize
    from setuptools import Distribution, Extension
    from setuptools.command.build_ext import build_ext

    package = ".".join(CORE.parts)
    extensions = [
        Extension(f"{package}.{name}", [str(CORE / f"{name}.py")], extra_compile_args=COMPILER_FLAGS)
        for name in compiled_modules(root)
    ]
    jobs = min(len(extensions), len(os.sched_getaffinity(0)))
    # Cython names modules by their path from here, and finds the .pxd of a package from here.
    with contextlib.chdir(root):
        sources = cythonize(
            extensions,
            build_dir=str(scratch),
            nthreads=jobs,
            force=True,
            quiet=True,
            compiler_directives=DIRECTIVES,
        )
        command = build_ext(Distribution({"name": "flowfs", "ext_modules": sources}))
        command.build_lib, command.build_temp = str(scratch / "lib"), str(scratch / "objects")
        command.parallel = jobs
        command.ensure_finalized()
        command.run()
    built = (scratch / "lib").rglob("*.so")
    return {str(path): str(path.relative_to(scratch / "lib")) for path in built}


class CoreBuildHook(BuildHookInterface):  # type: ignore[type-arg]  # its parameter is the builder's configuration, unused here
    """hatchling finds this class by what it derives from."""

    _scratch: tempfile.TemporaryDirectory[str] | None = None

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Adds the extension modules to the wheel; an editable one runs its sources as they are."""
        wish = os.environ.get("FLOWFS_CORE", "")
        if version == "editable" or wish == "interpreted" or not compiled_modules(Path(self.root)):
            return
        self._scratch = tempfile.TemporaryDirectory(prefix="flowfs-build-")
        try:
            included = compile_core(Path(self.root), Path(self._scratch.name))
        except (Exception, SystemExit) as error:  # setuptools and Cython raise what they like
            self._scratch.cleanup()
            if wish == "compiled":
                raise
            self.app.display_warning(f"flowfs: the core is not compiled and will run interpreted ({error})")
            return
        build_data["force_include"].update(included)
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Removes what was generated."""
        if self._scratch is not None:
            self._scratch.cleanup()


if __name__ == "__main__":
    sys.exit("this is a hatchling build hook; build a wheel with: pip wheel --no-deps .")
