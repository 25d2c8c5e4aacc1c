"""poll, select and epoll on flows, by real processes; and tools that poll what they read."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from craft import Conversation
from mounted.served import Served
from waiting import eventually

pytestmark = pytest.mark.needs("fuse")

SOON_S = 0.5  # a notice takes 0.1 ms; two busy cores take longer
LONG_S = 5.0
READABLE = select.POLLIN | select.POLLRDNORM


@pytest.fixture
def conversation(mount: Served) -> Conversation:
    conversation = Conversation().handshake().client(0, b"abc")
    mount.feed(conversation)
    return conversation


@pytest.fixture
def file(mount: Served, conversation: Conversation) -> Iterator[int]:
    file = os.open(mount.client(conversation), os.O_RDONLY)
    yield file
    os.close(file)


def polled(file: int, wait_s: float) -> int:
    poll = select.poll()
    poll.register(file, select.POLLIN | select.POLLRDNORM)
    return dict(poll.poll(wait_s * 1000)).get(file, 0)


def selected(file: int, wait_s: float) -> int:
    return READABLE if select.select([file], [], [], wait_s)[0] else 0


def by_epoll(file: int, wait_s: float) -> int:
    with select.epoll() as epoll:
        epoll.register(file, select.EPOLLIN | select.EPOLLRDNORM)
        return dict(epoll.poll(wait_s)).get(file, 0)


WAYS = pytest.mark.parametrize("wait", [polled, selected, by_epoll])
Wait = Callable[[int, float], int]


def later(act: Callable[[], object], after_s: float = 0.1) -> threading.Timer:
    timer = threading.Timer(after_s, act)
    timer.start()
    return timer


def woken(wait: Wait, file: int, act: Callable[[], object]) -> int:
    """What is said to somebody who waits while `act` is done; it must be said by that, and soon."""
    assert wait(file, 0) == wait(file, 0.05) == 0
    began, timer = time.monotonic(), later(act)
    events = wait(file, LONG_S)
    timer.join()
    assert time.monotonic() - began < 0.1 + SOON_S
    return events


@WAYS
def test_growth_wakes(mount: Served, conversation: Conversation, file: int, wait: Wait) -> None:
    assert wait(file, 0) == READABLE
    assert os.read(file, 2) == b"ab"
    assert wait(file, 0) == READABLE
    assert os.read(file, 100) == b"c"
    for offset in range(3, 8):
        conversation.client(offset, b"x")
        assert woken(wait, file, lambda: mount.feed(conversation)) == READABLE
        assert os.read(file, 100) == b"x"


@WAYS
def test_every_end_wakes(mount: Served, wait: Wait) -> None:
    fin, rst, evicted, removed, idle, finished = (
        Conversation(client_port=port).handshake().client(0, b"abc").wait(3600 * (port == 5))
        for port in range(1, 7)
    )
    ends: list[tuple[Conversation, Callable[[], object]]] = [
        (fin, lambda: mount.feed(fin.server_ack(3).close())),
        (rst, lambda: mount.feed(rst.server_ack(3).rst())),
        (evicted, lambda: mount.evict(evicted)),
        (removed, mount.client(removed).unlink),
        (idle, lambda: mount.ask("tick", idle.clock_ns)),
        (finished, lambda: mount.ask("finish")),
    ]
    for conversation, end in ends:
        mount.feed(conversation)
        with mount.client(conversation).open("rb", buffering=0) as file:
            assert file.read(100) == b"abc"
            events = woken(wait, file.fileno(), end)
            assert events == READABLE | (0 if wait is selected else select.POLLHUP)
            assert file.read(100) == b""


@WAYS
def test_events_wake(mount: Served, conversation: Conversation, wait: Wait) -> None:
    """events.jsonl grows as a flow does."""
    path = mount.path / ".flowfs/events.jsonl"
    path.read_bytes()
    with path.open("rb", buffering=0) as file:
        file.read()
        for port in range(10, 13):
            new = partial(mount.feed, Conversation(client_port=port).handshake().client(0, b"abc"))
            assert woken(wait, file.fileno(), new) == READABLE
            assert b'"new"' in file.read()


@WAYS
def test_turns_wake(mount: Served, conversation: Conversation, wait: Wait) -> None:
    """Of a conversation, and its end does."""
    name = conversation.client_name()
    with (mount.path / ".flowfs/conversations" / name).open("rb", buffering=0) as file:
        file.read()
        assert (
            woken(wait, file.fileno(), lambda: mount.feed(conversation.server(0, b"200").client(3, b"x")))
            == READABLE
        )
        assert file.read().count(b"===") == 2
        events = woken(wait, file.fileno(), lambda: mount.feed(conversation.server_ack(4).close()))
        assert events == READABLE | (0 if wait is selected else select.POLLHUP)
        assert file.read().count(b"===") == 1
        assert file.read() == b""


def test_edges(mount: Served, conversation: Conversation, file: int) -> None:
    """Who waits for edges does not ask before there is one."""
    with select.epoll() as epoll:
        epoll.register(file, select.EPOLLIN | select.EPOLLET)
        assert epoll.poll(LONG_S) == [(file, select.EPOLLIN)]
        for offset in range(3, 8):
            assert epoll.poll(0.05) == []
            later(lambda: mount.feed(conversation.client(conversation.client_next, b"x")))
            assert epoll.poll(LONG_S) == [(file, select.EPOLLIN)]
            assert os.pread(file, 100, offset) == b"x"


def test_who_waits_is_woken_though_another_looks_first(mount: Served, conversation: Conversation) -> None:
    """At the same open file, which is asked for once for all who wait."""
    path = mount.path / ".flowfs/events.jsonl"
    path.read_bytes()
    with path.open("rb", buffering=0) as file:
        for port in range(10, 15):
            file.read()

            def grow(port: int = port) -> None:
                mount.feed(Conversation(client_port=port).handshake().client(0, b"abc"))
                assert polled(file.fileno(), 0) == READABLE

            assert woken(polled, file.fileno(), grow) == READABLE


@pytest.mark.parametrize("place", ["events.jsonl", "status.json", "conversations"])
def test_who_waits_for_edges_of_what_does_not_grow_is_not_woken(
    mount: Served, conversation: Conversation, place: str
) -> None:
    """However much is unread."""
    path = mount.path / ".flowfs/events.jsonl"
    path.read_bytes()
    mount.feed(conversation.server(0, b"200").client(3, b"x").server_ack(4).close())
    path = path.with_name(place)
    if place == "conversations":
        path /= conversation.client_name()
    with path.open("rb") as file, select.epoll() as epoll:
        epoll.register(file, select.EPOLLIN | select.EPOLLET)
        assert epoll.poll(LONG_S)
        assert epoll.poll(0.4) == []


def test_each_of_many_is_woken_by_its_own(mount: Served) -> None:
    conversations = [Conversation(client_port=port).handshake().client(0, b"abc") for port in range(1, 201)]
    for conversation in conversations:
        mount.feed(conversation)
    files = {os.open(mount.client(one), os.O_RDONLY): one for one in conversations}
    with select.epoll() as epoll:
        for file in files:
            epoll.register(file, select.EPOLLIN)
            os.read(file, 100)
        assert epoll.poll(0.1) == []
        for file in sorted(files, reverse=True)[:20]:
            mount.feed(files[file].client(3, b"d"))
            assert epoll.poll(LONG_S) == [(file, select.EPOLLIN)]
            assert os.read(file, 100) == b"d"
    for file in files:
        os.close(file)


def test_two_who_wait_with_one_open_file(mount: Served, conversation: Conversation, file: int) -> None:
    os.read(file, 100)
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(polled(file, LONG_S))) for _ in range(2)]
    for thread in threads:
        thread.start()
    time.sleep(0.2)  # they wait by then
    mount.feed(conversation.client(3, b"d"))
    for thread in threads:
        thread.join(LONG_S)
    assert found == [READABLE, READABLE]


def test_who_waits_can_be_killed(mount: Served, conversation: Conversation) -> None:
    script = "import os, select, sys; f = os.open(sys.argv[1], 0); os.read(f, 9); print(flush=True);"
    script += "p = select.poll(); p.register(f, 1); p.poll()"
    command = [sys.executable, "-c", script, str(mount.client(conversation))]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.1)  # it waits by then
        process.kill()
        assert process.wait(5) == -9
    mount.feed(conversation.client(3, b"d"))
    assert mount.client(conversation).read_bytes() == b"abcd"


def test_growth_under_load_is_never_missed(mount: Served) -> None:
    """Between the look that finds nothing and the waiting there is always a moment in which it comes."""
    conversation = Conversation().handshake()
    for offset in range(0, 4000, 4):
        conversation.client(offset, b"%03d\n" % (offset // 4))
    mount.feed_packets(conversation.packets[:4])
    del conversation.packets[:4]
    file = os.open(mount.client(conversation), os.O_RDONLY)
    feeder = threading.Thread(target=mount.trickle, args=(conversation, 0.002))
    feeder.start()
    seen = b""
    while len(seen) < 4000:
        assert polled(file, 5), f"nobody woke the reader behind {len(seen)} bytes"
        piece = os.read(file, 4096)
        assert piece, "woken for nothing"
        seen += piece
    feeder.join()
    os.close(file)
    assert seen == b"".join(b"%03d\n" % number for number in range(1000))


def test_less_comes_to_the_end_of_what_is_there(
    mount: Served, conversation: Conversation, tmp_path: Path
) -> None:
    """It polls what it reads: it must say (END), and not wait for more where nobody asked it to."""
    main, side = pty.openpty()
    command = ["less", str(mount.client(conversation))]
    environment = os.environ | {"TERM": "xterm", "LESS": "", "LC_ALL": "C.UTF-8"}
    process = subprocess.Popen(
        command, stdin=side, stdout=side, stderr=side, env=environment, start_new_session=True
    )
    os.close(side)
    seen = bytearray()

    def has(word: bytes) -> bool:
        if select.select([main], [], [], 0)[0]:
            seen.extend(os.read(main, 4096))
        return word in seen

    try:
        assert eventually(lambda: has(b"(END)"), within_s=5), bytes(seen)
        os.write(main, b" ")  # a page beyond
        assert not eventually(lambda: has(b"Waiting"), within_s=0.5)
    finally:
        process.kill()
        process.wait(5)
        os.close(main)
