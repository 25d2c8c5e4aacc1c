"""Scenarios 15 to 25 and 51: when a hole is lost, for which reason, and when it is not."""

from __future__ import annotations

import random

import pytest

import craft
from craft import Conversation, timestamps, wscale
from engines import run
from flowfs.core.limits import MIB, Limits

NAME = Conversation().client_name()


def with_hole() -> Conversation:
    """W 0:abc 6:ghi"""
    return Conversation().handshake().client(0, b"abc").client(6, b"ghi")


def wide(shift: int = 7) -> Conversation:
    """W with a window of 64 KiB << shift, and a server that is silent from then on."""
    return Conversation().handshake(wscale(shift)).server_ack(0)


def test_15_hole_ack() -> None:
    outcome = run(with_hole().server_ack(9).wait(0.3).other())
    assert outcome.before.files() == {NAME: b"abc\0\0\0ghi"}
    assert outcome.before.gaps(NAME) == [(3, 3, "ack")]
    assert outcome.statistics["lost_bytes"] == 3


def test_15_hole_ack_by_count() -> None:
    """Time stands still: 32 packets of the connection do it as well [H1]."""
    conversation = with_hole()
    conversation.step_ns = 0
    conversation.server_ack(9)
    for _ in range(31):
        conversation.server_ack(9)
    assert run(conversation).before.files() == {NAME: b"abc"}
    conversation.server_ack(9)
    outcome = run(conversation)
    assert outcome.before.files() == {NAME: b"abc\0\0\0ghi"}
    assert outcome.before.gaps(NAME) == [(3, 3, "ack")]


def test_16_ack_first() -> None:
    outcome = run(with_hole().server_ack(9).wait(0.2).client(3, b"def"))
    assert outcome.before.files() == {NAME: b"abcdefghi"}
    assert outcome.gaps(NAME) == []


def test_17_ack_mid() -> None:
    outcome = run(with_hole().server_ack(5).wait(90).other())
    assert outcome.before.files() == {NAME: b"abc"}
    assert outcome.before.gaps(NAME) == []
    assert outcome.files() == {NAME: b"abc\0\0\0ghi"}
    assert outcome.gaps(NAME) == [(3, 3, "close")]


def test_18_ack_tail() -> None:
    conversation = Conversation().handshake().client(0, b"abc").server_ack(9000).wait(5).other()
    outcome = run(conversation)
    assert outcome.before.files() == outcome.files() == {NAME: b"abc"}
    assert outcome.before.statistics["tail_missing_bytes"] == 0
    assert outcome.statistics["tail_missing_bytes"] == 8997


def test_18_ack_tail_closed() -> None:
    conversation = Conversation().handshake().client(0, b"abc").server_ack(9000).rst(9000)
    outcome = run(conversation)
    assert outcome.before.files() == {NAME: b"abc"}
    assert outcome.before.state(NAME) == "rst"
    assert outcome.before.statistics["tail_missing_bytes"] == 8997
    assert outcome.statistics["tail_missing_bytes"] == 8997


def test_19_ack_forged() -> None:
    conversation = with_hole().server_ack(2**30).wait(1).other()
    outcome = run(conversation)
    assert outcome.before.files() == {NAME: b"abc"}
    assert outcome.statistics["bad_acks"] == 1
    assert outcome.statistics["tail_missing_bytes"] == 0


def test_20_ooo_limit() -> None:
    stream = random.Random(20).randbytes(MIB + 1)
    conversation = wide().client(0, b"abc")
    for start in range(0, len(stream), 1024):
        conversation.client(1000 + start, stream[start : start + 1024])
    outcome = run(conversation)
    assert outcome.before.files() == {NAME: b"abc" + bytes(997) + stream}
    assert outcome.before.gaps(NAME) == [(3, 997, "limit")]


def test_20_ooo_limit_gives_up_the_lowest_half() -> None:
    """Several holes: the lowest go, until half of what waited is left [H2]."""
    conversation = wide()
    for index in range(1, 130):  # 129 times 8 KiB; 64 may stay
        conversation.client(index * 10_000, bytes([index]) * 8192)
    outcome = run(conversation)
    assert outcome.before.by_name[NAME].size == 658_192
    assert outcome.before.gaps(NAME)[:2] == [(0, 10_000, "limit"), (18_192, 1808, "limit")]
    assert outcome.before.by_name[NAME].content[10_000:18_192] == b"\1" * 8192
    assert {gap[2] for gap in outcome.before.gaps(NAME)} == {"limit"}


