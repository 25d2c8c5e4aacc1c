"""Directories of flows by a template, without a kernel: each flow has one path, and each path one flow."""

from __future__ import annotations

import random
import stat
import time
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from craft import Conversation
from engines import evict
from flowfs.core.engine import Engine
from flowfs.core.flow import Flow
from flowfs.core.limits import Limits
from flowfs.templates import Template
from flowfs.tree import ROOT, Attributes, Reason, Tree, TreeError, Unready
from flowfs.tree.numbers import FIRST_FLOW, is_flow
from flowfs.tree.places import AT_ONCE, CHUNK, LINGER_S, Places
from treed import Treed


class Directory(Treed):
    """One with names by a template."""

    def __init__(self, template: str = "%A/%B/%a-%b%C%c", **more: Any) -> None:
        engine = Engine(Limits())
        self.places = Places(engine, Template(template))
        tree = Tree(engine, lambda: {"sources": ["eth0"]}, directories=self.places, **more)
        super().__init__(engine, tree)

    def at(self, path: str) -> Attributes:
        """What is there, as the kernel finds it. Raises TreeError."""
        inode, found = ROOT, self.tree.attributes(ROOT)
        for name in path.split("/") if path else []:
            found = self.tree.lookup(inode, name.encode())
            inode = found.inode
        return found

    def names(self, path: str = "") -> list[str]:
        return [name.decode() for name, _, _ in self.entries(self.at(path).inode)][2:]

    def entries(self, inode: int, cookie: int = 0) -> list[tuple[bytes, Attributes, int]]:
        handle = self.tree.open_directory(inode)
        listed = list(self.tree.entries(handle, cookie))
        self.tree.release_directory(handle)
        return listed

    def all(self, inode: int = ROOT, above: str = "") -> Iterator[tuple[str, Attributes]]:
        """Whatever is listed, as find(1) does."""
        for name, attributes, _ in self.entries(inode)[2:]:
            path = above + name.decode()
            yield path, attributes
            if stat.S_ISDIR(attributes.mode):
                yield from self.all(attributes.inode, path + "/")

    def unlink(self, path: str) -> None:
        above, _, name = path.rpartition("/")
        self.tree.unlink(self.at(above).inode, name.encode())

    def rmdir(self, path: str) -> None:
        above, _, name = path.rpartition("/")
        self.tree.rmdir(self.at(above).inode, name.encode())


@pytest.fixture
def directory() -> Directory:
    return Directory()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let time pass."""
    now = [1000.0]

    def passes(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return passes


def refused(reason: Reason, ask: Callable[..., object], *arguments: object) -> None:
    with pytest.raises(TreeError) as error:
        ask(*arguments)
    assert error.value.reason is reason


FIRST = "010.000.000.001/010.000.000.002/40000-00080"
SECOND = "010.000.000.001/010.000.000.002/40001-00080"


# --- what there is -----------------------------------------------------------------------------------


# --- names that coincide -----------------------------------------------------------------------------


def test_a_name_that_was_made_up_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    directory = Directory("%t")
    names = iter(["x", "x~3", "x"])
    monkeypatch.setattr(directory.places, "_spelled", lambda flow: [next(names).encode()])
    for number in range(3):
        directory.flow(40_000 + number)
    assert directory.names() == ["x", "x~3", "x~3_"]


# --- going -------------------------------------------------------------------------------------------


def test_the_kernel_is_told_what_went_and_from_where(directory: Directory) -> None:
    conversation = directory.flow()
    directory.flow(40_001)
    inner = directory.at("010.000.000.001/010.000.000.002").inode
    directory.evict(conversation)
    assert directory.tree.changed()
    assert directory.tree.changes() == ([], [(inner, b"40000-00080")], [])
    refused(Reason.NOT_FOUND, directory.at, FIRST)
    assert directory.tree.changes() == ([], [], [])
    directory.evict(Conversation(client_port=40_001))
    refused(Reason.NOT_FOUND, directory.at, SECOND)
    assert directory.tree.changes() == ([], [(inner, b"40001-00080")], [])


def test_a_name_that_is_used_again_before_the_change_was_told() -> None:
    directory = Directory("%A")
    conversation = directory.flow()
    assert directory.names() == ["010.000.000.001"]
    directory.evict(conversation)
    directory.flow(40_001, b"other")
    assert directory.names() == ["010.000.000.001"]
    assert directory.at("010.000.000.001").size == 5
    assert directory.tree.changes()[1] == [(ROOT, b"010.000.000.001")]
    assert directory.names() == ["010.000.000.001"]
    assert directory.at("010.000.000.001").size == 5


def test_a_flow_that_goes_while_it_is_taken_in(directory: Directory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody would tell of its end, which came before anybody knew of it."""
    conversation = directory.flow()
    flows = directory.engine.list_after(0, 9)
    directory.evict(conversation)
    fake = types.SimpleNamespace(list_after=lambda serial, count: [] if serial else flows)
    monkeypatch.setattr(directory.places, "_engine", fake)
    directory.places.ready()
    assert vars(directory.places)["_entries"] == {}


