"""Runs one target of tests/fuzz under atheris: fuzz.py TARGET FOLDER... [libFuzzer's options].

New inputs go into the first folder. Owns no target: those are plain functions that pytest replays as well
(tests/fuzz). Always true: what is fuzzed is the checkout, interpreted, since atheris sees only bytecode; its
instrumentation is of flowfs and dpkt, not of the code that makes up packets and looks at the outcome.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import atheris

ROOT = Path(__file__).resolve().parents[2]
FUZZED = ("flowfs.core.engine", "flowfs.capture", "flowfs.dissect", "flowfs.tree.names")


def main() -> None:
    sys.path[:1] = [str(ROOT), str(ROOT / "tests")]  # in the place of contrib/fuzz
    with atheris.instrument_imports(include=["flowfs", "dpkt"]):
        for module in FUZZED:
            importlib.import_module(module)
    import flowfs.core
    from fuzz.targets import TARGETS

    name, *rest = sys.argv[1:] or [""]
    if name not in TARGETS:
        sys.exit(f"{Path(__file__).name}: targets are {', '.join(TARGETS)}")
    if flowfs.core.compiled():
        sys.exit(f"{Path(__file__).name}: the core is compiled, and atheris sees nothing of it")
    atheris.Setup([sys.argv[0], *rest], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
