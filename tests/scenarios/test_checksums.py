"""Scenarios 49 and 50: what a wrong checksum means, and what else is no part of a stream."""

from __future__ import annotations

import pytest

from craft import BAD, PSEUDO, Conversation
from engines import SMALL, Outcome, feed, run, started
from flowfs.core.limits import ACKED_HOLE_PACKETS, FLOW_OUT_OF_ORDER_SEGMENTS, KIB, MIB, Limits

NAME = Conversation().client_name()
SERVER_NAME = Conversation().server_name()


def with_mode(mode: str) -> Limits:
    return Limits(payload_bytes=4 * MIB, out_of_order_bytes=4 * MIB, table_bytes=MIB, checksum=mode)


def unverified(conversation: Conversation, limits: Limits = SMALL) -> dict[bytes, bool]:
    """Whether each flow says that it has bytes with a wrong checksum, by its content."""
    with started(limits) as engine:
        feed(engine, conversation)
        engine.finish()
        return {engine.read(flow, 0, 99): flow.unverified for flow in engine.list_after(0, 9)}


def test_49_chaff() -> None:
    conversation = Conversation().handshake().client(0, b"xyz", checksum=BAD).client(0, b"xyz", flags="")
    conversation.client(2**30, b"xyz", ack=500_001).client(0, b"abc")
    outcome = run(conversation)
    assert outcome.files() == {NAME: b"abc"}
    assert outcome.statistics["bad_checksums"] == 1
    assert outcome.statistics["dropped_tentative_bytes"] == 3
    assert outcome.statistics["dropped_unacknowledging_bytes"] == 3
    assert outcome.statistics["dropped_window_bytes"] == 3
    assert outcome.statistics["conflicts"] == 0
    assert unverified(conversation) == {b"abc": False}


@pytest.mark.parametrize("checksum", [1, 0xFFFF])
def test_49_chaff_with_a_wrong_ip_checksum(checksum: int) -> None:
    """[V1 V2] Whoever gets it drops it, however right TCP's own is."""
    conversation = Conversation().handshake()
    conversation.send(True, b"xyz", seq=1001, ack=500_001, flags="PA", ttl=9)
    packet = conversation.packets.pop()
    frame = bytearray(packet.frame)
    frame[24:26] = checksum.to_bytes(2, "big")
    conversation.packets.append(packet._replace(frame=bytes(frame)))
    outcome = run(conversation.client(0, b"abc"))
    assert outcome.files() == {NAME: b"abc"}
    assert outcome.statistics["bad_checksums"] == 1
    assert outcome.statistics["conflicts"] == 0


@pytest.mark.parametrize("flags", ["R", "RA", "S", "SA", "F", ""])
def test_49_chaff_that_would_end_it(flags: str) -> None:
    """A RST or SYN that the receiver did not take changes nothing."""
    conversation = Conversation().handshake().client(0, b"abc").server_ack(3)
    conversation.client(3, b"x", flags=flags, checksum=BAD).client(3, b"def").server_ack(6)
    outcome = run(conversation)
    assert outcome.files() == {NAME: b"abcdef"}
    assert outcome.before.state(NAME) == "open"
    assert outcome.statistics["connections"] == 1
    assert outcome.statistics["dropped_checksum_bytes"] == 1


def test_49_chaff_that_acknowledges() -> None:
    """An ACK that nobody took gives up no hole [H1]."""
    conversation = Conversation().handshake().client(0, b"abc").client(6, b"ghi")
    conversation.server_ack(9, checksum=BAD).wait(1).other()
    assert run(conversation).before.files() == {NAME: b"abc"}
    conversation.server_ack(9).wait(1).other()
    assert run(conversation).before.files() == {NAME: b"abc\0\0\0ghi"}


def test_50_offload() -> None:
    conversation = Conversation().handshake().client(0, b"abc", checksum=PSEUDO).client(3, b"def")
    conversation.client(6, b"ghi", checksum=PSEUDO).client(9, b"jkl")
    outcome = run(conversation)
    assert outcome.before.files() == {NAME: b"abcdefghijkl"}
    assert outcome.statistics["bad_checksums"] == 0
    assert unverified(conversation) == {b"abcdefghijkl": False}


