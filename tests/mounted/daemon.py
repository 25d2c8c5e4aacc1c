"""A mount in a process of its own, steered through its standard input: python daemon.py MOUNTPOINT UID LIMITS

Each line is a JSON list, a command and its arguments; each is answered with one line. The commands run in a
thread, as the capture does in the program, so that the mount is read while the engine is fed. With a UID
other than 0 root mounts for that user and gives its rights up. Among the limits are `names`, a template,
`visible`, and `sources`, their names.

python daemon.py --forks DESCRIPTOR forks such processes, see `forking`.
"""

from __future__ import annotations

import base64
import json
import os
import random
import selectors
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import trio
from trio.testing import wait_all_tasks_blocked

from flowfs.core.engine import Engine
from flowfs.core.limits import HOT_NS, Limits
from flowfs.mount import Mount, MountError
from flowfs.templates import DEFAULT
from flowfs.tree import Tree, directories

PACKET_BYTES = 16  # of a batch's description


class Steering:
    """The commands. `notify` tells the mount that there are changes."""

    def __init__(
        self, engine: Engine, tree: Tree, notify: Callable[[], None], token: trio.lowlevel.TrioToken
    ) -> None:
        self.engine = engine
        self.tree = tree
        self.notify = notify
        self.token = token
        self.spinning = False

    def feed(self, frames: str, meta: str, link_type: int, notify: bool) -> None:
        self.engine.feed(base64.b64decode(frames), base64.b64decode(meta), link_type)
        if notify:
            self.notify()

    def trickle(self, frames: str, meta: str, link_type: int, pause_s: float) -> None:
        """Feed packets one by one, `pause_s` after each at the most."""
        chance, every, rows = random.Random(1), base64.b64decode(frames), base64.b64decode(meta)
        for row in range(0, len(rows), PACKET_BYTES):
            self.engine.feed(every, rows[row : row + PACKET_BYTES], link_type)
            self.notify()
            time.sleep(chance.random() * pause_s)

    def tick(self, now_ns: int) -> None:
        self.engine.tick(now_ns)
        self.notify()

    def rest(self) -> None:
        """Time passes, in which nothing grows."""
        self.tick(self.engine.now_ns + HOT_NS)

    def finish(self) -> None:
        self.engine.finish()
        self.notify()

    def evict(self, key: str, generation: int) -> None:
        """As for want of memory: no reader has asked for it."""
        with self.engine.turn:
            flows = self.engine.flows
            self.engine.store.evict(flows.file(flows.find(bytes.fromhex(key), generation)))
            flows.collect()
        self.notify()

    def lay_down_all(self) -> None:
        """Everybody sleeps who can, as if nothing had come for a while."""
        with self.engine.turn:
            self.engine.flows.lay_down_all()

    def settle(self) -> None:
        """Until the kernel was told of all that has happened."""
        trio.from_thread.run(self._settled, trio_token=self.token)

    async def _settled(self) -> None:
        threads = trio.to_thread.current_default_thread_limiter()
        while True:
            await wait_all_tasks_blocked()
            if not self.tree.changed() and not threads.borrowed_tokens:
                return
            await trio.sleep(0.001)

    def statistics(self) -> dict[str, int]:
        return self.engine.statistics()

    def spin(self, on: bool) -> None:
        """Keep the interpreter busy, as a capture at full speed does."""
        self.spinning = on
        if on:
            threading.Thread(target=self._spin, daemon=True).start()

    def _spin(self) -> None:
        while self.spinning:
            sum(range(100))

    def break_reading(self) -> None:
        """From now on the tree has a fault."""

        def broken(handle: int, offset: int, size: int) -> bytes:
            raise ZeroDivisionError("a fault")

        vars(self.tree)["read_page"] = broken


async def main(mountpoint: str, uid: int, limits: dict[str, Any]) -> None:
    names, visible = limits.pop("names", DEFAULT), limits.pop("visible", False)
    about = {"sources": limits.pop("sources", [])}
    engine = Engine(Limits(**limits))
    tree = Tree(engine, lambda: about, visible, directories(engine, names))
    if uid:
        os.setresuid(uid, 0, 0)
    mount = Mount.open(tree, mountpoint)
    if uid:
        os.setresuid(uid, uid, uid)
    token = trio.lowlevel.current_trio_token()

    def notify() -> None:
        token.run_sync_soon(mount.notify, idempotent=True)

    def steer() -> None:
        steering = Steering(engine, tree, notify, token)
        for line in sys.stdin:
            command, *arguments = json.loads(line)
            say(getattr(steering, command)(*arguments))
        token.run_sync_soon(mount.terminate)

    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(mount.serve)
            say(mount.warnings)
            threading.Thread(target=steer, daemon=True).start()
    finally:
        mount.close()


def say(answer: Any) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def forked(link: socket.socket) -> list[str]:
    """Fork for each who asks through `link`: returns the arguments in the child, and [] once nobody asks.

    With them come descriptors for its standard input, output and errors, and one for its exit status. The
    answer is its process number.
    """
    watched = selectors.DefaultSelector()
    watched.register(link, selectors.EVENT_READ)
    while True:
        for key, _ in watched.select():
            if key.fileobj is not link:
                watched.unregister(key.fileobj)
                pid, ending = key.data
                status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                os.write(ending, str(status).encode())
                os.close(ending)
                os.close(key.fd)
                continue
            said, given, _, _ = socket.recv_fds(link, 65536, 4)
            if not said:
                return []
            pid = os.fork()
            if not pid:
                take_over(watched, given)
                return [*json.loads(said)]
            watched.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, given.pop()))
            for number in given:
                os.close(number)
            link.send(str(pid).encode())


def take_over(watched: selectors.BaseSelector, given: list[int]) -> None:
    """In a child: nothing stays open but the standard descriptors, which are those given."""
    for key in watched.get_map().values():
        os.close(key.fd)
        if key.data:
            os.close(key.data[1])
    watched.close()
    for number, descriptor in enumerate(given[:3]):
        os.dup2(descriptor, number)
    for descriptor in given:
        os.close(descriptor)


if __name__ == "__main__":
    asked = sys.argv[1:]
    if asked[0] == "--forks":
        link = socket.socket(fileno=int(asked[1]))
        asked = forked(link)
        link.detach()
    sys.setswitchinterval(0.0002)
    try:
        if asked:
            trio.run(main, asked[0], int(asked[1]), json.loads(asked[2]))
    except MountError as error:
        sys.exit(str(error))
