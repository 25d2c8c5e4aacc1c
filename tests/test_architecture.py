"""The laws of the house: who may import what, and what the core never does.

Owns the plan of the imports as data (ROOMS, CORE, LIBRARIES) and a checker that reads sources without
running them. What is always true: a module that the plan does not name is a violation, so a new one is
given its place here first.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping, Set
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

LONGEST_MODULE = 450  # lines; a reader sees one idea at a time

# Which room imports from which. `flowfs` is the version alone.
ROOMS: Mapping[str, frozenset[str]] = {
    room: frozenset(others.split())
    for room, others in {
        "flowfs": "",
        "core": "",
        "templates": "",
        "config": "core templates",
        "called": "",
        "guessing": "",
        "mountpoint": "serving called",
        "interfaces": "config",
        "dissect": "core",
        "capture": "core config called",  # config knows the defaults and ranges of what is opened
        "tree": "core templates flowfs",
        "mount": "mountpoint guessing tree core",
        "archive": "core tree",
        "background": "",
        "rights": "",
        "early": "dissect config core",
        "complaints": "summary config core",
        "summary": "config",
        "signals": "",
        "ending": "",
        "serving": "ending",
        "keeper": "mountpoint signals archive tree background config core",
        "heap": "",
        "systemd": "",
        "app": "keeper ending heap systemd signals complaints summary mount capture dissect tree config core"
        " background rights flowfs",
        "cli": "early app keeper ending signals archive mount mountpoint summary interfaces capture"
        " background rights called guessing config templates core flowfs",
        "__main__": "cli",
    }.items()
}

# Which module of the core imports which.
CORE: Mapping[str, frozenset[str]] = {
    module: frozenset(others.split())
    for module, others in {
        "core": "engine",  # compiled() asks the top one
        "limits": "",
        "counters": "",
        "memory": "",
        "pages": "",
        "ranges": "",
        "records": "memory limits",
        "notes": "counters limits",
        "links": "",
        "seq": "",
        "drops": "limits",
        "turn": "memory",
        "order": "",
        "decode": "memory counters limits",
        "arena": "memory limits",
        "evict": "order memory limits",
        "ladder": "evict order",
        "policies": "ladder evict limits order",
        "flow": "evict ranges memory limits",
        "fragment": "limits",
        "defrag": "fragment evict order counters limits",
        "pending": "evict limits",
        "saving": "flow arena evict counters limits",
        "register": "flow evict memory",
        "bundle": "memory",
        "parcel": "bundle flow arena memory limits",
        "store": "register saving parcel flow arena policies evict ranges memory counters limits",
        "exchange": "order memory counters limits",
        "assembly": "exchange store flow pending notes ranges memory counters limits",
        "doubt": "exchange assembly pending notes ranges limits",
        "pickup": "doubt exchange assembly memory pending notes seq limits",
        "window": "memory",
        "reach": "pickup exchange assembly memory window seq limits",
        "uncommon": "assembly",
        "ends": "uncommon reach exchange assembly flow memory pending notes limits",
        "afar": "uncommon ends exchange assembly pending notes ranges limits",
        "stream": "uncommon afar exchange assembly flow memory notes ranges seq counters limits",
        "recent": "stream memory",
        "table": "links recent stream assembly store flow pending decode drops notes memory counters limits",
        "dormant": "bundle parcel uncommon stream window exchange assembly flow evict decode notes order seq"
        " limits",
        "roster": "flow limits memory",
        "deadlines": "memory limits",
        "sleepers": "roster dormant parcel bundle table stream store flow evict decode notes order memory"
        " counters limits",
        "flows": "sleepers deadlines dormant stream afar assembly store saving evict flow decode order"
        " counters limits",
        "timeouts": "flows deadlines dormant stream flow order limits",
        "claims": "timeouts stream assembly flow decode limits",
        "rivals": "claims flows stream assembly flow decode order notes limits",
        "midway": "rivals stream assembly flow pending decode limits",
        "lone": "midway stream assembly flow decode seq limits",
        "refusal": "lone stream assembly flow decode notes seq limits",
        "reopening": "refusal stream assembly flow decode notes limits",
        "life": "uncommon reopening stream assembly store flow decode notes order seq counters limits",
        "gauges": "life store defrag assembly pending limits",
        "desk": "life roster register store flow notes turn counters limits",
        "engine": "desk links gauges recent defrag arena decode memory pages counters limits",
        "unsaved": "dormant engine evict flow limits store",
        "dialogue": "engine stream flow",
    }.items()
}

# Who imports what is not in the standard library.
LIBRARIES: Mapping[str, frozenset[str]] = {
    library: frozenset(rooms.split())
    for library, rooms in {
        "pcapy": "capture",
        "dpkt": "dissect",
        "pyfuse3": "mount",
        "trio": "app capture mount",
        "rich": "cli summary complaints keeper archive",  # outside cli for its words for sizes
        "backports": "capture",
        "compression": "capture",  # what backports.zstd is from Python 3.14 on
        "cython": "core",
    }.items()
}

# The core is silent and clockless, and does no input or output.
NOT_IN_CORE = frozenset(
    "asyncio datetime http io logging multiprocessing pathlib posix select selectors shutil signal socket ssl"
    " subprocess tempfile time urllib warnings".split()
)
NOT_CALLED_IN_CORE = frozenset(("breakpoint", "input", "open", "print"))

# Modules of the core that run interpreted everywhere.
PLAIN = {
    "core": "no more than a docstring",
    "limits": "a frozen dataclass that nothing hot reads",
    "memory": "memory.pxd stands for it in C",
    "pages": "pages.pxd stands for it in C",
    "seq": "seq.pxd stands for it in C",
    "ranges": "touched once a hole, not once a packet",
    "drops": "told of some ten times a second at the most",
    "unsaved": "touched once a piece that is saved, not once a packet",
    "dialogue": "touched once a look of a reader, not once a packet",
    "links": "touched once a connection, if anybody wants what it knows",
}


# --- the checker -------------------------------------------------------------------------------


def modules_of(root: Path) -> dict[str, str]:
    """{dotted name: source} of the package flowfs below `root`, its .pxd files as `name.pxd`."""
    paths = [*root.glob("flowfs/**/*.py"), *root.glob("flowfs/**/*.pxd")]
    return {dotted(path.relative_to(root)): path.read_text() for path in sorted(paths)}


def dotted(path: Path) -> str:
    """The module's name; `.pxd` stays, so that both files of a module have a name."""
    name = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
    return name + ".pxd" if path.suffix == ".pxd" else name


