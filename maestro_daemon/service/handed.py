"""Socket activation: the listening sockets that systemd opened and handed over. See sd_listen_fds(3)."""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Final

from maestro_daemon.errors import ConfigInvalid

_FIRST: Final = 3
_VARIABLES: Final = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")


@dataclass(frozen=True, slots=True)
class HandedSocket:
    """A listening stream socket and the name that its unit gave it (``FileDescriptorName=``)."""

    name: str
    socket: socket.socket


def handed_sockets(
    environ: MutableMapping[str, str] | None = None, *, first: int = _FIRST
) -> tuple[HandedSocket, ...]:
    """The sockets that this process was started with, in the order of the unit; none elsewhere.

    They are taken: not inherited by children, and the variables are removed from the environment. `first` is
    the descriptor at which they begin. Raises `ConfigInvalid` for one that is not a listening stream socket.
    """
    environ = os.environ if environ is None else environ
    count, process, names = (environ.pop(variable, "") for variable in _VARIABLES)
    if not count.isdecimal() or process != str(os.getpid()):
        return ()
    called = names.split(":") if names else []
    sockets = []
    for number in range(int(count)):
        name = called[number] if number < len(called) else ""
        sockets.append(HandedSocket(name or "unknown", _listening(first + number, name)))
    return tuple(sockets)


def _listening(descriptor: int, name: str) -> socket.socket:
    said = f"the socket that systemd handed over as number {descriptor} ({name or 'without a name'})"
    try:
        os.set_inheritable(descriptor, False)
        handed = socket.socket(fileno=descriptor)
    except OSError as error:
        raise ConfigInvalid(f"{said} cannot be used: {error.strerror}.") from None
    if wrong := _wrong(handed):
        handed.close()
        raise ConfigInvalid(f"{said} {wrong}.")
    handed.setblocking(False)
    return handed


def _wrong(handed: socket.socket) -> str | None:
    if handed.family not in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX):
        return "is neither TCP nor a unix socket: its unit needs ListenStream="
    if handed.type != socket.SOCK_STREAM:
        return "is no stream socket: its unit needs ListenStream="
    if not handed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return "does not listen: its unit needs Accept=no"
    return None
