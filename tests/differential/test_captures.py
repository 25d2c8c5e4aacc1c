"""tshark's segments of the collected captures, put together by `together`, are the files of flowfs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from captures.test_manifest import entries
from differential.loading import files_of_flowfs
from differential.together import Content, put_together
from differential.witnesses import seen_by_tshark

pytestmark = [pytest.mark.needs("captures", "tshark"), pytest.mark.slow]

# What a capture has in it, and why the two cannot agree on it.
DISAGREES_BY_TAG = {
    "frag-conflict": "tshark puts fragments together that overlap with other bytes; we discard them",
    "checksum": "`together` takes a segment with a wrong checksum for data",
    "fin-data": "`together` keeps data behind an acknowledged FIN",
}
DISAGREES = {
    "tfo.dev.pcap": "`together` keeps data in a SYN that was not acknowledged",
    "qinq.dev.pcap": "tshark does not know one of the customary types of a tag",
    "midstream.dev.pcap": "where a stream begins that lacks its start, only the peer's ACK tells",
    "lost_syn.dev.pcap": "the same",
}


def why_not(entry: dict[str, Any]) -> str | None:
    """Why the two cannot agree on a capture, None if they must."""
    reasons = [reason for tag, reason in DISAGREES_BY_TAG.items() if tag in entry["tags"]]
    return DISAGREES.get(entry["file"]) or (reasons[0] if reasons else None)


def files_of_tshark(path: Path) -> dict[str, Content]:
    return put_together(seen_by_tshark(path))


def certain(files: dict[str, Content], entry: dict[str, Any]) -> dict[str, Content]:
    """Without the files that the manifest calls uncertain."""
    return {name: content for name, content in files.items() if name not in entry.get("uncertain", [])}


@pytest.mark.parametrize(
    "entry", [entry for entry in entries() if not why_not(entry)], ids=lambda entry: entry["file"]
)
def test_a_capture(captures: Path, entry: dict[str, Any]) -> None:
    path = captures / entry["file"]
    assert certain(files_of_flowfs(path), entry) == certain(files_of_tshark(path), entry)


@pytest.mark.parametrize(
    "entry", [entry for entry in entries() if why_not(entry)], ids=lambda entry: entry["file"]
)
def test_what_is_left_out_does_disagree(captures: Path, entry: dict[str, Any]) -> None:
    """Else it is left out for nothing."""
    path = captures / entry["file"]
    assert files_of_flowfs(path) != files_of_tshark(path)


def test_few_are_left_out() -> None:
    assert sum(why_not(entry) is None for entry in entries()) > 80
