"""What a mount does for its archive: begins it, hurries it, and in the end waits for what is left.

Knows when and how long one waits, and nothing of how flows are saved. Without an archive it does nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from .archive import Archive
from .background import Voice
from .config import Config, ConfigError
from .core.engine import Engine
from .signals import signals_are_counted

REPORT_S = 0.1
TIDY_S = 2.0  # for an archive to let go of what is not complete, unless its disk hangs


class NotSaved(Exception):
    """Flows are gone that should be in the archive; str() is one line."""


def check_place(config: Config) -> None:
    """Raises ConfigError if the archive were within the mount."""
    mountpoint, archive = os.path.realpath(config.mountpoint), os.path.realpath(config.archive)
    if config.archive and (archive + "/").startswith(mountpoint.rstrip("/") + "/"):
        raise ConfigError(f"--archive {config.archive}: it is within the mount, where nothing can be written")


class Keeper:
    """Of one mount. `not_saved`: in the end, what is not saved, in words; empty if nothing is left."""

    def __init__(self, path: str, engine: Engine, sources: Sequence[str], voice: Voice) -> None:
        self.not_saved = ""
        self._path = path
        self._engine = engine
        self._sources = sources
        self._voice = voice
        self._archive: Archive | None = None
        self._told = 0

    def start(self) -> None:
        """From now on flows are saved, as files of whoever this process is. Raises ArchiveError."""
        self._archive = Archive(self._path, self._engine, self._sources)
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

    def about(self) -> dict[str, object] | None:
        """For status.json; None without an archive."""
        return None if self._archive is None else self._archive.about()

    def put_away(self, say_what_is_new: Callable[[], None]) -> None:
        """Save what is left, until that is done or a signal breaks it off; then `not_saved` says so."""
        archive = self._archive
        if archive is None:
            return
        with signals_are_counted() as heard:
            while not self._engine.finish(patient=True):
                if heard() or archive.trouble.what or archive.wait(REPORT_S / 10):
                    self._engine.finish()
                    break
            archive.stop()
            total = archive.left_bytes()
            while not archive.wait(REPORT_S) and not heard():
                say_what_is_new()
                self._voice.progress(total - archive.left_bytes(), total, "saving")
            archive.break_off()  # if it has not ended
            archive.wait(TIDY_S)
        say_what_is_new()
        self._voice.ready()
        self.not_saved = archive.missing()
