"""Room for connections: how many file descriptors the process may have open."""

from __future__ import annotations

import resource
from typing import Final

import structlog

_OTHERS: Final = 256
"""Descriptors for all that is no connection: libraries, logs, sockets that listen, plugins' own."""

_log: Final = structlog.get_logger(__name__)


def make_room(connections: int) -> None:
    """Raise the soft limit so that so many clients, with an upstream for each, have room.

    Never above the hard limit, and never lowered; the log says if that is too little.
    """
    wanted = 2 * connections + _OTHERS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    granted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if granted > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (granted, hard))
    if granted < wanted:
        _log.warning(
            "fewer file descriptors than [server] max_connections may need",
            limit=granted,
            wanted=wanted,
            max_connections=connections,
        )