def test_50b_offload_foreign() -> None:
    conversation = Conversation().syn(checksum=BAD).syn_ack().client_ack(0, checksum=BAD)
    conversation.client(0, b"abc", checksum=BAD).server(0, b"xyz").client(3, b"def", checksum=BAD)
    outcome = run(conversation)
    assert outcome.before.files() == {NAME: b"abcdef", SERVER_NAME: b"xyz"}
    assert outcome.statistics["bad_checksums"] == 4
    assert unverified(conversation) == {b"abcdef": True, b"xyz": False}


def stale() -> Conversation:
    """What a network card merged, with a checksum of one of the parts."""
    conversation = Conversation().handshake().client(0, b"abc").client(3, b"merged", checksum=BAD)
    return conversation.client(9, b"def")


def test_50c_stale_checksum() -> None:
    conversation = stale().server_ack(12)
    assert run(conversation).before.files() == {NAME: b"abc"}
    outcome = run(conversation.wait(0.3).other())
    assert outcome.before.files() == {NAME: b"abcmergeddef"}
    assert outcome.gaps(NAME) == []
    assert outcome.statistics["unverified_bytes"] == 6
    assert outcome.statistics["conflicts"] == 0
    assert unverified(conversation) == {b"abcmergeddef": True}


def test_50c_stale_checksum_of_the_last() -> None:
    """Nothing comes behind it, and it carries the FIN."""
    conversation = Conversation().handshake().client(0, b"abc").fin(payload=b"last", offset=7, checksum=BAD)
    outcome = run(conversation.server_ack(8).wait(0.3).other())
    assert outcome.before.files() == {NAME: b"abclast"}
    assert outcome.before.state(NAME) == "fin"
    assert outcome.statistics["tail_missing_bytes"] == 0


def test_50c_stale_checksum_at_the_end_of_the_capture() -> None:
    conversation = Conversation().handshake().client(0, b"abc").client(3, b"merged", checksum=BAD)
    assert run(conversation.server_ack(9)).files() == {NAME: b"abcmerged"}


@pytest.mark.parametrize("acked", [3, 5])
def test_50c_not_all_is_acknowledged(acked: int) -> None:
    """Never on any other ground [T1]: time, or what comes behind, makes no data of it."""
    outcome = run(stale().server_ack(acked).wait(30).other())
    assert outcome.before.files() == {NAME: b"abcme"[:acked]}
    assert outcome.files() == {NAME: b"abc" + b"me"[: acked - 3] + bytes(9 - acked) + b"def"}
    assert outcome.gaps(NAME) == [(acked, 9 - acked, "close")]
    assert outcome.statistics["dropped_tentative_bytes"] == 9 - acked


def test_50c_every_one_but_the_first() -> None:
    """As offload looks from the sending host, when the SYN's checksum happens to be right."""
    conversation = Conversation().handshake()
    for index in range(200):
        conversation.client(index * 100, bytes([65 + index % 26]) * 100, checksum=BAD)
        conversation.server_ack((index + 1) * 100)
    outcome = run(conversation)
    content = b"".join(bytes([65 + index % 26]) * 100 for index in range(200))
    assert outcome.files() == {NAME: content}
    behind = 100 * (
        ACKED_HOLE_PACKETS + 2
    )  # two rounds of waiting, in each of which two packets come with 100
    assert len(outcome.before.files()[NAME]) >= len(content) - behind
    assert outcome.gaps(NAME) == []


def test_50c_in_the_middle_of_a_stream() -> None:
    """Bare ACKs are right, everything else was merged: the base is where the peer's ACK was."""
    conversation = Conversation().client_ack(0, seq=1101).server_ack(100)
    conversation.client(100, b"abc", checksum=BAD).server_ack(103).wait(0.2).other()
    assert run(conversation.wait(0.3).other()).before.files() == {NAME: b"abc"}


def test_50c_a_fin_while_the_base_is_not_known() -> None:
    """It is counted from the base, which lies before the segment that came first [L3]."""
    conversation = Conversation().client(3, b"def").fin(payload=b"last", offset=10, checksum=BAD)
    conversation.client(0, b"abc").server_ack(11).wait(0.2).other().wait(0.3).other()
    outcome = run(conversation)
    assert outcome.before.files() == {NAME: b"abcdeflast"}
    assert outcome.before.state(NAME) == "fin"


def test_50c_a_fin_of_what_was_gathered_in_vain() -> None:
    """The stream begins elsewhere, and its fifth byte is not the one that the FIN came behind [L3]."""
    conversation = Conversation().client(0, b"X").fin(offset=5, checksum=BAD)
    for offset in (20_000_000, 20_000_002, 20_000_004):
        conversation.client(offset, b"ab")
    conversation.client(20_000_006, b"cde").client(20_000_060, b"z", checksum=BAD).wait(0.2).other()
    outcome = run(conversation.server_ack(20_000_010).wait(0.3).other())
    assert outcome.before.files() == {NAME: b"abababcde"}
    assert outcome.before.state(NAME) == "open"