@pytest.mark.parametrize("shift, size", [(5, 1_500_000), (7, 3_000_000)])
def test_20_a_hole_that_the_receiver_has_as_well_waits(shift: int, size: int) -> None:
    """The peer says that it waits, and has room for all that is behind the hole [H2]: it will be filled."""
    stream = random.Random(20).randbytes(size)
    conversation = wide(shift)
    for start in range(1448, size, 1448):
        conversation.client(start, stream[start : start + 1448])
        if start % 8 == 0:
            conversation.server_ack(0)
    outcome = run(conversation.client(0, stream[:1448]))
    assert outcome.before.files() == {NAME: stream}
    assert outcome.gaps(NAME) == []


def test_20_a_window_that_is_small_is_no_reason() -> None:
    """The same with bytes one by one: more pieces than one flow may have wait, in a window below 1 MiB."""
    conversation = wide(1)
    for offset in range(1, 3500):
        conversation.client(offset, b"x").server_ack(0)
    outcome = run(conversation)
    assert outcome.before.gaps(NAME) == [(0, 1, "limit")]


def test_20_one_flow_within_the_pool() -> None:
    """Whatever it says, the pool is not exceeded [M1]."""
    conversation = wide()
    for start in range(1448, 6 * MIB, 60_000):
        conversation.client(start, bytes(60_000)).server_ack(0)
    outcome = run(conversation, Limits(payload_bytes=16 * MIB, out_of_order_bytes=2 * MIB, table_bytes=MIB))
    assert outcome.before.statistics["out_of_order_used_bytes"] <= 2 * MIB
    assert outcome.gaps(NAME)[0] == (0, 1448, "limit")


def test_21_tiny_ooo() -> None:
    conversation = Conversation().handshake()
    for offset in range(1, 3074):
        conversation.client(offset, b"x")
    packets = conversation.packets
    assert run(packets[:-1]).before.files() == {}
    outcome = run(packets)
    assert outcome.before.files() == {NAME: b"\0" + b"x" * 3073}
    assert outcome.before.gaps(NAME) == [(0, 1, "limit")]


def test_22_hole_wait() -> None:
    conversation = Conversation().handshake().client(0, b"a").client(2, b"c").server_ack(1)
    for _ in range(9):
        conversation.wait(10).other()
    before = run(conversation)
    assert before.before.files() == {NAME: b"a"}
    outcome = run(conversation.client(1, b"b"))
    assert outcome.before.files() == {NAME: b"abc"}
    assert outcome.gaps(NAME) == []


def test_23_hole_eof() -> None:
    outcome = run(Conversation().handshake().client(0, b"a").client(2, b"c"))
    assert outcome.before.files() == {NAME: b"a"}
    assert outcome.files() == {NAME: b"a\0c"}
    assert outcome.gaps(NAME) == [(1, 1, "close")]
    assert outcome.state(NAME) == "open"


def test_24_late_fill() -> None:
    outcome = run(with_hole().server_ack(9).wait(0.3).other().client(3, b"def"))
    assert outcome.files() == {NAME: b"abc\0\0\0ghi"}
    assert outcome.gaps(NAME) == [(3, 3, "ack")]
    assert outcome.statistics["late_bytes"] == 3
    assert outcome.statistics["conflicts"] == 0


def test_24_late_fill_over_the_edges() -> None:
    """What lies around the hole is a duplicate, and compared; what lies in it is late."""
    outcome = run(with_hole().server_ack(9).wait(0.3).other().client(1, b"bcDEFgh").client(2, b"XdefY"))
    assert outcome.files() == {NAME: b"abc\0\0\0ghi"}
    assert outcome.statistics["late_bytes"] == 6
    assert outcome.statistics["duplicate_bytes"] == 6
    assert outcome.statistics["conflict_bytes"] == 2
    assert outcome.conflicts == {NAME: [(2, 1), (6, 1)]}


