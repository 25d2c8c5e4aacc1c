"""The composition root: opens everything in its order, runs it in one trio nursery, closes it in reverse.

Knows what there is and in which order, and nothing of how any of it works. Always true: whatever happens, a
signal included, the mount is taken away before run() returns or raises, and the capture's thread has ended
by then; rights are given up before the first packet is read.
"""

import contextlib
import errno
import gc
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence

import trio

from . import dissect, rights, summary, systemd
from .background import Voice
from .capture import Ahead, Capture, Drops, Source, open_file, open_interface, same_interface
from .complaints import Complaints
from .config import Config, ConfigError
from .core import compiled
from .core.engine import Engine
from .core.limits import UNLIMITED_BYTES, Limits
from .ending import Audience
from .heap import trim
from .keeper import Keeper, NotSaved, check_place
from .mount import Mount, MountError, MountOptionError, MountOptions, mounted_at, unmount
from .signals import END, is_heard, signals_raise, signals_wait
from .tree import Tree, directories

SPACING_S = 0.001  # the kernel is told of changes at most so often
LOADING_SPACING_S = 0.01  # while a file is loaded every wake-up is taken from the loading
REPORT_S = 0.1
TRIM_S = 10


def run(config: Config, engine: Engine, voice: Voice) -> None:
    """Capture and mount until a signal comes or the mount is taken away; sets the garbage collector to work.

    Raises ConfigError, CaptureError, FilterError, RightsError, MountError, ArchiveError, NotSaved,
    Terminated.
    """
    with _log_to(voice, config.debug), signals_raise() as heard_enough, contextlib.ExitStack() as stack:
        house = _build(config, engine, voice, stack)
        gc.freeze()  # what is here stays: it need not be looked through again and again
        gc.enable()
        trio.run(house.live, heard_enough)
    house.say_summary()
    house.keeper.check()
    house.audience.ended()
    if house.keeper.not_saved:
        raise NotSaved(house.keeper.not_saved)


def _build(config: Config, engine: Engine, voice: Voice, stack: contextlib.ExitStack) -> "_House":
    """Everything opened, mounted, and without root's rights."""
    options = _mount_options(config)
    check_place(config)
    rights.seal()  # before there is a packet, even one in the kernel's buffer
    user = rights.owner(config.user)
    if config.lock_memory:
        rights.lock_memory(for_good=user is None)
    sources = _open_sources(config, voice, stack)
    if user is not None:
        _clear_the_way(config.mountpoint, user, voice)
        rights.act_for(user)
    house = _House(config, voice, engine, sources)
    stack.callback(house.put_away)  # when the mount has gone, for which somebody may wait
    with signals_wait():
        house.mount = Mount.open(house.tree(options), config.mountpoint, options, config.source)
        stack.callback(_close, house.mount)
    for line in house.mount.warnings:
        voice.warn(line)
    for source in sources:
        while source.complaints:
            voice.warn(source.complaints.pop(0))
        voice.note(source.note or f"{source.name}: link type {source.link_type}")
    if not compiled():
        voice.note("the core is not compiled, and several times slower than it could be: contrib/run")
    if user is not None:
        dissect.load()
        rights.drop(user)
        voice.note(f"the mount is {user.name}'s, and root's rights are given up")
    house.admit()
    if config.archive:  # as the user whose files these will be
        house.keeper.start()
    return house


def _close(mount: Mount) -> None:
    with signals_wait():
        mount.close()


def _mount_options(config: Config) -> MountOptions:
    try:
        return MountOptions.parse(config.mount_options)
    except MountOptionError as error:
        raise ConfigError(str(error)) from None


def _open_sources(config: Config, voice: Voice, stack: contextlib.ExitStack) -> list[Source]:
    rights.raise_file_limit()  # a capture file takes two
    if same := same_interface(config.interfaces):
        raise ConfigError("-i {} and -i {} are two names of one interface".format(*same))
    sources: list[Source] = []
    for number, name in enumerate((*config.interfaces, *config.files)):
        if config.interfaces:
            source: Source = open_interface(
                name,
                number,
                filter=config.filter,
                snaplen=config.snaplen,
                buffer_kib=config.buffer_kib,
                promiscuous=config.promiscuous,
                direction=config.direction,
            )
        else:
            source = open_file(
                name,
                number,
                filter=config.filter,
                follow=config.follow,
                wait=config.wait,
                say=voice.say,
            )
        stack.callback(source.close)
        sources.append(source)
    return sources


