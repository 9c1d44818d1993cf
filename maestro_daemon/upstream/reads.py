"""The reads of an answer's body.

aiohttp takes what has come out of its buffer a chunk at a time, and after each asks its connection to read
on. Servers send a chunk for each event, so that this costs as much as passing the events on; here all that
has come is taken at once, which needs to know how aiohttp keeps it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import aiohttp

_WORTH_IT: Final = 3


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
        buffer = getattr(content, "_buffer", None)  # a body that is known to be empty has none
        if buffer is not None and content.exception() is None:
            while not buffer and not content.is_eof():
                await content._wait("Reads")
            if len(buffer) >= _WORTH_IT and not content._buffer_offset and content.exception() is None:
                return _together(content)
        read = await content.readany()
        if not read:
            raise StopAsyncIteration
        return read


def _together(content: aiohttp.StreamReader) -> bytes:
    """All that has come; the last chunk is taken the usual way, which sees to the rest of the books."""
    buffer = content._buffer
    taken = [buffer.popleft() for _ in range(len(buffer) - 1)]
    size = sum(map(len, taken))
    content._size -= size
    content._cursor += size
    taken.append(content.read_nowait())
    return b"".join(taken)
