"""Directories of flows by a template, without a kernel: each flow has one path, and each path one flow."""

from __future__ import annotations

import json
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
from flowfs.tree.numbers import FIRST_FLOW, Fixed, is_flow
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


def test_a_flow_is_found_by_its_path(directory: Directory) -> None:
    directory.flow()
    found = directory.at(FIRST)
    assert (found.inode, found.mode, found.links, found.size) == (FIRST_FLOW + 1, stat.S_IFREG | 0o400, 1, 3)
    for path in ("x", "010.000.000.001/x", FIRST + "x", "010.000.000.001/010.000.000.002/x"):
        refused(Reason.NOT_FOUND, directory.at, path)
    refused(Reason.NOT_A_DIRECTORY, directory.at, FIRST + "/x")
    refused(Reason.NOT_FOUND, directory.at, "010.000.000.001.40000-010.000.000.002.00080")


def test_directories(directory: Directory) -> None:
    directory.flow()
    directory.flow(40_001)
    directory.flow(40_002, server_address="10.0.0.3")
    assert directory.names() == ["010.000.000.001"]
    assert directory.names("010.000.000.001") == ["010.000.000.002", "010.000.000.003"]
    assert directory.names("010.000.000.001/010.000.000.002") == ["40000-00080", "40001-00080"]
    links = [directory.at(path).links for path in ("", "010.000.000.001", "010.000.000.001/010.000.000.002")]
    assert links == [3, 4, 2]
    inner = directory.at("010.000.000.001/010.000.000.002")
    assert inner.mode == stat.S_IFDIR | 0o700
    assert directory.tree.attributes(inner.inode) == inner
    refused(Reason.IS_A_DIRECTORY, directory.tree.open, inner.inode)
    refused(Reason.NO_ATTRIBUTE, directory.tree.xattr, inner.inode, b"user.flowfs.state")


def test_dots_lead_up(directory: Directory) -> None:
    directory.flow()
    inodes = [directory.at(path).inode for path in ("", "010.000.000.001", "010.000.000.001/010.000.000.002")]
    for inode, above in zip(inodes, [ROOT, *inodes], strict=False):
        dots = directory.entries(inode)[:2]
        assert [(name, attributes.inode) for name, attributes, _ in dots] == [(b".", inode), (b"..", above)]


def test_the_mounts_own_is_in_the_root_alone() -> None:
    directory = Directory(visible=True)
    directory.flow()
    assert directory.names() == [".flowfs", "010.000.000.001"]
    assert directory.names("010.000.000.001") == ["010.000.000.002"]
    refused(Reason.NOT_FOUND, directory.at, "010.000.000.001/.flowfs")


def test_a_listing_goes_on_where_it_was(directory: Directory) -> None:
    for number in range(40):
        directory.flow(40_000 + number, server_address=f"10.0.1.{number % 3}")
    for inode in (ROOT, *(attributes.inode for _, attributes in directory.all())):
        if is_flow(inode):
            continue
        whole = directory.entries(inode)
        for done, (_, _, cookie) in enumerate(whole, 1):
            assert [entry[0] for entry in directory.entries(inode, cookie)] == [
                entry[0] for entry in whole[done:]
            ]


