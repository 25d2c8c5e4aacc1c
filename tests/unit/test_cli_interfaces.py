"""`flowfs interfaces`: what is shown, and the hint."""

from __future__ import annotations

import json

import pytest

from flowfs.cli import interfaces as module
from flowfs.cli import main
from flowfs.interfaces import Interface

LISTED = [
    Interface("lo", "up", "loopback", ("127.0.0.1/8", "::1/128")),
    Interface("e\x1b[2J", "down", "Ethernet", ()),
]


@pytest.fixture(autouse=True)
def _listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "interfaces", lambda: LISTED)
    monkeypatch.setattr(module, "may_capture", lambda: True)


def test_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["interfaces"]) == 0
    assert capsys.readouterr() == (
        "lo\tup\tloopback\t127.0.0.1/8,::1/128\ne?[2J\tdown\tEthernet\t-\n",
        "",
    )


def test_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["interfaces", "--json"]) == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first == {
        "name": "lo",
        "state": "up",
        "link": "loopback",
        "addresses": ["127.0.0.1/8", "::1/128"],
    }
    assert second["name"] == LISTED[1].name


@pytest.mark.parametrize(("options", "hints"), [([], 1), (["-q"], 0)])
def test_the_hint(
    options: list[str], hints: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "may_capture", lambda: False)
    assert main(["interfaces", *options]) == 0
    said = capsys.readouterr()
    assert said.out.count("\n") == 2
    assert said.err.count("no right to capture (CAP_NET_RAW): run flowfs with sudo") == hints


def test_a_kernel_that_does_not_tell(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def silent() -> list[Interface]:
        raise OSError(93, "Protocol not supported")

    monkeypatch.setattr(module, "interfaces", silent)
    assert main(["interfaces"]) == 1
    assert (
        capsys.readouterr().err == "flowfs: the kernel does not tell its interfaces: Protocol not supported\n"
    )