def test_25_one_way() -> None:
    conversation = Conversation().syn().client_ack(0).client(0, b"a").client(2, b"c")
    assert run(conversation).before.files() == {NAME: b"a"}
    outcome = run(conversation.wait(4).other())
    assert outcome.before.files() == {NAME: b"a\0c"}
    assert outcome.before.gaps(NAME) == [(1, 1, "one-way")]


def test_25_one_way_by_size() -> None:
    """More than 256 KiB behind the hole is enough without any time [H3]."""
    conversation = Conversation(step_ns=0).syn().client(0, b"a")
    for offset in range(2, 300_000, 1024):
        conversation.client(offset, bytes(1024))
    outcome = run(conversation)
    assert outcome.before.by_name[NAME].size > 256 * 1024
    assert outcome.before.gaps(NAME) == [(1, 1, "one-way")]


def test_51_snaplen() -> None:
    whole = random.Random(51).randbytes(1448)
    conversation = Conversation().handshake().client(0, b"x" * 1448, captured=100).client(1448, whole)
    outcome = run(conversation.server_ack(2896))
    assert outcome.before.files() == {NAME: b"x" * 100 + bytes(1348) + whole}
    assert outcome.before.gaps(NAME) == [(100, 1348, "snaplen")]


def test_51_snaplen_of_every_packet() -> None:
    conversation = Conversation().handshake()
    for index in range(5):
        conversation.client(index * 1000, bytes([65 + index]) * 1000, captured=10)
    outcome = run(conversation.server_ack(5000))
    content = b"".join(bytes([65 + index]) * 10 + bytes(990) for index in range(5))
    assert outcome.before.files() == {NAME: content[:-990]}
    assert outcome.gaps(NAME) == [(index * 1000 + 10, 990, "snaplen") for index in range(4)]


def test_51_what_was_cut_is_counted() -> None:
    """Payload that was on the wire, also of segments that come twice, and where the longest frame ended."""
    conversation = Conversation().handshake().client(0, b"abc")
    assert run(conversation).statistics["cut_bytes"] == 0  # though the frame is padded
    assert run(conversation).statistics["cut_at_bytes"] == 0
    for captured in (100, 10, 100):
        conversation.client(3, bytes(1000), captured=captured)
    statistics = run(conversation).statistics
    assert statistics["cut_bytes"] == 900 + 990 + 900
    assert statistics["cut_at_bytes"] == 14 + 40 + 100
    headers = [
        craft.cut(packet, 14 + 20 + 30)
        for packet in Conversation().client(0, bytes(50), options=bytes(12)).packets
    ]
    assert run(headers).statistics["cut_bytes"] == 50  # the options were cut, too


def test_51_snaplen_cuts_the_first() -> None:
    """[L3 H6] What is picked up begins with a segment that was cut: the hole behind it has that reason."""
    conversation = Conversation().client(7000, b"x" * 1448, captured=100).client(8448, b"abc")
    outcome = run(conversation.wait(0.2).other())
    assert outcome.files() == {NAME: b"x" * 100 + bytes(1348) + b"abc"}
    assert outcome.gaps(NAME) == [(100, 1348, "snaplen")]


# --- windows and times [Q2 Q3 Q4] ------------------------------------------------------------------


@pytest.mark.parametrize("shift, beyond", [(None, 65_535), (0, 65_535), (3, 65_535 << 3), (14, 65_535 << 14)])
def test_the_window_that_the_server_advertises(shift: int | None, beyond: int) -> None:
    conversation = Conversation().handshake(wscale(shift) if shift is not None else b"").server_ack(0)
    conversation.client(beyond, b"in").client(beyond + 1, b"out").client(0, b"abc")
    outcome = run(conversation)
    assert outcome.before.files() == {NAME: b"abc"}
    assert outcome.statistics["dropped_window_bytes"] == 3
    assert outcome.statistics["payload_bytes"] == 8


@pytest.mark.parametrize("options", [(wscale(7), b""), (b"", wscale(7))])
def test_both_must_scale(options: tuple[bytes, bytes]) -> None:
    """RFC 7323, 2.2"""
    conversation = Conversation().handshake(*options).server_ack(0).client(0, b"a").client(70_000, b"out")
    assert run(conversation).statistics["dropped_window_bytes"] == 3


def test_a_window_is_not_known_without_both_syns() -> None:
    conversation = Conversation().syn_ack(options=wscale(7)).client_ack(0).server_ack(0).client(0, b"abc")
    outcome = run(conversation.client(15 << 20, b"in").client((17 << 20), b"out"))
    assert outcome.statistics["dropped_window_bytes"] == 3