def test_empty_directories_vanish_by_and_by(directory: Directory, clock: Callable[[float], None]) -> None:
    conversation = directory.flow()
    directory.flow(40_001, server_address="10.0.0.3")
    inner = directory.at("010.000.000.001/010.000.000.002").inode
    directory.evict(conversation)
    directory.tree.changes()
    assert directory.names("010.000.000.001/010.000.000.002") == []
    clock(LINGER_S + 0.1)
    assert directory.names("010.000.000.001") == ["010.000.000.003"]
    for ask in (directory.tree.attributes, directory.tree.open_directory, directory.tree.open):
        refused(Reason.STALE, ask, inner)
    refused(Reason.STALE, directory.tree.lookup, inner, b"x")
    directory.flow(40_002)
    assert directory.at("010.000.000.001/010.000.000.002").inode > inner, "another one"
    for last in directory.engine.list_after(0, 9):
        evict(directory.engine, last.key, last.generation)
    directory.tree.changes()
    for _ in range(3):
        clock(LINGER_S + 0.1)
        directory.names()
    assert directory.names() == []
    assert directory.at("").links == 2


def test_an_empty_directory_that_gets_a_flow_stays(
    directory: Directory, clock: Callable[[float], None]
) -> None:
    conversation = directory.flow()
    inner = directory.at("010.000.000.001/010.000.000.002").inode
    directory.evict(conversation)
    directory.tree.changes()
    directory.flow(40_001)
    assert directory.names("010.000.000.001/010.000.000.002") == ["40001-00080"]
    clock(LINGER_S * 5)
    assert directory.at("010.000.000.001/010.000.000.002").inode == inner


def test_without_a_template_there_is_no_directory_to_remove() -> None:
    tree = Tree(Engine(Limits()))
    refused(Reason.NOT_FOUND, tree.rmdir, ROOT, b"x")
    refused(Reason.READ_ONLY, tree.rmdir, ROOT, b".flowfs")


def test_what_went_is_forgotten(directory: Directory, clock: Callable[[float], None]) -> None:
    for number in range(300):
        directory.flow(40_000 + number, server_address=f"10.0.{number % 99}.2")
    assert len(list(directory.all())) > 300
    for flow in directory.engine.list_after(0, 1000):
        evict(directory.engine, flow.key, flow.generation)
    directory.tree.changes()
    for _ in range(3):
        clock(LINGER_S + 0.1)
        directory.tree.changes()
    kept = vars(directory.places)
    assert [kept[name] for name in ("_entries", "_folders", "_went", "_empty")] == [{}, {}, [], {}]


def test_what_went_from_a_directory_that_stays_is_forgotten() -> None:
    directory = Directory("%a")
    for number in range(300):
        directory.flow(40_000 + number)
    directory.names()
    for flow in directory.engine.list_after(0, 290):
        evict(directory.engine, flow.key, flow.generation)
    directory.tree.changes()
    assert len(directory.names()) == 10
    assert len(vars(directory.places)["_root"]._numbers) < 70


# --- what else has names -----------------------------------------------------------------------------


