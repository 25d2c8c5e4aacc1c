"""Generated conversations: flowfs, tshark and tcpflow all find what was sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from craft import RAW, write_pcap
from differential.generated import conversations
from differential.loading import files_of_flowfs
from differential.together import Content, put_together
from differential.witnesses import files_of_tcpflow, seen_by_tshark


@pytest.mark.needs("tshark")
@pytest.mark.parametrize("number", range(8))
def test_tshark_agrees(tmp_path: Path, number: int) -> None:
    packets, sent = conversations(number, clean=False)
    path = write_pcap(tmp_path / "capture", packets)
    expected = {name: Content(data, []) for name, data in sent.items()}
    assert put_together(seen_by_tshark(path)) == expected
    assert files_of_flowfs(path) == expected


@pytest.mark.needs("tcpflow")
@pytest.mark.parametrize("number", range(4))
def test_tcpflow_agrees(tmp_path: Path, number: int) -> None:
    """Of bare IP packets: on Ethernet it takes padding for payload, and turns VLAN ids around."""
    packets, sent = conversations(number, clean=True)
    path = write_pcap(tmp_path / "capture", packets, RAW)
    assert files_of_tcpflow(path, tmp_path / "flows") == sent
    assert files_of_flowfs(path) == {name: Content(data, []) for name, data in sent.items()}


@pytest.mark.needs("tcpflow")
@pytest.mark.parametrize(
    "template", ["%A/%a/%B/%b/%#.flow", "%B.%b_%A.%a%C%c", "%T/%t-%a-%b-%#%%", "%v-%A%V/%b/%a%c"]
)
def test_tcpflow_agrees_on_names_by_templates(tmp_path: Path, template: str) -> None:
    """Where each flow has one of its own; tcpflow has no answer where two have the same."""
    packets, _ = conversations(0, clean=True)
    path = write_pcap(tmp_path / "capture", packets, RAW)
    found = {name: content.data for name, content in files_of_flowfs(path, template).items()}
    assert found == files_of_tcpflow(path, tmp_path / "flows", "-T", template)
