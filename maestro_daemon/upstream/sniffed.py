"""What an answer's body is, where its content type does not say it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import aiohttp

_SAID: Final = frozenset({"text/event-stream", "application/json"})


class Reads:
    """The reads of a body of which `head` was read already."""

    def __init__(self, head: bytes, content: aiohttp.StreamReader) -> None:
        self._head = head
        self._content = content

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        head, self._head = self._head, b""
        read = head or await self._content.readany()
        if not read:
            raise StopAsyncIteration
        return read


async def head_of(answer: aiohttp.ClientResponse) -> bytes:
    """The first bytes of a body whose type is neither a stream of events nor JSON, to be judged by them.

    Nothing is read, and ``b""`` given, where the type says it: some servers send JSON as ``text/plain``.
    """
    return b"" if answer.content_type in _SAID else await answer.content.readany()


def is_json(answer: aiohttp.ClientResponse, head: bytes) -> bool:
    """Whether the body is one JSON object."""
    return answer.content_type == "application/json" or head.lstrip()[:1] == b"{"
