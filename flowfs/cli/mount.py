"""`flowfs mount`: from the command line to a running mount, and from what fails to a line and a status."""

import contextlib
import signal
from collections.abc import Sequence

from flowfs.background import Voice, in_background
from flowfs.config import Config, ConfigError

from .exits import FAILED, NO_CAPTURE, NO_MOUNT, SIGNALLED, USAGE
from .parse import mount_config
from .terminal import Terminal


def run(arguments: Sequence[str]) -> int:
    """Mount as told; returns the exit status once the mount is ready, or with -f once it is gone."""
    config = _config(arguments)
    if config is None:
        return USAGE
    terminal = Terminal(quiet=config.quiet, verbose=config.verbose)
    try:
        status = _run(config, terminal)
    finally:
        terminal.ready()
    if status > SIGNALLED:
        doing = "loading" if config.files else "mounting"
        terminal.error(f"interrupted while {doing}, nothing is left mounted")
    return status


def check(arguments: Sequence[str]) -> int:
    """The exit status of `run` as far as the arguments alone say; nothing is mounted."""
    from flowfs.mount import MountOptionError, MountOptions

    config = _config(arguments)
    try:
        MountOptions.parse(config.mount_options if config is not None else ())
    except MountOptionError as error:
        Terminal().error(str(error))
        return USAGE
    return USAGE if config is None else 0


def _config(arguments: Sequence[str]) -> Config | None:
    """None after saying what is wrong."""
    try:
        return mount_config(arguments)
    except ConfigError as error:
        Terminal().error(str(error))
        return None


def _run(config: Config, terminal: Terminal) -> int:
    """The exit status; above SIGNALLED it is a signal's, which came before the mount was ready."""
    if config.foreground:
        return _work(config, terminal)
    return in_background(
        lambda voice: _work(config, voice),
        terminal,
        lambda: _tidy_up(config.mountpoint),
        keep_input="-" in config.files,
    )


def _work(config: Config, voice: Voice) -> int:
    """Run the mount; what fails becomes a line and a status."""
    from flowfs import early  # the waiting parent does without the core

    try:
        engine = early.begin(config)
    except ConfigError as error:
        voice.error(str(error))
        return USAGE
    from flowfs import app  # with trio, libpcap and FUSE, which the waiting parent does without
    from flowfs.keeper import NotSaved
    from flowfs.signals import Terminated

    try:
        app.run(config, engine, voice)
    except Terminated as terminated:
        return SIGNALLED + terminated.number
    except KeyboardInterrupt:
        return SIGNALLED + signal.SIGINT
    except BaseException as error:
        status = _status(error)
        if status == FAILED and config.debug and not isinstance(error, NotSaved):
            raise
        expected = status != FAILED or isinstance(error, NotSaved)
        voice.error(str(error) if expected else _fault(error))
        return status
    return 0


def _status(error: BaseException) -> int:
    from flowfs.archive import ArchiveError
    from flowfs.capture import CaptureError, FilterError
    from flowfs.mountpoint import MountError
    from flowfs.rights import RightsError

    if isinstance(error, ArchiveError | ConfigError | FilterError | RightsError):
        return USAGE
    if isinstance(error, CaptureError):
        return NO_CAPTURE
    return NO_MOUNT if isinstance(error, MountError) else FAILED


def _fault(error: BaseException) -> str:
    """One line for an error that should not be; of a group, its first."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    where = f" ({frame.tb_frame.f_code.co_name}, line {frame.tb_lineno})" if frame is not None else ""
    what = str(error).splitlines()[0] if str(error) else ""
    return f"internal error: {type(error).__name__}: {what}{where}; -d shows all of it"


def _tidy_up(mountpoint: str) -> None:
    """Take away what a daemon left that was killed."""
    from flowfs.mountpoint import MountError, unmount

    with contextlib.suppress(MountError):
        unmount(mountpoint, lazy=True)
