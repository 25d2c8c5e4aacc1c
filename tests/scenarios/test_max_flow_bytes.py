"""--max-flow-bytes: the first bytes of each stream, or the last, with holes, disorder, wraps and readers."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from craft import Conversation
from engines import ALL, SMALL, Outcome, feed, run, started
from flowfs.core.engine import Engine
from flowfs.core.flow import Evicted, Flow
from flowfs.core.limits import KIB, SECOND_NS, Limits
from flowfs.core.notes import About

NAME = Conversation().client_name()
STREAM = random.Random(7).randbytes(600_000)
SIZES = (1, 2, 255, 256, 257, 1000, 1448, 65_536, 65_537, 200_000)
BLOCK_BYTES = 64 * KIB


def limits_of(size: int, keep: str, payload_bytes: int = SMALL.payload_bytes) -> Limits:
    return replace(SMALL, payload_bytes=payload_bytes, max_flow_bytes=size, keep=keep)


def sent(count: int, *, isn: int = 1000, step: int = 1448, shuffle: bool = False) -> Conversation:
    """The client sends the first `count` bytes of STREAM, the server acknowledges, and both close."""
    conversation = Conversation(client_isn=isn).handshake()
    offsets = list(range(0, count, step))
    if shuffle:
        for at in range(0, len(offsets), 8):
            window = offsets[at : at + 8]
            random.Random(at).shuffle(window)
            offsets[at : at + 8] = window
    for offset in offsets:
        conversation.client(offset, STREAM[offset : min(offset + step, count)])
    return conversation.server_ack(count).close()


def about(engine: Engine, number: int = 0) -> About:
    return engine.about(engine.list_after(0, ALL)[number])


def bound(size: int) -> int:
    """The tail's: the last `size` bytes and two blocks, see `store`."""
    block = 256
    while block < size and block < BLOCK_BYTES:
        block *= 2
    return size + 2 * block


def check_tail(outcome: Outcome, size: int, content: bytes) -> None:
    file = outcome.by_name[NAME]
    assert file.size == len(content)
    assert file.content == content[file.start :]
    assert file.size - file.start >= min(size, len(content))
    assert file.held_bytes <= bound(size)
    assert file.start == outcome.statistics["trimmed_beyond_bytes"]
    assert outcome.statistics["trimmed_bytes"] == 0


# --- the head ----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("step", [700, 1448, 30_000])
def test_head_is_exact(size: int, step: int) -> None:
    outcome = run(sent(300_000, step=step), limits_of(size, "head"))
    file = outcome.by_name[NAME]
    assert (file.start, file.content) == (0, STREAM[:size])
    assert outcome.state(NAME) == "fin"
    assert outcome.statistics["stored_bytes"] == size
    assert outcome.statistics["dropped_beyond_bytes"] == 300_000 - size
    assert outcome.statistics["lost_bytes"] == outcome.statistics["dropped_memory_bytes"] == 0


@pytest.mark.parametrize("size", SIZES)
def test_head_takes_no_memory_for_what_comes_behind(size: int) -> None:
    """A block at most twice as large as what is in it, as for a file that ends there."""
    outcome = run(sent(300_000), limits_of(size, "head"))
    whole = run(sent(size), SMALL)
    assert outcome.by_name[NAME].held_bytes <= max(256, whole.by_name[NAME].held_bytes)


def test_head_longer_than_the_stream() -> None:
    outcome = run(sent(3000), limits_of(3000, "head"))
    assert outcome.files() == {NAME: STREAM[:3000]}
    assert outcome.statistics["dropped_beyond_bytes"] == 0


def test_head_reads_to_its_end_without_an_error() -> None:
    with started(limits_of(1000, "head")) as engine:
        feed(engine, sent(50_000))
        (flow,) = engine.list_after(0, 9)
        assert engine.read(flow, 990, 100) == STREAM[990:1000]
        assert engine.read(flow, 1000, 100) == engine.read(flow, 30_000, 100) == b""
        assert about(engine).beyond_bytes == 49_000


