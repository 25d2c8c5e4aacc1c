"""The door that leads through the kernel: a running mount, asked by system calls."""

from __future__ import annotations

import ctypes
import os
import select
import struct
from pathlib import Path

from craft import Conversation
from flowfs.tree.answers import Space
from mounted.served import Served
from tree.doors import Door, Entry, File, Held, Listing, Stat

_DIRENT = struct.Struct("=QqHB")  # linux_dirent64 up to the name: inode, cookie, length, kind
_DIRENT_BYTES = 280  # with the longest name
_LIBC = ctypes.CDLL(None, use_errno=True)


class Mounted(Door):
    """A running mount, asked by system calls."""

    def __init__(self, mount: Served) -> None:
        self.mount = mount

    def _told(self) -> None:
        """The kernel, of all that happened."""
        self.mount.ask("settle")

    def feed(self, conversation: Conversation) -> Conversation:
        self.mount.feed_packets(conversation.packets, conversation.link_type)
        conversation.packets.clear()
        self._told()
        return conversation

    def evict(self, conversation: Conversation, server: bool = False) -> None:
        key = conversation.server_key() if server else conversation.client_key()
        self.mount.ask("evict", key.hex(), 0)
        self._told()

    def rest(self) -> None:
        self.mount.ask("rest")
        self._told()

    def lay_down_all(self) -> None:
        self.mount.ask("lay_down_all")

    def finish(self) -> None:
        self.mount.ask("finish")
        self._told()

    def statistics(self) -> dict[str, int]:
        return self.mount.statistics()

    def _at(self, path: str) -> Path:
        return self.mount.path / path

    def stat(self, path: str) -> Stat:
        return stat_of(os.lstat(self._at(path)))

    def readlink(self, path: str) -> str:
        return os.readlink(self._at(path))

    def listxattr(self, path: str) -> list[str]:
        return os.listxattr(self._at(path), follow_symlinks=False)

    def getxattr(self, path: str, name: str) -> bytes:
        return os.getxattr(self._at(path), name, follow_symlinks=False)

    def open(self, path: str) -> File:
        return MountedFile(os.open(self._at(path), os.O_RDONLY | os.O_NOFOLLOW))

    def hold(self, path: str) -> Held:
        return MountedHeld(os.open(self._at(path), os.O_PATH | os.O_NOFOLLOW))

    def listing(self, path: str = "") -> Listing:
        return MountedListing(os.open(self._at(path), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW))

    def unlink(self, path: str) -> None:
        self._at(path).unlink()
        self._told()

    def rmdir(self, path: str) -> None:
        self._at(path).rmdir()

    def space(self) -> Space:
        found = os.statvfs(self.mount.path)
        sizes = found.f_blocks * found.f_frsize, (found.f_blocks - found.f_bfree) * found.f_frsize
        return Space(*sizes, found.f_files - found.f_ffree, found.f_ffree)


def stat_of(found: os.stat_result) -> Stat:
    times = found.st_atime_ns, found.st_mtime_ns, found.st_ctime_ns
    return Stat(found.st_ino, found.st_mode, found.st_nlink, found.st_size, found.st_blocks, *times)


class MountedHeld(Held):
    def __init__(self, number: int) -> None:
        self.number = number

    def open(self) -> File:
        return MountedFile(os.open(f"/proc/self/fd/{self.number}", os.O_RDONLY))

    def stat(self) -> Stat:
        return stat_of(os.fstat(self.number))

    def close(self) -> None:
        os.close(self.number)


class MountedFile(MountedHeld, File):
    def pread(self, offset: int, size: int) -> bytes:
        return os.pread(self.number, size, offset)

    def poll(self) -> tuple[bool, bool]:
        poll = select.poll()
        poll.register(self.number, select.POLLIN | select.POLLRDNORM)
        events = dict(poll.poll(0)).get(self.number, 0)
        return bool(events & select.POLLIN), bool(events & select.POLLHUP)


class MountedListing(Listing):
    """By getdents64(2), since readdir(3) takes as much at once as fits into 32 KiB."""

    def __init__(self, number: int) -> None:
        self.number = number

    def take(self, count: int) -> list[Entry]:
        found: list[Entry] = []
        buffer = ctypes.create_string_buffer(min(32_768, count * _DIRENT_BYTES))
        while len(found) < count:
            length = _LIBC.getdents64(self.number, buffer, len(buffer))
            if length < 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            if length == 0:
                break
            at = 0
            while at < length and len(found) < count:
                inode, cookie, step, kind = _DIRENT.unpack_from(buffer, at)
                name = buffer.raw[at + _DIRENT.size : at + step].partition(b"\0")[0]
                found.append(Entry(name.decode(), inode, kind << 12))  # as IFTODT of dirent.h
                at += step
            if at < length:
                os.lseek(self.number, cookie, os.SEEK_SET)
        return found

    def close(self) -> None:
        os.close(self.number)
