"""Tools that read flows which do not grow: one that rests, one that has ended, one that sleeps."""

from __future__ import annotations

import hashlib
import mmap
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from craft import Conversation
from mounted.served import run, served
from tree.growing import output

pytestmark = pytest.mark.needs("fuse")

PATTERN = b"".join(b"%07d\n" % line for line in range(40_000))


def send(conversation: Conversation, data: bytes, begin: int = 0, segment: int = 1460) -> Conversation:
    """The client sends data[begin:], which the server acknowledges."""
    for at in range(begin, len(data), segment):
        conversation.client(at, data[at : at + segment])
    return conversation.server_ack(len(data))


KINDS = {"live": 40_000, "closed": 41_000, "asleep": 42_000}  # by the port


@pytest.fixture(scope="module")
def flows(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """A flow of PATTERN of each kind: one that goes on, one that has ended, one of which nothing came."""
    with served(tmp_path_factory.mktemp("still") / "flows", patience_s=300) as mount:
        flows = {
            kind: send(Conversation(client_port=port).handshake(), PATTERN) for kind, port in KINDS.items()
        }
        mount.feed(flows["asleep"])
        mount.ask("lay_down_all")
        mount.feed(flows["closed"].close())
        mount.feed(flows["live"])
        assert mount.statistics()["connections_asleep"] == 1
        yield {kind: mount.client(conversation) for kind, conversation in flows.items()}


@pytest.fixture(params=KINDS)
def flow(request: pytest.FixtureRequest, flows: dict[str, Path]) -> Path:
    return flows[request.param]


@pytest.fixture
def closed(flows: dict[str, Path]) -> Path:
    return flows["closed"]


def test_cat(flow: Path) -> None:
    assert flow.read_bytes() == PATTERN
    assert run("cat", flow).stdout.encode() == PATTERN


def test_cp_and_cmp(flow: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    assert run("cp", "-a", flow, copy).stderr == ""
    assert copy.read_bytes() == PATTERN
    assert copy.stat().st_mtime_ns == flow.stat().st_mtime_ns
    assert run("cmp", flow, copy).returncode == 0


@pytest.mark.parametrize(
    ("block", "skip", "count"), [(7, 3, 5), (1000, 11, 3), (131072, 1, 1), (4097, 70, 9), (1, 319_998, 9)]
)
def test_dd_at_odd_places(flow: Path, tmp_path: Path, block: int, skip: int, count: int) -> None:
    part = tmp_path / "part"
    done = run("dd", f"if={flow}", f"of={part}", f"bs={block}", f"skip={skip}", f"count={count}")
    assert done.returncode == 0, done.stderr
    assert part.read_bytes() == PATTERN[block * skip : block * (skip + count)]


def test_head_tail_and_wc(flow: Path) -> None:
    assert run("wc", "-c", flow).stdout.split()[0] == str(len(PATTERN))
    assert run("tail", "-n", "2", flow).stdout == "0039998\n0039999\n"
    assert run("head", "-c", "10", flow).stdout == "0000000\n00"


def test_mmap(flow: Path) -> None:
    with flow.open("rb") as file, mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ) as view:
        assert view[:] == PATTERN
        assert view.find(b"0012345") == 12345 * 8


def test_shared_mmap_of_a_closed_flow(closed: Path) -> None:
    with closed.open("rb") as file, mmap.mmap(file.fileno(), 0, mmap.MAP_SHARED, mmap.PROT_READ) as view:
        assert view[:] == PATTERN


TOOLS = {
    "strings": ["strings", "FLOW"],
    "rg": ["rg", "-aN", "--no-heading", "--mmap", "", "FLOW"],
    "dd": ["dd", "if=FLOW", "ibs=1001", "obs=97", "status=none"],
    "less": ["sh", "-c", "less FLOW | cat"],
    "tac": ["sh", "-c", "tac FLOW | tac"],
    "tail": ["tail", "-c", "+1", "FLOW"],
}


@pytest.mark.parametrize("tool", TOOLS)
def test_all_of_it(flow: Path, tool: str) -> None:
    assert output([word.replace("FLOW", str(flow)) for word in TOOLS[tool]]) == PATTERN


def test_file_and_sha256sum(flow: Path) -> None:
    assert "ASCII text" in run("file", flow).stdout
    assert run("sha256sum", flow).stdout.split()[0] == hashlib.sha256(PATTERN).hexdigest()


@pytest.mark.parametrize("tail_bytes", [1024, 65536])
def test_the_end_of_a_flow_whose_head_was_freed(tmp_path: Path, tail_bytes: int) -> None:
    """It is read to the byte, also when the flow has ended, and tail(1) need not begin where nothing is."""
    conversation = send(Conversation().handshake(), PATTERN)
    with served(tmp_path / "flows", max_flow_bytes=tail_bytes, keep="tail") as mount:
        mount.feed(conversation.close())
        flow = mount.client(conversation)
        freed = int(os.getxattr(flow, "user.flowfs.freed"))
        assert 0 < freed <= len(PATTERN) - tail_bytes
        for count in (5, 1000, len(PATTERN) - freed):
            assert output(["tail", "-c", str(count), flow]) == PATTERN[-count:]
        assert run("cat", flow).stderr.endswith("Input/output error\n")
