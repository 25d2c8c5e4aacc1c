"""What a mount does for its archive: begins it, hurries it, and in the end waits for what is left.

Knows when and how long one waits, and nothing of how flows are saved. Without an archive it does nothing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Protocol

from rich.filesize import decimal

from .archive import PATIENCE_S, Archive
from .background import Voice
from .config import Config, ConfigError
from .core.engine import Engine
from .mountpoint import real_path
from .signals import signals_are_counted
from .tree import Directories

REPORT_S = 0.1
SILENCE_S = 1.0  # then people are told what it waits for
TIDY_S = 2.0  # for an archive to let go of what is not complete, unless its disk hangs


class NotSaved(Exception):
    """Flows are gone that should be in the archive; str() is one line."""


def check_place(config: Config) -> None:
    """Raises ConfigError if the archive were within the mount."""
    mountpoint, archive = real_path(config.mountpoint), os.path.realpath(config.archive)
    if config.archive and (archive + "/").startswith(mountpoint.rstrip("/") + "/"):
        raise ConfigError(f"--archive {config.archive}: it is within the mount, where nothing can be written")


class Keeper:
    """Of one mount. `not_saved`: in the end, what is not saved, in words; empty if nothing is left."""

    def __init__(
        self, path: str, engine: Engine, sources: Sequence[str], directories: Directories, voice: Voice
    ) -> None:
        self.not_saved = ""
        self._path = path
        self._engine = engine
        self._sources = sources
        self._directories = directories
        self._voice = voice
        self._archive: Archive | None = None
        self._told = 0

    def start(self) -> None:
        """From now on flows are saved, as files of whoever this process is. Raises ArchiveError."""
        self._archive = Archive(self._path, self._engine, self._sources, self._directories)
        self._archive.start()

    def hurry(self) -> None:
        """Somebody waits for flows to be saved. From any thread."""
        if self._archive is not None:
            self._archive.poke()

    def fresh(self) -> list[str]:
        """What is to be told since the last time."""
        if self._archive is None:
            return []
        told = self._archive.trouble.news[self._told :]
        self._told += len(told)
        return told

    def check(self) -> None:
        """Raises what has ended the archive that should not be."""
        if self._archive is not None and self._archive.fault is not None:
            raise self._archive.fault

    def standing(self) -> list[str]:
        """What is wrong at this moment, for the warnings of status.json."""
        return [] if self._archive is None else self._archive.trouble.standing()

    def about(self) -> dict[str, object] | None:
        """For status.json; None without an archive."""
        return None if self._archive is None else self._archive.about()

    def put_away(self, tell: Onlooker) -> None:
        """Save what is left, until that is done or a signal breaks it off; then `not_saved` says so."""
        archive = self._archive
        if archive is None:
            return
        with signals_are_counted() as heard:
            waiting = _Progress(archive, tell)
            while not self._engine.finish(patient=True):
                if heard() or archive.trouble.what or archive.wait(REPORT_S / 10):
                    self._engine.finish()
                    break
                waiting.tell()
            archive.stop()
            while not archive.wait(REPORT_S) and not heard():
                waiting.tell()
            archive.break_off()  # if it has not ended
            archive.wait(TIDY_S)
        tell.news()
        self.not_saved = archive.missing()
        if archive.fault is not None and self.not_saved:
            self._voice.error(self.not_saved)  # what is raised in the end says the fault alone


class Onlooker(Protocol):
    """Whoever looks on while the rest is saved."""

    def news(self) -> None:
        """There may be something in fresh()."""

    def progress(self, done: int, total: int) -> None:
        """So many bytes are saved, of so many."""

    def waiting(self, line: str) -> None:
        """What is waited for."""


class _Progress:
    """Tells an onlooker how much is saved of what was left, every REPORT_S."""

    def __init__(self, archive: Archive, tell: Onlooker) -> None:
        self._archive = archive
        self._tell = tell
        self._total = archive.left_bytes()
        self._begun_s = self._told_s = time.monotonic()
        self._is_said = False

    def tell(self) -> None:
        """How far it is; and once, if it takes long, what for."""
        now = time.monotonic()
        if now - self._told_s < REPORT_S:
            return
        self._told_s = now
        self._tell.news()
        left_bytes = self._archive.left_bytes()
        self._total = max(self._total, left_bytes)
        self._tell.progress(self._total - left_bytes, self._total)
        trouble = self._archive.trouble.what
        if not self._is_said and (trouble or now - self._begun_s > SILENCE_S):
            self._is_said = True
            why = f" ({trouble}), which is tried for {PATIENCE_S:.0f} s" if trouble else ""
            self._tell.waiting(f"{decimal(left_bytes)} are still to be saved{why}")
