"""Networks to capture in, for the live tests; each test has its own, and nothing of it stays."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from live.network import Namespace, join
from live.relay import Relay

LEFT = ("10.9.0.1/24", "fd09::1/64")
RIGHT = ("10.9.0.2/24", "fd09::2/64")

Pair = tuple[Namespace, Namespace]


@pytest.fixture
def alone() -> Iterator[Namespace]:
    """A namespace that has its loopback only."""
    namespace = Namespace()
    yield namespace
    namespace.close()


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Two namespaces, joined by `eth0` on both sides: 10.9.0.1 and fd09::1, 10.9.0.2 and fd09::2."""
    left, right = Namespace(), Namespace()
    join(left, right)
    left.add_addresses("eth0", *LEFT)
    right.add_addresses("eth0", *RIGHT)
    yield left, right
    left.close()
    right.close()


@pytest.fixture
def bad_cable() -> Iterator[tuple[Namespace, Namespace, Relay]]:
    """Like `pair`, with a relay between the two that harms frames once it is told to."""
    left, right = Namespace(), Namespace()
    relay = Relay(left, right)
    left.add_addresses("eth0", *LEFT)
    right.add_addresses("eth0", *RIGHT)
    yield left, right, relay
    relay.close()
    left.close()
    right.close()
