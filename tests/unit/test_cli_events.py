"""`flowfs ls --follow` over a log that grows, in pieces, and is turned."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from flowfs.cli import events
from flowfs.cli.looking import Unreadable


def test_each_line_comes_once_and_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"old\n")
    steps = iter([(b"one\ntw", b""), (b"o\n", b""), (b"three\n", b"four\n"), (b"five\n", b"")])

    def wait(_: float) -> bool:
        data, after_turn = next(steps)
        append(path, data)
        if after_turn:
            path.rename(path.with_suffix(".1"))
            append(path, after_turn)
        return False

    monkeypatch.setattr(events, "reader_has_gone", wait)
    found = list(itertools.islice(events._lines(path), 5))
    assert found == [b"one\n", b"two\n", b"three\n", b"four\n", b"five\n"]


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def test_who_reads_no_more_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "events.jsonl").touch()
    monkeypatch.setattr(events, "reader_has_gone", lambda _: True)
    with pytest.raises(BrokenPipeError):
        events.follow(tmp_path, as_json=False)


@pytest.mark.parametrize("line", [b"\n", b"[]\n", b'{"event": 1}\n', b'{"event": "new", "size": "x"}\n'])
def test_what_is_no_event(line: bytes) -> None:
    with pytest.raises(Unreadable):
        events._shown(line, for_people=False)


def test_for_people_and_for_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    line = b'{"event":"rst","time_ns":1700000000123456789,"name":"a\\u001bb","size":1500}\n'
    assert events._shown(line, for_people=False) == "2023-11-14T22:13:20.123456789Z\trst\ta?b\t1500\n"
    assert events._shown(line, for_people=True).endswith(".123  rst        1.5 kB  a?b\n")
    assert events._shown(b'{"event":"lost","count":7}\n', for_people=False).endswith("Z\tlost\t-\t7\n")