def imports_of(name: str, source: str, packages: frozenset[str]) -> Iterator[str]:
    """The dotted names that a module imports, wherever in it the import stands.

    `from a import b` gives `a.b`: whoever asks cuts it down to what is a module.
    """
    if name.endswith(".pxd"):
        yield from cimports_of(name, source)
        return
    for node in ast.walk(ast.parse(source, name)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = absolute(name, node.level, node.module or "", name in packages)
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and called(node) in ("__import__", "import_module"):
            # What is imported by a computed name is hidden from this checker.
            first = node.args[0] if node.args else None
            yield str(first.value) if isinstance(first, ast.Constant) else "?"


def cimports_of(name: str, source: str) -> Iterator[str]:
    """`imports_of` for the C side: `cimport a.b` and `from .a cimport b`, each on a line of its own."""
    for found in re.finditer(r"^(?:from\s+(\.*)([\w.]*)\s+)?c?import\s+([\w.]+)", source, re.MULTILINE):
        dots, module, names = found.groups()
        if dots is None:
            yield names
        else:
            yield f"{absolute(name.removesuffix('.pxd'), len(dots), module, False)}.{names}"


def absolute(name: str, level: int, module: str, package: bool) -> str:
    """What `from <level dots><module>` means in the module (or package) `name`."""
    if not level:
        return module
    parts = name.split(".")
    base = parts[: len(parts) - level + package]
    return ".".join([*base, module] if module else base)


def called(node: ast.Call) -> str:
    """The last part of the name that is called."""
    function = node.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def room_of(name: str) -> str:
    """`flowfs.core.seq` is in the room `core`; the package itself is the room `flowfs`."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else "flowfs"


def part_of_core(name: str) -> str:
    """`flowfs.core.seq` is the part `seq`; the package itself is the part `core`."""
    parts = name.removesuffix(".pxd").split(".")
    return parts[2] if len(parts) > 2 else "core"


def violations(sources: Mapping[str, str]) -> list[str]:
    """Every law broken by these modules ({dotted name: source}), one line each."""
    names = {name.removesuffix(".pxd") for name in sources}
    packages = packages_of(names)
    found: list[str] = []
    for name, source in sources.items():
        for target in sorted(set(imports_of(name, source, packages))):
            if fault := forbidden(name.removesuffix(".pxd"), existing(target, names)):
                found.append(f"{name} imports {target}: {fault}")
        if room_of(name) == "core":
            found += [f"{name} {fault}" for fault in faults_of_core(name, source, names)]
        if (lines := source.count("\n")) > LONGEST_MODULE:
            found.append(f"{name} has {lines} lines, more than {LONGEST_MODULE}")
    return found


def graph_of(sources: Mapping[str, str]) -> dict[str, set[str]]:
    """{module: the modules of ours that it imports}, as they are rather than as planned."""
    names = {name.removesuffix(".pxd") for name in sources}
    graph: dict[str, set[str]] = {name: set() for name in names}
    for name, source in sources.items():
        targets = {existing(target, names) for target in imports_of(name, source, packages_of(names))}
        graph[name.removesuffix(".pxd")] |= (targets & names) - {name.removesuffix(".pxd")}
    return graph


def packages_of(names: set[str]) -> frozenset[str]:
    """Those of the modules that have modules in them."""
    return frozenset(name.rpartition(".")[0] for name in names) & names


def existing(target: str, names: set[str]) -> str:
    """The longest beginning of `target` that is a module of ours, or `target` itself for others'."""
    if target.split(".")[0] != "flowfs":
        return target
    while target not in names and "." in target:
        target = target.rpartition(".")[0]
    return target


def forbidden(name: str, target: str) -> str | None:
    """Why `name` may not import `target`, or None."""
    room, library = room_of(name), target.split(".")[0]
    if room not in ROOMS:
        return f"{room} is no room of the plan"
    if library != "flowfs":
        return forbidden_library(room, library)
    if room == room_of(target) == "core":
        return forbidden_in_core(part_of_core(name), part_of_core(target))
    if room != room_of(target) and room_of(target) not in ROOMS[room]:
        return f"{room} may import from {sorted(ROOMS[room])} alone"
    return None


def forbidden_library(room: str, library: str) -> str | None:
    """Why a room may not import what is not ours, or None."""
    if library in LIBRARIES:
        users = LIBRARIES[library]
        return None if room in users else f"{library} is for {sorted(users)} alone"
    if room == "core" and library in NOT_IN_CORE:
        return "the core is silent, clockless and without input and output"
    if library in sys.stdlib_module_names or (room == "core" and library in ("libc", "cpython")):
        return None
    return f"{library} is not in the plan"


def forbidden_in_core(part: str, target: str) -> str | None:
    """Why a module of the core may not import another, or None."""
    if part not in CORE:
        return f"{part} is not in the plan"
    return None if target in CORE[part] or part == target else f"{part} may import {sorted(CORE[part])} alone"


def faults_of_core(name: str, source: str, names: set[str]) -> Iterator[str]:
    """What a module of the core does although it must not."""
    part = part_of_core(name)
    if part not in CORE:
        yield "is not in the plan"
    if name.endswith(".pxd"):
        if re.search(r"\b(libc\.time|posix|datetime)\b", source):
            yield "reads a clock or does input and output in C"
        return
    for node in ast.walk(ast.parse(source, name)):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in NOT_CALLED_IN_CORE
        ):
            yield f"calls {node.func.id}()"


