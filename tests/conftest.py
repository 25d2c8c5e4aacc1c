"""What every test may rely on: which core is under test, what the machine has, and that nothing stays behind.

Owns the marker `needs` and the fixtures `captures` and `mount`. `FLOWFS_CORE` (compiled or interpreted) in
the environment is a promise about the flowfs that is imported; it is checked before any test runs. Where the
environment says `CI`, a test that is skipped for want of something in the machine fails.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import hypothesis
import pytest

from mounted.served import Served, served

ROOT = Path(__file__).resolve().parent.parent
CAPTURES = Path(os.environ.get("FLOWFS_CAPTURES") or ROOT.parent / "shared" / "captures")
IN_CI = os.environ.get("CI", "").lower() not in ("", "0", "false")

# Two busy cores say nothing about how long an example takes, and `contrib/check` as root leaves no database
# behind that a user could not write to.
hypothesis.settings.register_profile("flowfs", deadline=None, database=None, print_blob=True)
hypothesis.settings.load_profile("flowfs")


# --- which flowfs ------------------------------------------------------------------------------


def pytest_configure() -> None:
    """Refuses to test another core than the one promised; lets Ctrl-C end what the tests start."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's `&` has it ignored, by children too
    promised = os.environ.get("FLOWFS_CORE")
    if promised and (fault := core_fault(promised)):
        raise pytest.UsageError(f"FLOWFS_CORE={promised}, but {fault}")


def core_fault(promised: str) -> str | None:
    """What speaks against `promised`: one line, or None."""
    import flowfs.core

    if promised not in ("compiled", "interpreted"):
        return "it is either compiled or interpreted"
    folder = Path(flowfs.core.__file__).parent
    compiled = promised == "compiled"
    if compiled and folder.is_relative_to(ROOT / "flowfs"):
        return f"flowfs is imported from the sources in {folder}"
    if compiled != flowfs.core.compiled():
        return f"flowfs.core.compiled() says {not compiled}"
    for name in declared_modules(folder):
        spec = importlib.util.find_spec(f"flowfs.core.{name}")
        if spec is None or spec.origin is None or compiled != spec.origin.endswith(".so"):
            return f"flowfs.core.{name} comes from {spec and spec.origin}"
    return None


def declared_modules(core: Path) -> list[str]:
    """The modules of the core that contrib/build_hook.py compiles: those with a .pxd but these."""
    return sorted({path.stem for path in core.glob("*.pxd")} - {"memory", "pages", "seq", "limits"})


def pytest_report_header() -> str:
    """Says which flowfs is tested."""
    spec = importlib.util.find_spec("flowfs")
    return f"flowfs: {spec and spec.origin}, core: {os.environ.get('FLOWFS_CORE', 'as found')}"


# --- what the machine has ----------------------------------------------------------------------


def lacks_fuse() -> str | None:
    """Why no file system can be mounted here, or None."""
    if shutil.which("fusermount3") is None:
        return "there is no fusermount3 (Debian package fuse3)"
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as error:
        return f"/dev/fuse cannot be opened: {error.strerror}"
    # Root mounts by itself, and in a container it is often denied; a user has fusermount3 do it.
    return lacks_namespace("--mount") if os.geteuid() == 0 else None


def lacks_root() -> str | None:
    """Why nothing can be done that only root may: mount for others, give up rights, make namespaces."""
    return None if os.geteuid() == 0 else "only root may do that"


def lacks_netns() -> str | None:
    """Why no network namespace can be made here, or None."""
    if reason := lacks_root():
        return reason
    if shutil.which("ip") is None:
        return "there is no ip (Debian package iproute2)"
    return lacks_namespace("--net")


def lacks_namespace(kind: str) -> str | None:
    """Whether root really has its rights, or None if so."""
    tried = subprocess.run(["unshare", kind, "true"], capture_output=True, text=True, check=False)
    return f"unshare {kind}: {tried.stderr.strip()}" if tried.returncode else None


def lacks_captures() -> str | None:
    """Why the collected captures are not to be had, or None."""
    return None if CAPTURES.is_dir() else f"there is no folder {CAPTURES} (FLOWFS_CAPTURES names another)"


def lacks_program(name: str) -> str | None:
    """Why another program cannot be asked, or None. Its Debian package has its name."""
    return None if shutil.which(name) else f"there is no {name} (Debian package {name})"


LACKS: dict[str, Callable[[], str | None]] = {
    "root": lacks_root,
    "fuse": functools.cache(lacks_fuse),
    "netns": functools.cache(lacks_netns),
    "captures": functools.cache(lacks_captures),
    "tcpdump": functools.partial(lacks_program, "tcpdump"),
    "tshark": functools.partial(lacks_program, "tshark"),
    "tcpflow": functools.partial(lacks_program, "tcpflow"),
    "swaks": functools.partial(lacks_program, "swaks"),
}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips a test whose needs are not met, by name."""
    for what in needs_of(item):
        if reason := LACKS[what]():
            pytest.skip(f"needs {what}: {reason}")


def needs_of(item: pytest.Item) -> list[str]:
    """What the markers of a test name, the closest first. Raises KeyError for what is none of LACKS."""
    needs = [what for marker in item.iter_markers("needs") for what in marker.args]
    if unknown := set(needs) - LACKS.keys():
        raise KeyError(f"{item.nodeid} needs {sorted(unknown)}; known are {sorted(LACKS)}")
    return needs


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI, whoever skips a test with needs has made it fail."""
    report = yield
    if IN_CI and report.skipped and not hasattr(report, "wasxfail") and item.get_closest_marker("needs"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"In CI this test must run. {reason}"
    return report


@pytest.fixture(scope="session")
def captures() -> Path:
    """The folder of collected captures; the test carries `@pytest.mark.needs("captures")`."""
    return CAPTURES


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Served]:
    """A mount to read from, and to feed; the test carries `@pytest.mark.needs("fuse")`."""
    with served(tmp_path / "flows") as mount:
        yield mount


# --- nothing is left behind --------------------------------------------------------------------


@pytest.fixture(scope="session", autouse=True)
def _nothing_stays_mounted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fails the session that leaves something mounted in its temporary folders, and unmounts it."""
    yield
    left = mounted_below(tmp_path_factory.getbasetemp())
    for place in left:
        subprocess.run(["fusermount3", "-uz", place], check=False)
    assert not left, f"still mounted after the tests: {left}"


def mounted_below(folder: Path) -> list[str]:
    """The mount points below `folder`, the innermost first."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    places = [unescaped(line.split()[4]) for line in lines]
    return sorted((place for place in places if Path(place).is_relative_to(folder)), reverse=True)


def unescaped(place: str) -> str:
    """A path of mountinfo, where blanks and backslashes are octal (proc_pid_mountinfo(5))."""
    return place.encode().decode("unicode_escape").encode("latin-1").decode()
