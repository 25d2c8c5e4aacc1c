"""What flowfs makes of a capture file, as the witnesses have it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from differential.together import Content
from flowfs.capture import open_file
from flowfs.capture.sources import Damage
from flowfs.core.engine import Engine
from flowfs.core.limits import MIB, Limits
from flowfs.dissect import dissect
from flowfs.templates import DEFAULT, Template
from flowfs.tree.letters import Spelling


def files_of_flowfs(path: Path, template: str = DEFAULT) -> dict[str, Content]:
    """The files of a capture, by what a template makes of them."""
    engine = Engine(Limits(payload_bytes=64 * MIB), dissect)
    spell = Spelling(Template(template), engine.origin)
    source = open_file(str(path), 0)
    with suppress(Damage):  # what comes before it is there
        while not source.ended:
            batch = source.next_batch()
            engine.feed(batch.frames, batch.meta, batch.link_type, 0, batch.fraction_ns)
    source.close()
    engine.finish()
    files = {}
    for flow in engine.list_after(0, 1 << 20):
        holes = [(offset, offset + length) for offset, length, _ in flow.gaps()]
        name = b"/".join(spell(flow)).decode()
        files[name] = Content(engine.read(flow, 0, flow.size), holes)
    engine.close()
    return files