@pytest.mark.parametrize("isn", [2**32 - 3, 2**32 - 1000, 2**32 - 40_000])
@pytest.mark.parametrize("keep", ["head", "tail"])
def test_around_the_wrap(isn: int, keep: str) -> None:
    outcome = run(sent(100_000, isn=isn, shuffle=True), limits_of(5000, keep))
    if keep == "head":
        assert outcome.files() == {NAME: STREAM[:5000]}
    else:
        check_tail(outcome, 5000, STREAM[:100_000])


@pytest.mark.parametrize("size", SIZES)
def test_head_out_of_order(size: int) -> None:
    outcome = run(sent(200_000, shuffle=True), limits_of(size, "head"))
    assert outcome.files() == {NAME: STREAM[:size]}
    assert outcome.statistics["dropped_beyond_bytes"] == 200_000 - size


def holed(*holes: tuple[int, int], count: int = 20_000, step: int = 1000) -> Conversation:
    """Bytes of STREAM without the [start, end) of `holes`, which the server acknowledges all the same."""
    conversation = Conversation().handshake()
    for offset in range(0, count, step):
        pieces = [(offset, offset + step)]
        for start, end in holes:
            pieces = [
                piece
                for left, right in pieces
                for piece in ((left, min(right, start)), (max(left, end), right))
                if piece[0] < piece[1]
            ]
        for left, right in pieces:
            conversation.client(left, STREAM[left:right])
        conversation.server_ack(offset + step).wait(0.3)
    return conversation.close()


@pytest.mark.parametrize(
    ("hole", "content", "gaps", "lost"),
    [
        ((500, 700), STREAM[:500] + bytes(200) + STREAM[700:3000], [(500, 200, "ack")], 200),
        ((2900, 3300), STREAM[:2900] + bytes(100), [(2900, 100, "ack")], 100),
        ((2999, 3000), STREAM[:2999] + bytes(1), [(2999, 1, "ack")], 1),
        ((3000, 3500), STREAM[:3000], [], 0),
        ((3500, 9000), STREAM[:3000], [], 0),
        ((2000, 9000), STREAM[:2000] + bytes(1000), [(2000, 1000, "ack")], 1000),
    ],
)
def test_head_and_a_hole(
    hole: tuple[int, int], content: bytes, gaps: list[tuple[int, int, str]], lost: int
) -> None:
    """What is lost behind the limit is none of the file's: it is no gap, and not counted as one."""
    outcome = run(holed(hole), limits_of(3000, "head"))
    assert outcome.files() == {NAME: content}
    assert outcome.gaps(NAME) == gaps
    assert outcome.statistics["lost_bytes"] == lost
    assert outcome.state(NAME) == "fin"
    with started(limits_of(3000, "head")) as engine:
        feed(engine, holed(hole))
        assert about(engine).beyond_bytes == 17_000
        assert about(engine).holes == gaps


def test_head_when_memory_is_short() -> None:
    """What does not fit is lost up to the limit, and no further."""
    conversation = Conversation().handshake().client(0, STREAM[:60_000]).client(60_000, STREAM[60_000:80_000])
    outcome = run(conversation, limits_of(70_000, "head", payload_bytes=BLOCK_BYTES))
    assert outcome.files() == {NAME: STREAM[:65_536] + bytes(4464)}
    assert outcome.gaps(NAME) == [(65_536, 4464, "memory")]
    assert outcome.statistics["dropped_memory_bytes"] == outcome.statistics["lost_bytes"] == 4464
    assert outcome.statistics["dropped_beyond_bytes"] == 10_000


@pytest.mark.parametrize("late", [(2990, 3010), (3000, 3100), (10_000, 10_100), (0, 20_000)])
def test_head_and_what_comes_again(late: tuple[int, int]) -> None:
    """Of what is not kept nothing is known, so it is no conflict; of what is kept, all is."""
    conversation = Conversation().handshake()
    for offset in range(0, 20_000, 1000):
        conversation.client(offset, STREAM[offset : offset + 1000])
    conversation.client(late[0], STREAM[late[0] : late[1]])
    conversation.client(2000, b"X" * 2000)
    outcome = run(conversation.server_ack(20_000).close(), limits_of(3000, "head"))
    assert outcome.files() == {NAME: STREAM[:3000]}
    assert outcome.statistics["duplicate_bytes"] == late[1] - late[0] + 2000
    assert (outcome.statistics["conflicts"], outcome.statistics["conflict_bytes"]) == (1, 2000)