def has_cycle(graph: Mapping[str, Set[str]]) -> list[str] | None:
    """The modules of one cycle, or None."""
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        return list(error.args[1])
    return None


# --- the house keeps the laws ------------------------------------------------------------------


def test_every_law_is_kept() -> None:
    assert violations(modules_of(ROOT)) == []


@pytest.mark.parametrize("plan", [ROOMS, CORE], ids=["rooms", "core"])
def test_the_plan_has_no_cycle(plan: Mapping[str, frozenset[str]]) -> None:
    assert not has_cycle(plan)
    assert frozenset().union(*plan.values()) <= plan.keys()


def test_the_imports_have_no_cycle() -> None:
    assert not has_cycle(graph_of(modules_of(ROOT)))


def test_every_module_of_the_core_is_compiled_or_plain_for_a_reason() -> None:
    sources = modules_of(ROOT)
    parts = {part_of_core(name) for name in sources if room_of(name) == "core" and not name.endswith(".pxd")}
    declared = {part_of_core(name) for name in sources if room_of(name) == "core" and name.endswith(".pxd")}
    assert declared <= parts
    assert parts - (declared - {"memory", "pages", "seq"}) == set(PLAIN)


# --- the checker sees what it must -------------------------------------------------------------

HOUSE = {"flowfs": "", "flowfs.core": "", "flowfs.core.seq": "", "flowfs.core.store": "", "flowfs.app": ""}