def test_50d_bad_then_good() -> None:
    conversation = Conversation().handshake().client(0, b"xyz", checksum=BAD).client(0, b"abc")
    outcome = run(conversation.server_ack(3).wait(1).other())
    assert outcome.before.files() == {NAME: b"abc"}
    assert outcome.statistics["conflicts"] == 0
    assert outcome.statistics["dropped_tentative_bytes"] == 3
    assert unverified(conversation) == {b"abc": False}


def test_50d_bad_then_good_in_parts() -> None:
    """Also where the good bytes wait, and cover but a part."""
    conversation = Conversation().handshake().client(2, b"vwxyz", checksum=BAD).client(4, b"ef")
    conversation.client(0, b"ab").server_ack(7).wait(0.3).other()
    assert run(conversation).before.files() == {NAME: b"abvwefz"}


def test_50d_good_then_bad() -> None:
    conversation = Conversation().handshake().client(0, b"abc").client(0, b"xyz", checksum=BAD)
    outcome = run(conversation.server_ack(3))
    assert outcome.files() == {NAME: b"abc"}
    assert outcome.statistics["conflicts"] == 0


def test_strict() -> None:
    """[V2] Wrong ones are dropped, whatever the direction."""
    conversation = Conversation().syn(checksum=BAD).syn_ack().client(0, b"abc", checksum=BAD)
    conversation.client(0, b"abc").client(3, b"d", checksum=PSEUDO)
    outcome = run(conversation, with_mode("strict"))
    assert outcome.files() == {NAME: b"abcd"}
    assert outcome.statistics["dropped_checksum_bytes"] == 3
    assert outcome.statistics["bad_checksums"] == 2
    assert unverified(conversation, with_mode("strict")) == {b"abcd": False}


def test_off() -> None:
    """[V2] Not looked at."""
    conversation = Conversation().handshake().client(0, b"abc", checksum=BAD).client(0, b"xyz")
    outcome = run(conversation, with_mode("off"))
    assert outcome.files() == {NAME: b"abc"}
    assert outcome.statistics["bad_checksums"] == 0
    assert outcome.statistics["conflicts"] == 1
    assert unverified(conversation, with_mode("off")) == {b"abc": False}


def test_what_is_in_doubt_is_bounded() -> None:
    """One flow has its share of it, all together the budget, and honest bytes go first [T1 M1]."""
    limits = Limits(payload_bytes=4 * MIB, out_of_order_bytes=300 * KIB, table_bytes=MIB)
    with started(limits) as engine:
        for port in range(8):
            conversation = Conversation(client_port=port).handshake()
            for offset in range(0, 60_000, 1000):
                conversation.client(offset, bytes(1000), checksum=BAD)
            feed(engine, conversation)
            assert engine.statistics()["out_of_order_used_bytes"] <= 300 * KIB
        honest = Conversation(client_port=99).handshake().client(50_000, b"x" * 10_000)
        feed(engine, honest.client(0, b"y" * 50_000))
        assert engine.read(engine.list_after(0, 9)[0], 0, 1 << 20) == b"y" * 50_000 + b"x" * 10_000


def test_what_is_in_doubt_is_bounded_by_pieces() -> None:
    with started(Limits(payload_bytes=4 * MIB)) as engine:
        conversation = Conversation().handshake()
        for offset in range(0, 2 * FLOW_OUT_OF_ORDER_SEGMENTS + 100, 2):
            conversation.client(offset, b"x", checksum=BAD)
        feed(engine, conversation)
        assert engine.statistics()["dropped_tentative_bytes"] == 49
        engine.finish()


def test_where_there_is_too_much_in_doubt_the_acknowledged_is_data_at_once() -> None:
    """A fast transfer in merged segments: 32 packets of 64 KiB are more than a flow may have wait."""
    conversation = Conversation(step_ns=1000).handshake()
    outcome: Outcome
    for offset in range(0, 2 * MIB, 65_000):
        conversation.client(offset, bytes(65_000), checksum=BAD).server_ack(offset + 65_000)
    outcome = run(conversation)
    assert outcome.by_name[NAME].size == conversation.client_next
    assert outcome.gaps(NAME) == []
