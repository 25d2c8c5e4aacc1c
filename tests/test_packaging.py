"""What contrib/ builds: the compiled core, and the bundled capture."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def build_hook() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_hook", ROOT / "contrib" / "build_hook.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    """A source tree whose core has one module to compile."""
    core = tmp_path / "toy" / "flowfs" / "core"
    core.mkdir(parents=True)
    (core.parent / "__init__.py").touch()
    (core / "__init__.py").touch()
    (core / "limits.py").touch()
    (core / "sum.py").write_text("def add(a: int, b: int) -> int:\n    return a + b\n")
    (core / "sum.pxd").write_text("cpdef long long add(long long a, long long b) noexcept\n")
    return tmp_path / "toy"


def built(build_hook: ModuleType, root: Path, version: str = "standard") -> SimpleNamespace:
    """What the hook does to the wheel's data, and what it warns of."""
    warnings: list[str] = []
    app = SimpleNamespace(display_warning=warnings.append)
    hook = build_hook.CoreBuildHook(str(root), {}, None, None, str(root), "wheel", app)
    data: dict[str, Any] = {"force_include": {}, "pure_python": True, "infer_tag": False}
    hook.initialize(version, data)
    files = {Path(path).suffix: Path(path).exists() for path in data["force_include"]}
    hook.finalize(version, data, "")
    return SimpleNamespace(data=data, warnings=warnings, files=files)


def everything_in(root: Path) -> set[Path]:
    return {path for path in root.rglob("*") if "__pycache__" not in path.parts}


@pytest.mark.slow
def test_the_core_is_compiled_beside_the_sources(
    build_hook: ModuleType, toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWFS_CORE", "compiled")
    before = everything_in(toy)
    wheel = built(build_hook, toy)
    assert wheel.files == {".so": True}
    (place,) = wheel.data["force_include"].values()
    assert place.startswith("flowfs/core/sum.")
    assert (wheel.data["pure_python"], wheel.data["infer_tag"]) == (False, True)
    assert everything_in(toy) == before
    assert not any(Path(path).exists() for path in wheel.data["force_include"])


@pytest.mark.parametrize("version", ["standard", "editable"])
def test_no_compiler_no_complaint_unless_one_was_asked_for(
    build_hook: ModuleType, toy: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    def no_compiler(root: Path, scratch: Path) -> dict[str, str]:
        raise OSError("no compiler")

    monkeypatch.setattr(build_hook, "compile_core", no_compiler)
    monkeypatch.delenv("FLOWFS_CORE", raising=False)
    wheel = built(build_hook, toy, version)
    assert wheel.data == {"force_include": {}, "pure_python": True, "infer_tag": False}
    assert len(wheel.warnings) == (version == "standard")
    monkeypatch.setenv("FLOWFS_CORE", "compiled")
    if version == "standard":
        with pytest.raises(OSError, match="no compiler"):
            built(build_hook, toy)


def test_what_is_compiled_is_what_has_c_types(build_hook: ModuleType, toy: Path) -> None:
    assert build_hook.compiled_modules(toy) == ["sum"]


def test_the_bundled_capture_is_what_its_script_writes(tmp_path: Path) -> None:
    script = ROOT / "contrib" / "make_demo.py"
    subprocess.run([sys.executable, script, tmp_path / "demo.pcap"], check=True)
    assert (tmp_path / "demo.pcap").read_bytes() == (ROOT / "contrib" / "demo.pcap").read_bytes()


STAMP = """
. "$1/contrib/common.sh"
printf '%s\\n' "$(readlink -f -- "$python") $2  ${packages[*]} $(sources_hash)" > "$2/flowfs-stamp"
"""


@pytest.mark.needs("fuse")
@pytest.mark.parametrize("word", ["-h", "--help", "help", "-V"])
def test_the_script_says_where_it_keeps_things(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    """With an environment that is up to date, so that nothing is installed."""
    flowfs = tmp_path / "bin" / "flowfs"
    flowfs.parent.mkdir()
    flowfs.write_text('#!/bin/sh\necho "flowfs $*, called $FLOWFS_COMMAND"\n')
    flowfs.chmod(0o755)
    subprocess.run(["bash", "-c", STAMP, "bash", ROOT, tmp_path], check=True)
    monkeypatch.setenv("FLOWFS_VENV", str(tmp_path))
    (tmp_path / "a b").symlink_to(ROOT / "contrib")
    for folder, shown in ((ROOT / "contrib", f"{ROOT}/contrib"), ("a b", "a\\ b"), ("./a b", "./a\\ b")):
        command = [f"{folder}/run", word]
        said = subprocess.check_output(command, text=True, cwd=tmp_path)
        assert said.startswith(f"flowfs {word}, called {shown}/run\n")
    assert (f"contrib/run keeps flowfs in {tmp_path}; FLOWFS_VENV=DIR" in said) == (word != "-V")
