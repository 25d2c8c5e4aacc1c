"""Every input of the corpus keeps every promise; what was found once is never lost again."""

from __future__ import annotations

from pathlib import Path

import pytest

from fuzz.seeds import SEEDS
from fuzz.targets import CORPUS, TARGETS

INPUTS = sorted(path for path in CORPUS.glob("*/*"))


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_an_input(path: Path) -> None:
    TARGETS[path.parent.name](path.read_bytes())


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_and_nonsense(target: str) -> None:
    for data in (b"", b"\0", b"\xff", bytes(500), b"\xff" * 500, bytes(range(256)) * 3):
        TARGETS[target](data)


@pytest.mark.parametrize("target", TARGETS)
def test_the_seeds_are_in_the_corpus(target: str) -> None:
    """As `python tests/fuzz/seeds.py` writes them."""
    there = {path.name: path.read_bytes() for path in (CORPUS / target).glob("seed-*")}
    assert there == {f"seed-{name}": data for name, data in SEEDS[target]().items()}


@pytest.mark.parametrize("target", TARGETS)
def test_the_corpus_is_small(target: str) -> None:
    sizes = [path.stat().st_size for path in (CORPUS / target).iterdir()]
    assert 0 < len(sizes) <= 60
    assert sum(path.stat().st_size for path in INPUTS) <= 200 << 10
