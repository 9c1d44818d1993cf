"""Clients who wait at a socket of systemd's for a daemon that cannot begin are told so.

Left in the queue they would have systemd start it again and again, and be told nothing.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator, Sequence
from typing import Final

from maestro_daemon.errors import MaestroError
from maestro_daemon.protocol import json
from maestro_daemon.service.handed import HandedSocket

_PATIENCE: Final = 2.0  # seconds for all of them
_EACH: Final = 0.2
_LARGEST: Final = 1 << 20
_RETRY_AFTER: Final = 30


class NotServing(MaestroError):
    """The daemon cannot begin; its log says why."""

    default_status = 503
    default_code = "service_unavailable"


@contextlib.contextmanager
def turned_away(handed: Sequence[HandedSocket]) -> Iterator[None]:
    """Answer whoever waits at the sockets with a 503 if the block raises a `MaestroError`. Blocks."""
    try:
        yield
    except MaestroError:
        answer = _answer()
        ends = time.monotonic() + _PATIENCE
        for each in handed:
            with contextlib.suppress(OSError):  # nobody waits there any more
                while time.monotonic() < ends:
                    client, _ = each.socket.accept()
                    with client, contextlib.suppress(OSError):
                        _tell(client, answer)
        raise


def _tell(client: socket.socket, answer: bytes) -> None:
    """Answer before anything is asked. What is asked all the same is read, else it would cut the answer."""
    client.settimeout(_EACH)
    client.sendall(answer)
    client.shutdown(socket.SHUT_WR)
    ends = time.monotonic() + _EACH
    taken = 0
    while (piece := client.recv(65536)) and taken < _LARGEST and time.monotonic() < ends:
        taken += len(piece)


def _answer() -> bytes:
    error = NotServing("The gateway cannot start; its operator finds the reason in its log.")
    body = json.dumps(error.envelope())
    head = [
        "HTTP/1.1 503 Service Unavailable",
        "content-type: application/json",
        f"content-length: {len(body)}",
        f"retry-after: {_RETRY_AFTER}",
        "connection: close",
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body
