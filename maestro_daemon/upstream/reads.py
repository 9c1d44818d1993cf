"""The reads of an answer's body."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp

from maestro_daemon.arrived import arrived


class Reads:
    """Whatever comes of the body, as it comes; first `head`, which was read already."""

    __slots__ = ("_content", "_head")

    def __init__(self, content: aiohttp.StreamReader, head: bytes = b"") -> None:
        self._content = content
        self._head = head

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._head:
            head, self._head = self._head, b""
            return head
        content = self._content
        while True:
            read = arrived(content)
            if read is not None:
                return read
            if content.is_eof() or content.exception() is not None or content._buffer:
                break
            await content._wait("Reads")
        read = await content.readany()
        if not read:
            raise StopAsyncIteration
        return read