def test_directories_change_with_what_is_in_them(
    directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter(range(10**18, 2 * 10**18))
    monkeypatch.setattr(time, "time_ns", lambda: next(now))
    directory.flow()
    inner, outer = "010.000.000.001/010.000.000.002", "010.000.000.001"
    inner_ns, outer_ns = directory.at(inner).mtime_ns, directory.at(outer).mtime_ns
    directory.flow(40_001)
    directory.names()
    assert directory.at(inner).mtime_ns > inner_ns
    assert directory.at(outer).mtime_ns == outer_ns
    inner_ns = directory.at(inner).mtime_ns
    directory.unlink(SECOND)
    assert directory.at(inner).mtime_ns > inner_ns


# --- names that coincide -----------------------------------------------------------------------------


def test_who_comes_later_gets_a_number(directory: Directory) -> None:
    directory = Directory("%A/%B")
    first, _, third = (directory.flow(40_000 + number, b"x" * (number + 1)) for number in range(3))
    above = "010.000.000.001/"
    names = ["010.000.000.002", "010.000.000.002~2", "010.000.000.002~3"]
    assert directory.names(above[:-1]) == names
    assert [directory.at(above + name).size for name in names] == [1, 2, 3]
    directory.evict(third)
    directory.flow(40_009)
    assert directory.names(above[:-1]) == [*names[:2], "010.000.000.002~4"], "what it was called is no one's"
    directory.evict(first)
    directory.flow(40_010, b"y" * 9)
    assert directory.names(above[:-1]) == ["010.000.000.002~2", "010.000.000.002~4", "010.000.000.002"]
    assert directory.at(above + "010.000.000.002").size == 9


def test_a_template_that_looks_like_a_number() -> None:
    directory = Directory("x~%N")  # 000 of the first, so x~001 of the second, and so on
    other = Directory("%C%cx~%#")
    for one in (directory, other):
        for number in range(5):
            one.flow(40_000 + number)
        assert len(set(one.names())) == 5
    assert other.names()[:3] == ["x~0", "x~0~2", "x~0~3"]


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


def test_removing_as_rm_does(directory: Directory) -> None:
    directory.flow()
    directory.flow(40_001)
    inner, outer = "010.000.000.001/010.000.000.002", "010.000.000.001"
    refused(Reason.NOT_EMPTY, directory.rmdir, outer)
    refused(Reason.NOT_EMPTY, directory.rmdir, inner)
    refused(Reason.IS_A_DIRECTORY, directory.unlink, inner)
    refused(Reason.NOT_A_DIRECTORY, directory.rmdir, FIRST)
    refused(Reason.NOT_FOUND, directory.rmdir, "x")
    refused(Reason.READ_ONLY, directory.rmdir, ".flowfs")
    refused(Reason.READ_ONLY, directory.unlink, ".flowfs")
    refused(Reason.READ_ONLY, directory.rmdir, ".flowfs/meta")
    for path in (FIRST, SECOND):
        directory.unlink(path)
    refused(Reason.NOT_EMPTY, directory.rmdir, outer)
    directory.rmdir(inner)
    directory.rmdir(outer)
    assert list(directory.all()) == []
    assert directory.engine.statistics()["flows"] == 0
    refused(Reason.NOT_FOUND, directory.rmdir, outer)


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


def test_in_the_mounts_own_there_are_no_directories(directory: Directory) -> None:
    conversation = directory.flow()
    name = conversation.client_name()
    assert directory.names(".flowfs/meta") == [name + ".json"]
    assert directory.names(".flowfs/follow") == [name]
    group = directory.at(".flowfs/by-port/80")
    link = directory.at(f".flowfs/by-port/80/{name}")
    assert [entry[0].decode() for entry in directory.entries(group.inode)][2:] == [name]
    target = directory.tree.target(link.inode)
    assert target == b"../../../" + FIRST.encode()
    assert link.size == len(target)


def test_what_is_known_of_a_flow_has_its_path(directory: Directory) -> None:
    conversation = directory.flow()
    directory.feed(conversation.server(0, b"answer"))
    peer = "010.000.000.002/010.000.000.001/00080-40000"
    known = {"name": FIRST, "peer": peer, "canonical": conversation.client_name()}
    meta = directory.tree.open(directory.at(f".flowfs/meta/{conversation.client_name()}.json").inode)
    assert known.items() <= json.loads(directory.tree.read(meta.handle, 0, 1 << 20)).items()
    with pytest.raises(Unready) as unready:
        directory.at(".flowfs/flows.jsonl")
    unready.value.work()
    roll = directory.tree.open(Fixed.FLOWS)
    lines = directory.tree.read(roll.handle, 0, 1 << 20).splitlines()
    assert known.items() <= json.loads(lines[0]).items()
    inode = directory.at(FIRST).inode
    assert directory.tree.xattr(inode, b"user.flowfs.peer") == peer.encode()
    assert directory.tree.xattr(inode, b"user.flowfs.canonical") == conversation.client_name().encode()
    assert b"user.flowfs.canonical" in directory.tree.xattr_names(inode)


def test_a_peer_that_is_not_there_has_no_name(directory: Directory) -> None:
    directory.flow()
    assert directory.tree.xattr(directory.at(FIRST).inode, b"user.flowfs.peer") == b""


def test_events_have_paths(directory: Directory) -> None:
    handle = directory.tree.open(directory.at(".flowfs/events.jsonl").inode).handle
    conversation = directory.flow()
    directory.tree.changes()
    directory.evict(conversation)
    directory.tree.changes()
    directory.flow(40_001)
    directory.unlink(SECOND)
    lines = [json.loads(line) for line in directory.tree.read(handle, 0, 1 << 20).splitlines()]
    assert [(line["event"], line["name"]) for line in lines] == [
        ("new", FIRST),
        ("evicted", FIRST),
        ("new", SECOND),
        ("removed", SECOND),
    ]
    assert lines[0]["canonical"] == conversation.client_name()


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