def _clear_the_way(mountpoint: str, user: rights.User, voice: Voice) -> None:
    """Whether the user can come to the place, so that the mount is not lost to its owner.

    A dead mount of theirs is taken away here, since root is not told that it is dead.
    """
    failure = rights.reach(user, mountpoint)
    if failure in (errno.ENOTCONN, errno.ECONNABORTED):
        unmount(mountpoint, lazy=True)
        voice.warn(f"{mountpoint}: took away a dead mount")
    elif failure in (errno.EACCES, errno.EPERM):
        raise MountError(f"{mountpoint}: {user.name} cannot get there; mount on a directory of theirs")


class _House:
    """What runs while the mount is there."""

    mount: Mount

    def __init__(self, config: Config, voice: Voice, engine: Engine, sources: Sequence[Source]) -> None:
        self._config = config
        self._voice = voice
        self._engine = engine
        self._waker = _Waker()
        self._service = systemd.Service() if config.foreground else systemd.Background()
        self.audience = Audience()
        self._directories = directories(engine, config.names)
        names = [source.name for source in sources]
        self.keeper = Keeper(config.archive, engine, names, self._directories, voice)
        on_short = self.keeper.hurry if config.archive else None
        self._capture = Capture(
            sources,
            engine,
            self._waker.wake,
            follow=config.follow,
            on_short=on_short,
            ahead=Ahead(engine),
        )
        self._warned = 0
        self._complaints = Complaints(config, engine)
        self._started_ns = time.time_ns()

    def tree(self, options: MountOptions) -> Tree:
        """What is mounted."""
        return Tree(self._engine, self.about, options.visible, self._directories)

    def admit(self) -> None:
        """From now on who takes the mount away can wait for its end."""
        mounted = mounted_at(self.mount.path)
        if mounted is not None:
            self.audience.admit(mounted.device)

    def put_away(self) -> None:
        """Save what is left."""
        self.audience.ending()
        self.keeper.put_away(self)
        if self.keeper.not_saved:
            self.audience.error(self.keeper.not_saved)

    async def live(self, heard_enough: Callable[[], None]) -> None:
        """Until the mount is gone. `heard_enough` is called when further signals need not be heard."""
        self._waker.token = trio.lowlevel.current_trio_token()
        async with trio.open_nursery() as nursery:
            await nursery.start(self._obey_signals)
            await nursery.start(self._serve, nursery.cancel_scope, heard_enough)
            nursery.start_soon(self._tell_the_kernel)
            nursery.start_soon(self._report)
            nursery.start_soon(self._end_with_the_listener)
            nursery.start_soon(self._load)
            nursery.start_soon(self._keep_small)
            if self._capture.live or not self._config.wait:
                self._ready()
            elif self._config.follow:
                nursery.start_soon(self._catch_up)

    async def _serve(
        self,
        all_of_it: trio.CancelScope,
        heard_enough: Callable[[], None],
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        await self.mount.serve(task_status)
        self.audience.ending()
        self._service.ending()
        heard_enough()
        all_of_it.cancel()

    async def _load(self) -> None:
        await self._capture.run()
        self.mount.notify()  # that it has ended is news for who waits
        self._say_how_far()
        if self._engine.finished:  # not so if loading was broken off
            self._ready()

    async def _catch_up(self) -> None:
        await self._capture.caught_up.wait()
        self._ready()

    def _ready(self) -> None:
        if self._voice.listener is not None:
            trio.lowlevel.notify_closing(self._voice.listener)
        self._voice.ready()
        self._service.ready(self._in_short())

    async def _obey_signals(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        obeyed = [number for number in END if is_heard(number)]
        with trio.open_signal_receiver(*obeyed, signal.SIGUSR1) as received:
            task_status.started()
            async for number in received:
                if number == signal.SIGUSR1:
                    self.say_summary()
                else:
                    self.mount.terminate()

    async def _end_with_the_listener(self) -> None:
        """While somebody waits for the files to be loaded, this ends when they do not wait any more."""
        if self._voice.listener is None:
            return
        with contextlib.suppress(trio.ClosedResourceError):  # we are ready, nobody needs to wait
            await trio.lowlevel.wait_readable(self._voice.listener)
            self.mount.terminate()

    async def _tell_the_kernel(self) -> None:
        spacing_s = SPACING_S if self._capture.live else LOADING_SPACING_S
        while True:
            await self._waker.asked()
            self.mount.notify()
            await trio.sleep(spacing_s)

    async def _report(self) -> None:
        while True:
            self._say_how_far()
            self.keeper.check()
            self.audience.look()
            if self._engine.changed():  # what is not urgent
                self.mount.notify()
            await trio.sleep(REPORT_S)

    async def _keep_small(self) -> None:
        while True:
            await trio.sleep(TRIM_S)
            self._service.status(self._in_short())
            await trio.to_thread.run_sync(trim)

    def _say_how_far(self) -> None:
        self.news()
        done, total = self._capture.progress
        if total and not self._engine.finished:
            self._voice.progress(done, total)
            self._service.progress(done, total, "loading")

    def news(self) -> None:
        """Say what is new."""
        self._capture.warnings += self._complaints.fresh()
        warnings = self._capture.warnings[self._warned :]
        self._warned += len(warnings)
        for line in warnings + self.keeper.fresh():
            self._voice.warn(line)

    def progress(self, done: int, total: int) -> None:
        """How much of what is left is saved."""
        self._voice.progress(done, total, "saving")
        self._service.progress(done, total, "saving")
        self.audience.progress(done, total)

    def waiting(self, line: str) -> None:
        """What the end waits for, and how not to wait."""
        self.audience.warn(line)
        self._voice.warn(f"{line}; another Ctrl-C, or kill {os.getpid()}, ends this, and they are lost")

    # --- numbers

    def about(self) -> dict[str, object]:
        """What status.json says of the capture."""
        each = self._each()
        interfaces = self._by_interface(each)
        done, total = self._capture.progress
        return {
            "pid": os.getpid(),
            "started_ns": self._started_ns,
            "sources": [source.name for source in self._capture.sources],
            "filter": self._config.filter,
            "names": self._config.names,
            **kept(self._config.limits),
            "live": self._capture.live,
            "read_bytes": done,
            "total_bytes": max(done, total),  # a file that is followed grows
            "received_packets": sum(drops.received for _, drops in each),
            "left_out_packets": sum(source.left_out for source in self._capture.sources),
            "dropped_by_kernel": sum(one["dropped_by_kernel"] for one in interfaces.values()),
            "dropped_by_interface": sum(one["dropped_by_interface"] for one in interfaces.values()),
            "interfaces": interfaces,
            "archive": self.keeper.about(),
            "warnings": [*self._capture.warnings, *self.keeper.standing()],
        }

    def _each(self) -> list[tuple[str, Drops]]:
        """What became of the packets of each source at one moment; files may have one name."""
        return [(source.name, source.drops()) for source in self._capture.sources]

    def _by_interface(self, each: Sequence[tuple[str, Drops]]) -> dict[str, dict[str, int]]:
        """What became of the packets of each interface; files are none."""
        return {
            name: {
                "received_packets": drops.received,
                "dropped_by_kernel": drops.kernel,
                "dropped_by_interface": drops.interface,
            }
            for name, drops in each
            if self._capture.live
        }

    def _in_short(self) -> str:
        return summary.in_short(self._engine.statistics(), summary.dropped(self._by_interface(self._each())))

    def say_summary(self) -> None:
        """The numbers, in lines for people."""
        interfaces = self._by_interface(self._each())
        for line in summary.lines(self._engine.statistics(), interfaces, bool(self._config.archive)):
            self._voice.say(line)


def kept(limits: Limits) -> dict[str, object]:
    """What status.json says of the files that are not meant to be whole; `max_flow_bytes` null: all are."""
    most = limits.max_flow_bytes if limits.max_flow_bytes < UNLIMITED_BYTES else None
    return {"evict": limits.evict, "max_flow_bytes": most, "keep": limits.keep}


class _Waker:
    """Wakes a trio task from any thread; however often, the task is woken once."""

    token: trio.lowlevel.TrioToken

    def __init__(self) -> None:
        self._event = trio.Event()
        self._woken = False

    def wake(self) -> None:
        """From any thread."""
        if not self._woken:
            self._woken = True
            self.token.run_sync_soon(self._set, idempotent=True)

    async def asked(self) -> None:
        """Returns once wake() was called since the last time."""
        await self._event.wait()
        self._event = trio.Event()
        self._woken = False

    def _set(self) -> None:
        self._event.set()


# --- logging -------------------------------------------------------------------------------------


class _Said(logging.Handler):
    """Records as lines of the voice."""

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        self._say(record.getMessage())


@contextlib.contextmanager
def _log_to(voice: Voice, debug: bool) -> Iterator[None]:
    handler: logging.Handler = logging.StreamHandler() if debug else _Said(voice.warn)
    root = logging.getLogger()
    root.addHandler(handler)
    if debug:
        root.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        root.removeHandler(handler)
