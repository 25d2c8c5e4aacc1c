"""However a stream is cut, shuffled, doubled and numbered, its file is the stream; the first byte wins."""

from __future__ import annotations

import hypothesis
from hypothesis import strategies as st

from flowfs.core.engine import Engine
from flowfs.core.limits import Limits
from property import cores
from property.cuttings import SPACE, Sent, captures_of_streams
from property.effort import examples

LIMITS = Limits(payload_bytes=1 << 20, out_of_order_bytes=1 << 20, table_bytes=1 << 16)


def start() -> Engine:
    return cores.under_test().start(LIMITS)


def contents(engine: Engine) -> dict[bytes, bytes]:
    return {file.key: b"".join(data for _, data in file.pieces) for file in cores.tree(engine).files}


@examples(250)
@hypothesis.given(captures_of_streams())
def test_any_cutting(sent: Sent) -> None:
    engine = start()
    cores.feed(engine, sent.packets())
    engine.finish()
    assert contents(engine) == sent.files()
    check_counters(engine.statistics(), sent)
    assert not any(file.gaps or file.generation for file in cores.tree(engine).files)
    engine.close()


@examples(250)
@hypothesis.given(captures_of_streams(conflicting=True))
def test_first_wins_byte_by_byte(sent: Sent) -> None:
    engine = start()
    cores.feed(engine, sent.packets())
    engine.finish()
    assert contents(engine) == sent.files()
    check_counters(engine.statistics(), sent)
    engine.close()


def check_counters(counted: dict[str, int], sent: Sent) -> None:
    """The bytes of the model, and nothing lost on the way."""
    assert counted["stored_bytes"] == sum(model.end for model in sent.models)
    assert counted["payload_bytes"] == sum(model.sent for model in sent.models)
    assert counted["lost_bytes"] == counted["tail_missing_bytes"] == counted["out_of_order_used_bytes"] == 0
    if not any(model.conflicts for model in sent.models):
        assert counted["conflicts"] == 0


@examples(100)
@hypothesis.given(captures_of_streams(conflicting=True))
def test_readable_at_once(sent: Sent) -> None:
    """After each packet all that has no hole before it is there, and nothing else [R3 R5]."""
    engine = start()
    keys, expected = sent.keys(), sent.files()
    for packets, event in zip(sent.steps(), sent.events, strict=True):
        cores.feed(engine, packets)
        found = contents(engine)
        for lane, end in enumerate(event.readable):
            content = found.get(keys[lane], b"")
            assert content == expected.get(keys[lane], b"")[: len(content)]
            exact = sent.ways[lane // 2].lead == "handshake"
            assert len(content) == end if exact else len(content) <= end
    engine.close()


@examples(100)
@hypothesis.given(captures_of_streams(conflicting=True), st.integers(0, SPACE - 1), st.integers(0, SPACE - 1))
def test_numbers_do_not_matter(sent: Sent, client_by: int, server_by: int) -> None:
    """Adding anything to the initial sequence numbers changes nothing."""
    seen = []
    for packets in (sent.packets(), sent.packets(client_by, server_by)):
        engine = start()
        cores.feed(engine, packets)
        before = cores.tree(engine)
        engine.finish()
        seen.append((before, cores.tree(engine)))
        engine.close()
    assert seen[0] == seen[1]