@pytest.mark.parametrize("keep", ["head", "tail"])
def test_the_end_of_the_connection_is_seen_and_the_next_has_its_number(keep: str) -> None:
    conversation = sent(5000).wait(5).again(500_000, 700_000).handshake()
    conversation.client(0, b"second").server_ack(6).rst()
    outcome = run(conversation, limits_of(4, keep))
    again = conversation.client_name(generation=1)
    assert set(outcome.files()) == {NAME, again}
    assert (outcome.state(NAME), outcome.state(again)) == ("fin", "rst")
    assert outcome.files()[again] == (b"seco" if keep == "head" else b"second")


def test_head_of_each_direction() -> None:
    conversation = Conversation().handshake().client(0, b"abcdef").server(0, b"uvwxyz")
    outcome = run(conversation, limits_of(3, "head"))
    assert set(outcome.files().values()) == {b"abc", b"uvw"}


def test_head_of_a_stream_that_is_picked_up_midway() -> None:
    """Offset 0 is where it was picked up."""
    conversation = Conversation().client(100, b"abcdef").client(106, b"ghi").wait(1).client(109, b"jkl")
    outcome = run(conversation, limits_of(4, "head"))
    assert list(outcome.files().values()) == [b"abcd"]


def removed_at(count: int) -> tuple[list[Flow], dict[str, int]]:
    """The files after the first was removed when `count` bytes were there; of each stream 3000 are kept."""
    with started(limits_of(3000, "head")) as engine:
        conversation = sent(6000, step=500)
        packets = conversation.packets
        feed(engine, packets[: 3 + count // 500])
        (flow,) = engine.list_after(0, 9)
        assert flow.size == min(count, 3000)
        engine.remove(flow)
        feed(engine, packets[3 + count // 500 :])
        return engine.list_after(0, 9), engine.statistics()


def test_head_removed_before_it_was_whole() -> None:
    """The file that comes next ends where the first would have."""
    (flow,), numbers = removed_at(1000)
    assert flow.size == 2000
    assert numbers["dropped_beyond_bytes"] == 3000


def test_head_removed_when_it_was_whole() -> None:
    """Nothing of it is wanted, so no file comes, and nothing was refused."""
    for count in (3000, 4500):
        flows, numbers = removed_at(count)
        assert flows == []
        assert numbers["dropped_beyond_bytes"] == 3000
        assert numbers["flows_refused"] == numbers["dropped_refused_bytes"] == 0


def test_head_of_what_grows_forever_is_not_counted_as_idle() -> None:
    """Its payload is seen, though it is not kept: the last of it is the time of the file."""
    conversation = Conversation().handshake().client(0, b"abc").wait(100).client(3, b"def")
    file = run(conversation, limits_of(2, "head")).by_name[NAME]
    assert file.last_ns - file.first_ns >= 100 * SECOND_NS


# --- the tail ----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("step", [700, 1448, 30_000])
def test_tail_holds_at_least_the_last_bytes_and_little_more(size: int, step: int) -> None:
    outcome = run(sent(400_000, step=step), limits_of(size, "tail"))
    check_tail(outcome, size, STREAM[:400_000])
    assert outcome.state(NAME) == "fin"
    assert outcome.statistics["stored_bytes"] == 400_000


@pytest.mark.parametrize("size", [1, 256, 300, 5000, 100_000])
def test_tail_at_any_moment(size: int) -> None:
    with started(limits_of(size, "tail")) as engine:
        given = 0
        for packet in sent(300_000, step=1000).packets:
            feed(engine, [packet])
            for flow in engine.list_after(0, 9):
                given = max(given, flow.size)
                assert min(size, flow.size) <= flow.size - flow.start < bound(size)
                assert flow.held_bytes <= bound(size)
                assert engine.read(flow, flow.start, ALL) == STREAM[flow.start : flow.size]
                if flow.start:
                    with pytest.raises(Evicted):
                        engine.read(flow, flow.start - 1, 1)
        assert given == 300_000


def test_tail_longer_than_the_stream() -> None:
    outcome = run(sent(3000), limits_of(3000, "tail"))
    assert outcome.files() == {NAME: STREAM[:3000]}
    assert outcome.statistics["trimmed_beyond_bytes"] == 0


@pytest.mark.parametrize("size", SIZES)
def test_tail_out_of_order(size: int) -> None:
    check_tail(run(sent(200_000, shuffle=True), limits_of(size, "tail")), size, STREAM[:200_000])


@pytest.mark.parametrize("hole", [(0, 900), (500, 700), (16_000, 19_000), (17_500, 17_501), (1000, 19_999)])
def test_tail_and_a_hole(hole: tuple[int, int]) -> None:
    """A gap counts as what is held; one that reaches into the tail is there as a whole."""
    content = STREAM[: hole[0]] + bytes(hole[1] - hole[0]) + STREAM[hole[1] : 20_000]
    outcome = run(holed(hole), limits_of(3000, "tail"))
    file = outcome.by_name[NAME]
    assert file.content == content[file.start :]
    assert file.size - file.start >= 3000
    assert file.held_bytes <= 2 * bound(3000)
    assert file.gaps == [(hole[0], hole[1] - hole[0], "ack")][: hole[1] > file.start]


def test_tail_of_many_holes() -> None:
    """Each gap begins a block of its own: the bound is that of the blocks, and old ones go all the same."""
    outcome = run(holed(*((at, at + 300) for at in range(500, 20_000, 1000))), limits_of(3000, "tail"))
    file = outcome.by_name[NAME]
    assert 3000 <= file.size - file.start < 6000
    assert file.held_bytes <= 2 * bound(3000)
    assert len(file.gaps) <= 6


def test_tail_behind_a_wide_hole() -> None:
    """Zeros count: what lies before a hole that is wider than the tail goes."""
    conversation = Conversation().handshake().client(0, STREAM[:50_000]).client(60_000, b"end")
    with started(limits_of(1000, "tail")) as engine:
        feed(engine, conversation.server_ack(60_003).wait(1).server_ack(60_003))
        (flow,) = engine.list_after(0, 9)
        assert (flow.size, flow.start) == (60_003, 50_000)
        assert flow.held_bytes == 512
        assert engine.read(flow, 59_998, 10) == b"\0\0end"


@pytest.mark.parametrize("how", ["open", "evicted"])
def test_a_reader_of_a_tail(how: str) -> None:
    """Freed bytes are an error while it reads, the size stays that of the stream; evicted, it reads on."""
    with started(limits_of(2000, "tail")) as engine:
        packets = sent(30_000, step=1000).packets
        feed(engine, packets[:13])
        (flow,) = engine.list_after(0, 9)
        engine.open(flow)
        assert engine.read(flow, 8500, 100) == STREAM[8500:8600]
        feed(engine, packets[13:])
        assert flow.size == 30_000
        with pytest.raises(Evicted):
            engine.read(flow, 8500, 100)
        if how == "evicted":
            engine.remove(flow)
            assert engine.statistics()["pinned_bytes"] == flow.held_bytes > 0
        assert engine.read(flow, 28_000, 5000) == STREAM[28_000:30_000]
        engine.release(flow)


def test_tail_when_memory_is_short() -> None:
    """The budget comes first, and its own counter says so."""
    outcome = run(sent(500_000, step=30_000), limits_of(400_000, "tail", payload_bytes=3 * BLOCK_BYTES))
    file = outcome.by_name[NAME]
    assert file.content == STREAM[file.start : 500_000]
    assert file.held_bytes <= 3 * BLOCK_BYTES
    assert outcome.statistics["trimmed_bytes"] > 0
    assert outcome.statistics["trimmed_bytes"] + outcome.statistics["trimmed_beyond_bytes"] == file.start


def test_what_comes_again_for_freed_bytes() -> None:
    outcome = run(sent(20_000).client(100, b"X" * 50), limits_of(1000, "tail"))
    assert (outcome.statistics["conflicts"], outcome.statistics["lost_bytes"]) == (0, 0)
