"""What systemd is told of a service with Type=notify: sd_notify(3) without its library.

Always true: whoever is not started by systemd tells nobody, and what fails here does not disturb the mount.
"""

import contextlib
import os
import socket

PATIENCE_US = 30_000_000  # what takes long is told again by then, or is taken to hang


class Service:
    """A mount in the foreground, which may be a service."""

    def ready(self, status: str) -> None:
        """The mount can be used, and how it stands."""
        self._tell(READY=1, STATUS=status)

    def status(self, line: str) -> None:
        """How it stands."""
        self._tell(STATUS=line)

    def progress(self, done: int, total: int, doing: str) -> None:
        """It begins or ends, and goes on with that: no time-out may break it off."""
        percent = 100 * done // max(total, 1)
        self._tell(STATUS=f"{doing}: {percent} %", EXTEND_TIMEOUT_USEC=PATIENCE_US)

    def ending(self) -> None:
        """The mount has gone."""
        self._tell(STOPPING=1, STATUS="ending")

    def _tell(self, **state: str | int) -> None:
        """One message of assignments. Does not wait."""
        address = os.environ.get("NOTIFY_SOCKET", "")
        if address.startswith("@"):  # a name in the abstract namespace: unix(7)
            address = "\0" + address[1:]
        elif not address.startswith("/"):
            return
        message = "\n".join(f"{name}={value}" for name, value in state.items())
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sending:
            sending.setblocking(False)
            sending.sendto(message.encode(), address)


class Background(Service):
    """A mount that has gone into the background is no service, though what has started it may be one."""

    def _tell(self, **state: str | int) -> None:
        pass