def test_a_window_that_shrinks_still_counts() -> None:
    """Segments under way were sent into the larger one."""
    conversation = wide().client(0, b"abc").server_ack(3, window=1).client(1_000_000, b"in")
    assert run(conversation).statistics["dropped_window_bytes"] == 0


def timed(value: int, echo: int = 0) -> bytes:
    return timestamps(value, echo)


def with_times() -> Conversation:
    conversation = Conversation().syn(options=timed(100)).syn_ack(options=timed(900, 100))
    return conversation.client_ack(0, options=timed(101, 900))


def test_52_paws() -> None:
    conversation = with_times().client(0, b"evil", options=timed(50, 900))
    conversation.client(0, b"good", options=timed(102, 900))
    outcome = run(conversation)
    assert outcome.files() == {NAME: b"good"}
    assert outcome.statistics["old_timestamps"] == 1
    assert outcome.statistics["dropped_tentative_bytes"] == 4
    assert outcome.statistics["conflicts"] == 0


@pytest.mark.parametrize("value", [2**31 + 50, 2**32 - 1])
def test_52_paws_around_the_end_of_numbers(value: int) -> None:
    conversation = Conversation().syn(options=timed(value)).syn_ack(options=timed(9, value))
    conversation.client(0, b"evil", options=timed(value - 5, 9))
    outcome = run(conversation.client(0, b"good", options=timed(value + 5 & 0xFFFFFFFF, 9)))
    assert outcome.files() == {NAME: b"good"}


def test_52_paws_cannot_be_poisoned() -> None:
    """A forged time from far ahead, which the receiver never echoes, makes nothing old."""
    conversation = with_times().client(0, b"a", options=timed(2_000_000_000, 900))
    conversation.client(1, b"bc", options=timed(103, 900)).client(3, b"def", options=timed(104, 900))
    outcome = run(conversation)
    assert outcome.files() == {NAME: b"abcdef"}
    assert outcome.statistics["old_timestamps"] == 0


@pytest.mark.parametrize("again", [timed(200), b""])
def test_52_a_syn_sent_again_has_a_time_of_its_own(again: bytes) -> None:
    """Which the SYN/ACK echoes (RFC 7323, 5.2): what is older is old. One that says none takes none back."""
    conversation = Conversation().syn(options=timed(100)).syn(options=again)
    conversation.syn_ack(options=timed(900, 200 if again else 100))
    conversation.client(0, b"evil", options=timed(150 if again else 50, 900))
    conversation.client(0, b"good", options=timed(201, 900))
    outcome = run(conversation)
    assert outcome.files() == {NAME: b"good"}
    assert outcome.statistics["old_timestamps"] == 1


def test_52_paws_only_if_both_had_timestamps() -> None:
    conversation = Conversation().syn(options=timed(100)).syn_ack().client(0, b"abc", options=timed(50))
    assert run(conversation).statistics["old_timestamps"] == 0


def test_52_what_looks_old_and_is_acknowledged_is_not_lost() -> None:
    """A capture reorders [H1]: nothing better comes, and the peer has it [T1]."""
    conversation = with_times().server_ack(3, options=timed(901, 105)).client(0, b"abc", options=timed(104))
    outcome = run(conversation.wait(0.3).other())
    assert outcome.before.files() == {NAME: b"abc"}


def test_options_that_were_cut_off() -> None:
    """The snapshot length ends within the header: what is not there is not read."""
    whole = with_times().client(0, b"abc", options=timed(50, 900)).packets
    for captured in range(54, 70):
        outcome = run([*whole[:-1], whole[-1]._replace(frame=whole[-1].frame[:captured])])
        assert outcome.statistics["old_timestamps"] == (1 if captured >= 64 else 0)


def test_51_snaplen_before_the_base_is_known() -> None:
    """What was cut lies before the first packet that was seen [L3 H6]."""
    conversation = Conversation().client(100, b"second").client(0, bytes(40), captured=2)
    conversation.client(40, bytes(60), captured=2).wait(0.3).other()
    assert run(conversation).gaps(NAME) == [(2, 38, "snaplen"), (42, 58, "snaplen")]
