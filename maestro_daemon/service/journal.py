"""The journal's own protocol: entries of fields, sent to systemd-journald.

https://systemd.io/JOURNAL_NATIVE_PROTOCOL describes it.
"""

from __future__ import annotations

import array
import errno
import fcntl
import os
import re
import socket
from collections.abc import Mapping
from typing import Any, Final

from maestro_daemon.protocol import json

SOCKET: Final = "/run/systemd/journal/socket"
_PRIORITIES: Final = {"debug": b"7", "info": b"6", "warning": b"4", "error": b"3", "critical": b"2"}
_NO_NAME: Final = re.compile(r"[^A-Z0-9_]")
_LONGEST_NAME: Final = 64
_TOO_LARGE: Final = frozenset({errno.EMSGSIZE, errno.ENOBUFS})
_OURS: Final = frozenset({"MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER"})
_names: Final[dict[str, str]] = {}


def is_journal(descriptor: int, environ: Mapping[str, str] | None = None) -> bool:
    """Whether what is written to the descriptor goes to the journal: `$JOURNAL_STREAM` says so."""
    device, _, inode = (os.environ if environ is None else environ).get("JOURNAL_STREAM", "").partition(":")
    try:
        there = os.fstat(descriptor)
    except OSError:
        return False
    return (device, inode) == (str(there.st_dev), str(there.st_ino))


def entry(level: str, message: str, fields: Mapping[str, Any], identifier: bytes) -> bytes:
    """One entry: `message` is the text that people read, each of `fields` becomes a field in upper case.

    Fields that are None are left out; what is no text or number is written as JSON.
    """
    parts = [
        b"PRIORITY=%b\nSYSLOG_IDENTIFIER=%b\n" % (_PRIORITIES.get(level, b"5"), identifier),
        _assignment("MESSAGE", message.encode(errors="replace")),
    ]
    for name, value in fields.items():
        if value is None:
            continue
        if value.__class__ is str:
            content = value.encode(errors="replace")
        elif value.__class__ is bool or isinstance(value, (dict, list, tuple)):
            content = json.dumps(value)
        else:
            content = str(value).encode(errors="replace")
        parts.append(_assignment(_names.get(name) or _field(name), content))
    return b"".join(parts)


def _assignment(name: str, content: bytes) -> bytes:
    if b"\n" in content:
        return b"%b\n%b%b\n" % (name.encode(), len(content).to_bytes(8, "little"), content)
    return b"%b=%b\n" % (name.encode(), content)


def _field(name: str) -> str:
    """A name that the journal takes: A-Z, 0-9 and _, beginning with a letter."""
    made = _NO_NAME.sub("_", name.upper()).lstrip("_0123456789")[:_LONGEST_NAME] or "FIELD"
    made = f"FIELD_{made}" if made in _OURS else made
    if len(_names) < 1000:  # names come from our own calls, but plugins may make theirs as they like
        _names[name] = made
    return made


class Journal:
    """A connection to the journal; `send` blocks while it is busy. Raises `OSError` if there is none."""

    def __init__(self, path: str = SOCKET) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._path = path
        try:
            self._socket.connect(path)
        except OSError:
            self._socket.close()
            raise

    def send(self, made: bytes) -> None:
        """Send one `entry`; a large one goes as a sealed file in memory. Raises `OSError`."""
        try:
            self._socket.send(made)
        except OSError as error:
            if error.errno in _TOO_LARGE:
                self._send_file(made)
            elif error.errno in (errno.ECONNREFUSED, errno.ENOTCONN, errno.ECONNRESET):
                # The journal was restarted: its socket is another one now.
                self._socket.connect(self._path)
                self._socket.send(made)
            else:
                raise

    def close(self) -> None:
        """Send nothing more."""
        self._socket.close()

    def _send_file(self, made: bytes) -> None:
        descriptor = os.memfd_create("maestro-daemon-entry", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            left = memoryview(made)
            while left:
                left = left[os.write(descriptor, left) :]
            # The journal reads only what nobody can change any more.
            seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
            self._socket.sendmsg(
                [], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]).tobytes())]
            )
        finally:
            os.close(descriptor)
