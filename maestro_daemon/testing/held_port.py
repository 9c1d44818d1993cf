"""A port that nobody else gets, and at which nobody listens."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager


def shared_socket(port: int) -> socket.socket:
    """A socket bound to a port of 127.0.0.1 (0: any) that others of this process may be bound to as well."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind(("127.0.0.1", port))
    return sock


@contextmanager
def held_port() -> Iterator[int]:
    """A port of 127.0.0.1 that nobody else gets; whoever connects is refused unless somebody listens."""
    with shared_socket(0) as held:
        port: int = held.getsockname()[1]
        yield port
