"""A tree above an engine that is fed with conversations: what tests of the directory stand on."""

from __future__ import annotations

from typing import Any, Protocol

from craft import Conversation, batch
from engines import evict
from flowfs.core.engine import Engine
from flowfs.tree import Tree


class Fed(Protocol):
    """Whoever is told what conversations say, and then knows it."""

    def feed(self, conversation: Conversation) -> Conversation:
        """Its packets so far, which it then has no more."""

    def flow(self, port: int = 40_000, data: bytes = b"abc", **more: Any) -> Conversation:
        """One that has begun with these bytes of the client's, and goes on."""
        return self.feed(Conversation(client_port=port, **more).handshake().client(0, data))


class Treed(Fed):
    """Whoever inherits asks the tree."""

    def __init__(self, engine: Engine, tree: Tree) -> None:
        self.engine = engine
        self.tree = tree

    def feed(self, conversation: Conversation) -> Conversation:
        frames, meta = batch(conversation.packets)
        self.engine.feed(frames, meta, conversation.link_type)
        conversation.packets.clear()
        return conversation

    def evict(self, conversation: Conversation) -> None:
        """What the client sent."""
        evict(self.engine, conversation.client_key())
