"""The programs of contrib/bench, as modules and as commands."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

from running import ENVIRONMENT, to_its_end

ROOT = Path(__file__).resolve().parent.parent


def bench_module(name: str) -> ModuleType:
    """contrib/bench/NAME.py."""
    if str(ROOT) not in sys.path:
        sys.path.append(str(ROOT))  # at the end: an installed flowfs comes first
    return importlib.import_module(f"contrib.bench.{name}")


def run_bench(
    name: str, cache: Path, *arguments: str | Path, timeout_s: float = 120
) -> subprocess.CompletedProcess[str]:
    """contrib/bench/NAME.py with the flowfs that is tested, and its captures in `cache`."""
    command = [sys.executable, ROOT / f"contrib/bench/{name}.py", *arguments]
    command += ["--flowfs", f"{sys.executable} -P -m flowfs"]
    environment = {**ENVIRONMENT, "XDG_CACHE_HOME": str(cache)}
    return to_its_end(command, environment, timeout_s)
