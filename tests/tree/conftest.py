"""The fixtures `opens` and `door`: whoever takes one of them runs behind both doors.

`opens` opens a door with limits, `names`, `visible` or `sources` of its own; `door` is one without. `growing`
is a flow in a mount, for tools, which have but one door, and `whole` a file of the same bytes.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from mounted.served import Served, served
from tree.direct import Direct
from tree.doors import Door
from tree.growing import DATA, Growing
from tree.mounted import Mounted

HERE = Path(__file__).parent
DOORS = ["direct", pytest.param("mounted", marks=pytest.mark.needs("fuse"))]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is mounted is the flowfs that is installed, whichever core is promised: that is tried once."""
    if os.environ.get("FLOWFS_CORE") == "interpreted":
        left = [item for item in items if item.path.is_relative_to(HERE) and item.get_closest_marker("needs")]
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]


@pytest.fixture(params=DOORS)
def opens(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Door]]:
    with doors(request.param, tmp_path) as opened:
        yield opened


@contextmanager
def doors(kind: str, folder: Path) -> Iterator[Callable[..., Door]]:
    """Opens doors of this kind, which are closed in the end."""
    with ExitStack() as stack:
        numbers = itertools.count()

        def opened(**how: Any) -> Door:
            if kind == "direct":
                direct = Direct(**how)
                stack.callback(direct.engine.close)
                return direct
            return Mounted(stack.enter_context(served(folder / f"flows{next(numbers)}", **how)))

        yield opened


@pytest.fixture
def door(opens: Callable[..., Door]) -> Door:
    return opens()


@pytest.fixture
def growing(mount: Served) -> Growing:
    return Growing(mount)


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """An ordinary file of the same bytes."""
    path = tmp_path / "whole"
    path.write_bytes(DATA)
    return path
