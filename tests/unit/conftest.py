"""The fixture `place`, of the tests of the archive: where flows are saved; nothing is there yet."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "kept"
