"""sd_notify: short messages to systemd on the socket that `$NOTIFY_SOCKET` names. See sd_notify(3)."""

from __future__ import annotations

import asyncio
import collections
import os
import socket
from collections.abc import MutableMapping
from typing import Final

import structlog

_VARIABLE: Final = "NOTIFY_SOCKET"
_MOST_WAITING: Final = 64
_AGAIN: Final = 0.05  # seconds; the manager's queue is full only while it is busy
_log: Final = structlog.get_logger(__name__)


class Notifier:
    """Tells systemd, in order and without ever waiting. Without an `address` nothing is told to anybody.

    `address` is what `$NOTIFY_SOCKET` holds: an absolute path, or a name after ``@`` (an abstract socket).
    """

    def __init__(self, address: str | None) -> None:
        self._socket: socket.socket | None = None
        self._waiting: collections.deque[bytes] = collections.deque(maxlen=_MOST_WAITING)
        self._timer: asyncio.TimerHandle | None = None
        if address is None:
            return
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            channel.setblocking(False)
            channel.connect(f"\0{address[1:]}" if address.startswith("@") else address)
        except OSError as error:
            channel.close()
            _log.warning("systemd cannot be told how the daemon is", reason=error.strerror)
            return
        self._socket = channel

    @classmethod
    def of_environment(cls, environ: MutableMapping[str, str] | None = None) -> Notifier:
        """The one that the environment asks for; the variable is removed, so that no child believes it."""
        address = (os.environ if environ is None else environ).pop(_VARIABLE, "")
        return cls(address if address.startswith(("/", "@")) and len(address) > 1 else None)

    @property
    def is_heard(self) -> bool:
        """Whether anybody is told."""
        return self._socket is not None

    def tell(self, *assignments: str) -> None:
        """One message of assignments, as ``READY=1``. What cannot be taken now is sent a moment later."""
        if self._socket is None:
            return
        self._waiting.append("\n".join(each.replace("\n", " ") for each in assignments).encode())
        if self._timer is None:
            self._send()

    def close(self) -> None:
        """Say what still waits if it is taken at once, and nothing more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._send(again=False)
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, *, again: bool = True) -> None:
        self._timer = None
        while self._waiting and self._socket is not None:
            try:
                self._socket.send(self._waiting[0])
            except BlockingIOError:
                if again:
                    self._wait()
                return
            except OSError as error:
                _log.warning("systemd could not be told how the daemon is", reason=error.strerror)
            self._waiting.popleft()

    def _wait(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return  # the next message takes it along
        self._timer = loop.call_later(_AGAIN, self._send)
