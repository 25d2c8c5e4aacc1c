"""A thread that has memory ready before packets fill it, so that the capture does not wait for the kernel.

Whoever writes to a page for the first time waits until the kernel has found and cleared it: 0.1 ms for each 2
MiB, or ten where a hypervisor has to find it, too; meanwhile the buffer of an interface runs over. Always
true: no more than AHEAD_BYTES and a step beyond what is in use are made ready, so much from the beginning on,
for what comes first may come as fast as all else; nobody waits for the thread, but at the end, for one step;
it sleeps while nothing grows, and ends when all is ready.
"""

from __future__ import annotations

from threading import Event, Thread
from types import TracebackType

from flowfs.core.engine import Engine

AHEAD_BYTES = 16 << 20  # 0.1 s of 1.3 Gbit/s: for so long the thread may have to wait for a processor
STEP_BYTES = 2 << 20  # a page of the largest kind


class Ahead:
    """A context manager; in it, look() after whatever may have filled memory."""

    def __init__(self, engine: Engine) -> None:
        self.ready_bytes = 0
        """Below this there is memory."""
        self._engine = engine
        self._due_bytes = 0  # when so much is in use, it goes on
        self._wanted = Event()
        self._stopping = False
        self._thread = Thread(target=self._run, name="ahead", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping = True
        self._wanted.set()
        self._thread.join()

    def look(self) -> None:
        """Have it go on if half of what was ready is in use; cheap."""
        if self._engine.fresh_bytes() > self._due_bytes:
            self._wanted.set()

    def _run(self) -> None:
        capacity_bytes = self._engine.store.arena.capacity_bytes
        while self.ready_bytes < capacity_bytes and not self._stopping:
            self._go_on(capacity_bytes)
            if self.ready_bytes < capacity_bytes:
                self._due_bytes = self.ready_bytes - AHEAD_BYTES // 2
                self._wanted.wait()
                self._wanted.clear()
        self._due_bytes = capacity_bytes

    def _go_on(self, capacity_bytes: int) -> None:
        """To AHEAD_BYTES beyond what is in use, however that grows meanwhile."""
        fresh_bytes = self._engine.fresh_bytes()
        while self.ready_bytes < min(fresh_bytes + AHEAD_BYTES, capacity_bytes) and not self._stopping:
            start = max(self.ready_bytes, fresh_bytes)  # what is in use has its memory
            end = (start // STEP_BYTES + 1) * STEP_BYTES
            self._engine.prepare(end, start)
            self.ready_bytes = min(end, capacity_bytes)
            fresh_bytes = self._engine.fresh_bytes()