@pytest.mark.parametrize(
    ("name", "source", "fault"),
    [
        ("flowfs.tree", "import pyfuse3", "pyfuse3 is for ['mount'] alone"),
        (
            "flowfs.tree",
            "def f():\n    import trio.lowlevel",
            "trio is for ['app', 'capture', 'mount'] alone",
        ),
        ("flowfs.cli", "from pcapy import open_live", "pcapy is for ['capture'] alone"),
        ("flowfs.capture", "__import__('dpkt')", "dpkt is for ['dissect'] alone"),
        ("flowfs.capture", "import importlib\nimportlib.import_module(x)", "? is not in the plan"),
        ("flowfs.capture", "import requests", "requests is not in the plan"),
        ("flowfs.core.seq", "import dpkt", "dpkt is for ['dissect'] alone"),
        ("flowfs.core.seq", "from time import time_ns", "the core is silent, clockless"),
        ("flowfs.core.seq", "import datetime as d", "the core is silent, clockless"),
        ("flowfs.core.seq", "print(1)", "calls print()"),
        ("flowfs.core.seq", "from .store import Flow", "seq may import [] alone"),
        ("flowfs.core.seq", "from . import store", "seq may import [] alone"),
        ("flowfs.core.seq", "from .. import app", "core may import from [] alone"),
        (
            "flowfs.core.seq",
            "if TYPE_CHECKING:\n    from flowfs.app import App",
            "core may import from [] alone",
        ),
        ("flowfs.core.seq.pxd", "from .store cimport Flow", "seq may import [] alone"),
        ("flowfs.core.seq.pxd", "from libc.time cimport time", "reads a clock"),
        ("flowfs.core.luck", "", "is not in the plan"),
        ("flowfs.luck", "import os", "luck is no room of the plan"),
        ("flowfs.tree", "x = 0\n" * (LONGEST_MODULE + 1), "lines, more than"),
    ],
)
def test_a_broken_law_is_seen(name: str, source: str, fault: str) -> None:
    found = violations({**HOUSE, name: source})
    assert len(found) == 1
    assert found[0].startswith(name)
    assert fault in found[0]


@pytest.mark.parametrize(
    ("name", "source"),
    [
        (
            "flowfs.core.store",
            "import mmap\nimport cython\nfrom .arena import Arena\nfrom ..core import limits",
        ),
        (
            "flowfs.core.store.pxd",
            "cimport cython\nfrom libc.string cimport memcpy\nfrom .arena cimport Arena",
        ),
        (
            "flowfs.tree.names",
            "import time\nfrom . import tree\nfrom ..core.store import Flow\nimport flowfs.core",
        ),
        ("flowfs.app", "import trio\nfrom flowfs import __version__\nfrom .mount import Mount"),
    ],
)
def test_what_is_allowed_passes(name: str, source: str) -> None:
    rest = {"flowfs.core.arena": "", "flowfs.core.limits": "", "flowfs.tree": "", "flowfs.mount": ""}
    assert violations({**HOUSE, **rest, name: source}) == []


def test_a_cycle_is_seen() -> None:
    tree = {"flowfs": "", "flowfs.tree": "from .names import a", "flowfs.tree.names": "from .views import b"}
    assert not has_cycle(graph_of({**tree, "flowfs.tree.views": "import flowfs"}))
    assert has_cycle(graph_of({**tree, "flowfs.tree.views": "from ..tree.names import a"}))
    assert has_cycle(graph_of({**tree, "flowfs.tree.views.pxd": "from .names cimport a"}))
    assert has_cycle(graph_of({**tree, "flowfs.tree.views": "from . import a"}))
