"""A client below HTTP: it asks, reads as much as it likes, and leaves whenever it likes."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit


class RawClient:
    """One connection; `body` is what was read so far, headers included."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.body = b""

    async def post(self, body: Any) -> None:
        """Send ``POST /v1/responses``."""
        raw = json.dumps(body).encode()
        head = f"POST /v1/responses HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(raw)}\r\n\r\n"
        self._writer.write(head.encode() + raw)
        await self._writer.drain()

    async def read_until(self, text: bytes) -> None:
        """Read until `text` has come."""
        while text not in self.body:
            piece = await self._reader.read(65536)
            assert piece, f"the connection ended before {text!r}: …{self.body[-300:]!r}"
            self.body += piece

    async def read_all(self) -> bytes:
        """Read until the server closes."""
        while piece := await self._reader.read(65536):
            self.body += piece
        return self.body

    async def read_all_that_comes(self) -> bytes:
        """Read until the server closes, be it in the middle."""
        with suppress(ConnectionError):
            await self.read_all()
        return self.body

    def listen(self) -> None:
        """Let a deaf client hear again."""
        self._writer.transport.resume_reading()  # type: ignore[attr-defined]

    def leave(self) -> None:
        """Close the connection without a word."""
        self._writer.transport.abort()


@asynccontextmanager
async def raw_client(url: str, *, deaf: bool = False) -> AsyncIterator[RawClient]:
    """A connection to the server of `url`. A `deaf` one takes nothing beyond the smallest of buffers."""
    at = urlsplit(url)
    connection = socket.socket()
    connection.setblocking(False)
    if deaf:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    await asyncio.get_running_loop().sock_connect(connection, (at.hostname, at.port))
    reader, writer = await asyncio.open_connection(sock=connection, limit=1024)
    client = RawClient(reader, writer)
    if deaf:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
    try:
        yield client
    finally:
        client.leave()