def test_an_archive_may_ask_for_what_went(directory: Directory) -> None:
    directory = Directory("%A")
    first, second = directory.flow(), directory.flow(40_001)
    flows = [directory.engine.find(one.client_key(), 0) for one in (first, second)]
    for one in (first, second):
        directory.evict(one)
    wanted = [directory.places.wanted(flow) for flow in flows if flow is not None]
    assert wanted == ["010.000.000.001", "010.000.000.001"]
    third = directory.flow(40_002)
    flow = directory.engine.find(third.client_key(), 0)
    assert flow is not None
    assert directory.places.wanted(flow) == "010.000.000.001"
    assert directory.names() == ["010.000.000.001"]
    gone = next(flow for flow in flows if flow is not None)
    assert directory.places.wanted(gone) == "010.000.000.001~1"


# --- many --------------------------------------------------------------------------------------------


def test_many_flows_are_taken_in_by_a_thread() -> None:
    directory = Directory("%N/%a")
    count = CHUNK * AT_ONCE + 10
    for number in range(count):
        directory.flow(1024 + number)
    for ask in (directory.names, lambda: directory.at("000/01024")):
        fresh = Directory("%N/%a")
        fresh.engine = directory.engine
        directory.places = Places(directory.engine, Template("%N/%a"))
        directory.tree = Tree(directory.engine, directories=directory.places)
        with pytest.raises(Unready) as unready:
            ask()
        unready.value.work()
        ask()
    assert len([path for path, _ in directory.all() if "/" in path]) == count


TEMPLATES = ["%A/%B", "%a", "x", "%A.%a-%B.%b%V%v%C%c/x", "%b/%B/%A/%a", "%C%c/%N", "%A/%a~%N"]
Step = tuple[str, int, int]
steps = st.lists(
    st.tuples(
        st.sampled_from(["come", "come", "go", "remove", "look", "tell", "wait"]), *[st.integers(0, 99)] * 2
    ),
    max_size=40,
)


@settings(deadline=None)
@given(st.sampled_from(TEMPLATES), steps, st.randoms(use_true_random=False))
def test_each_flow_has_one_path_and_each_path_one_flow(
    template: str, steps: list[Step], chance: random.Random
) -> None:
    directory = Directory(template)
    paths: dict[int, str] = {}  # that were seen, by inode
    for what, one, other in steps:
        there = directory.engine.list_after(0, 1000)
        if what == "come":
            server = f"10.0.0.{2 + one % 3}"
            directory.flow(40_000 + other % 5, client_address=f"10.0.1.{1 + one % 2}", server_address=server)
        elif what == "go" and there:
            gone = there[one % len(there)]
            evict(directory.engine, gone.key, gone.generation)
        elif what == "remove" and there:
            flow = there[one % len(there)]
            directory.unlink(directory.places.path(flow).decode())
        elif what == "tell":
            directory.tree.changes()
        elif what == "wait":
            for place in directory.places._empty:
                directory.places._empty[place] = -LINGER_S
        elif what == "look":
            check(directory, paths)
    check(directory, paths)


def check(directory: Directory, paths: dict[int, str]) -> None:
    found = [(path, attributes) for path, attributes in directory.all() if is_flow(attributes.inode)]
    inodes = [attributes.inode for _, attributes in found]
    flows: list[Flow] = directory.engine.list_after(0, 1000)
    assert sorted(inodes) == [FIRST_FLOW + flow.serial for flow in flows], "each once"
    assert len({path for path, _ in found}) == len(found), "no two share one"
    for path, attributes in found:
        assert directory.at(path).inode == attributes.inode
        assert paths.setdefault(attributes.inode, path) == path, "names stay"
        flow = directory.engine.get(attributes.inode - FIRST_FLOW)
        assert flow is not None
        assert directory.places.path(flow).decode() == path
    for path, attributes in directory.all():
        if stat.S_ISDIR(attributes.mode):
            below = [mode for _, mode in directory.all(attributes.inode) if stat.S_ISDIR(mode.mode)]
            direct = [
                entry for entry in directory.entries(attributes.inode)[2:] if not is_flow(entry[1].inode)
            ]
            assert attributes.links == 2 + len(direct) <= 2 + len(below), path
