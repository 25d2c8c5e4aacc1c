"""The fixture `mount`: a mount to read from, and to feed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mounted.served import Served, served


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path / "flows") as mount:
        yield mount
