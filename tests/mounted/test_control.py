"""`.flowfs` with the tools that people have: links, attributes, and files that say what there is."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from craft import Conversation
from mounted.served import Served, run
from waiting import eventually, until

pytestmark = pytest.mark.needs("fuse")


def talks(mount: Served, count: int, *, server_port: int = 80) -> list[Conversation]:
    found = [
        Conversation(client_port=40_000 + at, server_port=server_port).handshake().client(0, b"abc %d" % at)
        for at in range(count)
    ]
    for conversation in found:
        mount.feed(conversation)
    return found


def test_links_lead_to_flows(mount: Served) -> None:
    talks(mount, 3, server_port=25)
    (web,) = talks(mount, 1)
    control = mount.path / ".flowfs"
    assert run("cat", control / "by-port/80" / web.client_name()).stdout == "abc 0"
    assert run("sh", "-c", f"cat {control}/by-port/25/*").stdout == "abc 0abc 1abc 2"
    assert run("ls", control / "by-state/open").stdout.count("\n") == 4
    assert run("grep", "-rl", "abc", control / "by-host").stdout == ""  # -r follows no links
    assert len(run("grep", "-Rl", "abc 2", control / "by-host/10.0.0.2").stdout.splitlines()) == 1
    assert run("find", "-L", control / "by-time", "-type", "f", "-size", "-6c").stdout.count("\n") == 4
    link = control / "by-port/80" / web.client_name()
    assert link.resolve() == mount.client(web)
    mount.evict(web)
    assert eventually(lambda: not link.exists() and not (control / "by-port/80").exists(), 5)


def test_attributes_are_copied(mount: Served, tmp_path: Path) -> None:
    (conversation,) = talks(mount, 1)
    flow = mount.client(conversation)
    subprocess.run(["cp", "--preserve=xattr", flow, tmp_path / "copy"], check=True)
    assert os.getxattr(tmp_path / "copy", "user.flowfs.state") == b"open"
    assert set(os.listxattr(flow)) <= set(os.listxattr(tmp_path / "copy"))


def test_a_reader_may_wait_for_a_long_list_while_others_are_served(mount: Served) -> None:
    talks(mount, 300)
    path = mount.path / ".flowfs/flows.jsonl"
    readers = [subprocess.Popen(["cat", path], stdout=subprocess.PIPE) for _ in range(4)]
    for _ in range(20):
        assert len(mount.names()) == 300
    assert {len((reader.communicate(timeout=30)[0] or b"").splitlines()) for reader in readers} == {300}


def test_tail_follows_what_happens(mount: Served) -> None:
    path = mount.path / ".flowfs/events.jsonl"
    with subprocess.Popen(
        ["tail", "-s", "0.05", "-n", "+1", "-F", path], stdout=subprocess.PIPE, text=True
    ) as tail:
        assert tail.stdout is not None
        until(lambda: opens(tail.pid, path))  # events are recorded from the first look on
        (conversation,) = talks(mount, 1)
        mount.feed(conversation.close())
        mount.evict(conversation)
        seen = [json.loads(tail.stdout.readline()) for _ in range(3)]
        tail.kill()
    assert [event["event"] for event in seen] == ["new", "fin", "evicted"]
    assert {event["name"] for event in seen} == {conversation.client_name()}
    assert len(path.read_text().splitlines()) == 3


def opens(process: int, path: Path) -> bool:
    """Whether the process has opened the file."""
    folder = Path(f"/proc/{process}/fd")
    return any(os.path.realpath(entry) == str(path) for entry in folder.iterdir())
