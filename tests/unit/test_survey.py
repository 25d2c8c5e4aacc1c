"""What several threads that look for groups at once do to each other."""

from __future__ import annotations

import pytest

from flowfs.core.engine import Engine
from flowfs.core.limits import Limits
from flowfs.tree import Tree
from flowfs.tree.groups import Ports
from flowfs.tree.shelf import Shelf
from flowfs.tree.survey import Presence
from treed import Treed


class Crowded(dict[int, tuple[int, int]]):
    """What is put in is displaced at once, as others may do who look for other groups."""

    def __setitem__(self, group: int, known: tuple[int, int]) -> None:
        super().__setitem__(group, known)
        del self[group]


def test_a_group_that_others_displace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has found it says so, though it is known no more."""
    engine = Engine(Limits())
    tree = Tree(engine, dict)
    Treed(engine, tree).flow(1000)
    presence = Presence(Shelf(engine, tree._directories), Ports())
    monkeypatch.setattr(presence, "_known", Crowded())
    assert presence.has_any(1000)
    assert not presence.has_any(7)
