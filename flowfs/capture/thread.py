"""The one thread that reads all sources of a mount, started, stopped and supervised by trio.

Always true: the thread is gone when run() returns. It waits for interfaces in poll(2), never in libpcap,
which knows no way out of waiting; a pipe among them stops it. A read of a stream that blocks is stopped
by a signal, sent until the thread notices. All other signals are left to the main thread, since each
would end a read in the middle of a packet.
"""

import contextlib
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import trio

from flowfs.core.engine import Engine

from .sources import Damage, Drops, File, Interface, Source, Stream

TICK_S = 0.1
STREAM_FLUSH_S = 0.005  # a packet of a stream is shown at most this late
INTERRUPT_S = 0.01

_INTERRUPT = signal.SIGURG  # ignored by default, so that a stray one does no harm


class Capture:
    """Feeds `sources` (interfaces, or else files and streams, one after another) to `engine`.

    `on_change` is called on the capture's thread whenever the engine has changes to tell.
    """

    def __init__(
        self, sources: Sequence[Source], engine: Engine, on_change: Callable[[], None] = lambda: None
    ) -> None:
        self.sources = tuple(sources)
        self.live = any(source.live for source in sources)
        if self.live and not all(source.live for source in sources):
            raise ValueError("interfaces go by the clock, files by their packets: not both at once")
        self.warnings: list[str] = []
        """One line each; grows while the capture runs."""
        self._engine = engine
        self._on_change = on_change
        self._asked_to_stop = trio.Event()
        self._stopping = False
        self._ended = False
        self._thread = 0
        self._wake_in = self._wake_out = -1

    # --- trio's side

    async def run(self) -> None:
        """Returns when all files are read, or after stop(). Closes the sources."""
        self._wake_in, self._wake_out = os.pipe2(os.O_CLOEXEC)
        try:
            with _interruptible():
                await self._supervise()
        finally:
            for source in self.sources:
                source.close()
            os.close(self._wake_in)
            os.close(self._wake_out)

    def stop(self) -> None:
        """Make run() return soon; on trio's thread."""
        self._asked_to_stop.set()

    def drops(self) -> Drops:
        """What became of the packets so far, of all sources together."""
        each = [source.drops() for source in self.sources]
        return Drops(
            sum(drops.received for drops in each),
            sum(drops.kernel for drops in each),
            sum(drops.interface for drops in each),
        )

    @property
    def progress(self) -> tuple[int, int]:
        """Bytes read and bytes in all, of the files; streams are not counted."""
        files = [source for source in self.sources if isinstance(source, File)]
        return sum(file.position for file in files), sum(file.size for file in files)

    async def _supervise(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._stop_thread)
            nursery.start_soon(self._flush_streams)
            try:
                await trio.to_thread.run_sync(self._work)
            finally:
                self._ended = True  # also if it never began
            nursery.cancel_scope.cancel()

    async def _stop_thread(self) -> None:
        try:
            await self._asked_to_stop.wait()
        finally:
            self._stopping = True
            os.write(self._wake_out, b"x")
            if not self._ended:
                for source in self.sources:
                    source.cut_off()  # with a filter that lets little through, one read may take minutes
            with trio.CancelScope(shield=True):
                while not self._ended:
                    self._interrupt()
                    await trio.sleep(INTERRUPT_S)

    def _interrupt(self) -> None:
        if self._thread and not self.live:
            signal.pthread_kill(self._thread, _INTERRUPT)

    async def _flush_streams(self) -> None:
        """Show what has come although no batch is full, and let the clock tick for a stream that is live."""
        streams = [source for source in self.sources if isinstance(source, Stream)]
        due = trio.current_time()
        while streams:
            await trio.sleep(STREAM_FLUSH_S)
            for stream in streams:
                stream.flush()
            if trio.current_time() >= due and any(stream.is_current for stream in streams):
                due = trio.current_time() + TICK_S
                self._engine.tick(time.time_ns())
                self._tell()

    # --- the thread's side

    def _work(self) -> None:
        others = signal.valid_signals() - {_INTERRUPT}
        before = signal.pthread_sigmask(signal.SIG_BLOCK, others)
        self._thread = threading.get_ident()
        try:
            if self.live:
                self._watch()
            else:
                self._read_all()
        finally:
            self._ended = True
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _feed(self, source: Source, frames: bytes, meta: bytes) -> None:
        self._engine.feed(frames, meta, source.link_type, source.number)
        self._tell()

    def _tell(self) -> None:
        if self._engine.changed():
            self._on_change()

    def _read_all(self) -> None:
        for source in self.sources:
            try:
                source.read(self._feed, lambda: self._stopping)
            except Damage as damage:
                if not self._stopping:
                    self.warnings.append(str(damage))
            if self._stopping:
                return
        self._engine.finish()
        self._tell()

    def _watch(self) -> None:
        """Read the interfaces as they fill; the clock ticks for the engine whenever they are empty.

        While packets wait, the clock is ahead of them; then time goes by the packets alone.
        """
        watched = {source.descriptor: source for source in self.sources if isinstance(source, Interface)}
        poller = select.poll()
        for descriptor in (self._wake_in, *watched):
            poller.register(descriptor, select.POLLIN)
        due = time.monotonic()
        while not self._stopping:
            wait_s = max(0.0, due - time.monotonic())
            ready = [watched[number] for number, _ in poller.poll(wait_s * 1000) if number in watched]
            waiting = [self._read_once(source, poller) for source in ready]
            if time.monotonic() >= due:
                due = time.monotonic() + TICK_S
                if not any(waiting):
                    self._engine.tick(time.time_ns())
                    self._tell()
                self._look_at_interfaces(poller)
        self._count()

    def _read_once(self, source: Interface, poller: select.poll) -> bool:
        """Feed a batch; whether more may be waiting."""
        try:
            frames, meta = source.next_batch()
        except Damage as damage:
            poller.unregister(source.descriptor)
            if source.gone or not source.down:
                self.warnings.append(str(damage))
            source.down = True
            return False
        if meta:
            source.down = False
            self._feed(source, frames, meta)
        return source.full

    def _look_at_interfaces(self, poller: select.poll) -> None:
        """Their counts; and those that were down are tried again."""
        for source in self._count():
            if source.down and not source.gone:
                poller.register(source.descriptor, select.POLLIN)  # try again

    def _count(self) -> list[Interface]:
        interfaces = [source for source in self.sources if isinstance(source, Interface)]
        for interface in interfaces:
            interface.count()
        return interfaces


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Have the signal end a blocked read, which it does not do while it is ignored."""
    before = signal.signal(_INTERRUPT, lambda number, frame: None)
    try:
        yield
    finally:
        signal.signal(_INTERRUPT, before)
