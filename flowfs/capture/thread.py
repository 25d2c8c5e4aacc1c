"""The one thread that reads all sources of a mount, started, stopped and supervised by trio.

Always true: the thread is gone when run() returns. It waits for interfaces and streams in poll(2), never in
libpcap or read(2), which know no way out of waiting; a pipe among them stops it. Signals are left to the main
thread.
"""

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable, Sequence

import trio

from flowfs.core.engine import Engine

from .ahead import Ahead
from .merge import in_order
from .savefile import A_WHILE, CURRENT_S, NOTHING, Savefile
from .sources import META_BYTES, Batch, Damage, Interface, Source

TICK_S = 0.1
PAUSE_S = 0.002
# The clock that ticks stays so far behind that on the wall: libpcap gives a packet so late at the most, and a
# time that has passed it by would stand for its own. What another program writes comes later, see CURRENT_S.
LATE_NS = 20_000_000
WORK_S, READERS_S = 0.0001, 0.0005  # beside readers: our own, and for it time for some ten requests of theirs
FOLLOW_S = 0.05  # how often a file that is still written is looked at: nothing says when it grows


class Capture:
    """Feeds `sources` (interfaces, or else files and streams, in the order of time) to `engine`.

    `on_change` is called on the capture's thread whenever the engine has changes that are urgent. `follow`:
    the file that begins last is still written. `on_short`: files wait while flows have to be saved, for which
    this asks. `ahead` has memory ready for what interfaces give.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        engine: Engine,
        on_change: Callable[[], None] = lambda: None,
        *,
        follow: bool = False,
        on_short: Callable[[], None] | None = None,
        ahead: Ahead | None = None,
    ) -> None:
        self.sources = tuple(sources)
        self.live = any(source.live for source in sources)
        if self.live and not all(source.live for source in sources):
            raise ValueError("interfaces go by the clock, files by their packets: not both at once")
        self.warnings: list[str] = []
        """One line each; grows while the capture runs."""
        self.caught_up = trio.Event()
        """All is read that a file which is still written had so far."""
        self._follow = follow
        self._engine = engine
        self._on_change = on_change
        self._ahead = ahead if self.live else None
        self._on_short = None if self.live else on_short  # an interface does not wait
        self._asked_to_stop = trio.Event()
        self._stopping = False
        self._due = 0.0  # when the clock ticks next, monotonic seconds
        self._settled_s = 0.0  # up to when time is settled with readers
        self._worked_s = 0.0  # what this thread had worked by then
        self._wake_in = self._wake_out = -1
        self._token: trio.lowlevel.TrioToken
        self._has_caught_up = False

    # --- trio's side

    async def run(self) -> None:
        """Returns when all files are read, or after stop(). Closes the sources."""
        self._token = trio.lowlevel.current_trio_token()
        self._wake_in, self._wake_out = os.pipe2(os.O_CLOEXEC)
        try:
            await self._supervise()
        finally:
            for source in self.sources:
                source.close()
            os.close(self._wake_in)
            os.close(self._wake_out)

    def stop(self) -> None:
        """Make run() return soon; on trio's thread."""
        self._asked_to_stop.set()

    @property
    def progress(self) -> tuple[int, int]:
        """Bytes read and bytes in all, of the files; streams are not counted."""
        each = [source.progress for source in self.sources if isinstance(source, Savefile)]
        return sum(done for done, _ in each), sum(total for _, total in each)

    async def _supervise(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._stop_thread)
            await trio.to_thread.run_sync(self._work)
            nursery.cancel_scope.cancel()

    async def _stop_thread(self) -> None:
        """When asked to, or when all of it is cancelled."""
        try:
            await self._asked_to_stop.wait()
        finally:
            self._stopping = True
            os.write(self._wake_out, b"x")

    # --- the thread's side

    def _work(self) -> None:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            if self.live:
                with self._ahead or contextlib.nullcontext():
                    self._watch()
            else:
                if self._on_short is None:  # else flows are saved, which is to read all the time
                    self._engine.on_visit = self._let_read
                self._read_all()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _let_read(self) -> bool:
        """A file waits: while somebody reads what it gave so far, that goes first. A pipe of now does not.

        By our own work, not by slices: these may have one packet, and a pause after each would leave us next
        to nothing. What readers had since it was settled last, while we waited for whatever it was, counts,
        and so does the pause then: hence there is one for every other WORK_S. With one for each, shorter or
        not, both sides took longer, for whoever slept waits for the interpreter.

        False if it is not time yet, and to be asked again.
        """
        now_s, worked_s = time.monotonic(), time.thread_time()
        ours_s = worked_s - self._worked_s
        if ours_s < WORK_S:
            return False
        theirs_s = now_s - self._settled_s - ours_s
        self._settled_s, self._worked_s = now_s, worked_s
        pause_s = min(READERS_S, ours_s / WORK_S * READERS_S - theirs_s)
        if pause_s > 0 and not self._is_current():
            time.sleep(pause_s)  # whoever reads takes turns meanwhile: there is nothing to wait for
        return True

    def _is_current(self) -> bool:
        """Whether packets are of this very moment."""
        return any(isinstance(one, Savefile) and one.is_current for one in self.sources)

    def _feed(self, source: Source, batch: Batch) -> None:
        if self._on_short is None:
            self._engine.feed(*batch[:3], source.number, batch.fraction_ns)
            self._tell()
            return
        count, taken, wanted = len(batch.meta) // META_BYTES, 0, True
        while taken < count and wanted:
            taken = self._engine.feed(*batch[:3], source.number, batch.fraction_ns, taken, True)
            self._tell()
            wanted = taken == count or self._pause(self._on_short)

    def _finish(self) -> None:
        if self._on_short is None:
            self._engine.finish()
            return
        while not self._engine.finish(True) and self._pause(self._on_short):
            pass

    def _pause(self, on_short: Callable[[], None]) -> bool:
        """Let flows be saved for a moment; False if no more is wanted."""
        on_short()
        poller = select.poll()
        poller.register(self._wake_in, select.POLLIN)
        poller.poll(1000 * PAUSE_S)
        return not self._stopping

    def _tell(self) -> None:
        if self._engine.is_urgent():
            self._on_change()

    def _read_all(self) -> None:
        files = [source for source in self.sources if isinstance(source, Savefile)]
        for source, batch in in_order(files, self._wait, self.warnings.append, self._follow):
            self._feed(source, batch)
            if self._stopping:
                break
        if not self._stopping:
            self._finish()
            self._tell()

    def _wait(self, descriptor: int) -> bool:
        """Until the descriptor of a stream is readable, or A_WHILE, or at once; False if no more is wanted.

        The clock ticks for a stream whose packets are of this very moment.
        """
        if descriptor == NOTHING:
            return not self._stopping
        if descriptor == A_WHILE and not self._has_caught_up:
            self._has_caught_up = True
            self._token.run_sync_soon(self.caught_up.set)
        poller = select.poll()
        poller.register(self._wake_in, select.POLLIN)
        if descriptor != A_WHILE:
            poller.register(descriptor, select.POLLIN)
        while not self._stopping:
            patience_s = self._until_due_s()
            ready = poller.poll(1000 * (min(FOLLOW_S, patience_s) if descriptor == A_WHILE else patience_s))
            if self._is_due() and self._is_current():
                self._engine.tick(time.time_ns() - int(CURRENT_S * 1e9))
                self._tell()
            if descriptor == A_WHILE or any(number == descriptor for number, _ in ready):
                return not self._stopping
        return False

    def _until_due_s(self) -> float:
        return max(0.0, self._due - time.monotonic())

    def _is_due(self) -> bool:
        """Whether the clock is to tick; if so, it is not before TICK_S from here."""
        now = time.monotonic()
        if now < self._due:
            return False
        self._due = now + TICK_S
        return True

    def _watch(self) -> None:
        """Read the interfaces as they fill; the clock ticks for the engine whenever they are empty.

        While packets wait, the clock is ahead of them; then time goes by the packets alone.
        """
        watched = {source.descriptor: source for source in self.sources if isinstance(source, Interface)}
        poller = select.poll()
        for descriptor in (self._wake_in, *watched):
            poller.register(descriptor, select.POLLIN)
        while not self._stopping:
            polled = poller.poll(1000 * self._until_due_s())
            polled_ns = time.time_ns()
            ready = [watched[number] for number, _ in polled if number in watched]
            waiting = [self._read_once(source, poller) for source in ready]
            if self._is_due():
                if not any(waiting):
                    self._engine.tick(polled_ns - LATE_NS)
                    self._tell()
                self._look_at_interfaces(poller)
        self._count()

    def _read_once(self, source: Interface, poller: select.poll) -> bool:
        """Feed a batch; whether more may be waiting."""
        try:
            batch = source.next_batch()
        except Damage as damage:
            poller.unregister(source.descriptor)
            if str(damage) not in self.warnings:  # else a network that comes and goes would fill them
                self.warnings.append(str(damage))
            return False
        if batch.meta:
            self._feed(source, batch)
            if self._ahead is not None:
                self._ahead.look()
        return source.full

    def _look_at_interfaces(self, poller: select.poll) -> None:
        """Their counts, and what becomes of them.

        That it goes down wakes poll(2) once, be it beside packets; that it then goes for good does not.
        """
        for source in self._count():
            if not source.gone:
                poller.register(source.descriptor, select.POLLIN)
                self._read_once(source, poller)

    def _count(self) -> list[Interface]:
        interfaces = [source for source in self.sources if isinstance(source, Interface)]
        for interface in interfaces:
            lost = interface.count()
            if lost.packets:
                self._engine.drop(interface.number, lost.since_ns, lost.until_ns, lost.packets)
        return interfaces
