"""An upstream's silence in the middle of its answer, noticed without work for each read."""

from __future__ import annotations

import asyncio
from typing import Final

import aiohttp

_LOOKS: Final = 5
"""How often within the timeout is looked: silence ends an answer at most a fifth of it late."""


class IdleWatch:
    """Cuts the connection of `answer` once nothing came for `timeout` seconds; `silent` then says so.

    aiohttp's own timer is set anew at every read, which costs more than the read; this one compares now and
    then how much has come. While our side does not read, since its client is slow, silence means nothing.
    """

    __slots__ = ("_answer", "_came", "_heard_at", "_loop", "_timeout", "_timer", "silent")

    def __init__(
        self, answer: aiohttp.ClientResponse, timeout: float, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._answer = answer
        self._timeout = timeout
        self._loop = loop
        self._came = -1
        self._heard_at = loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self.silent = False
        connection = answer.connection
        if connection is not None and connection.protocol is not None:
            connection.protocol.read_timeout = None
            connection.protocol.start_timeout()
            self._timer = loop.call_later(timeout / _LOOKS, self._look)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        connection = self._answer.connection
        transport = None if connection is None else connection.transport
        if transport is None:
            return  # the answer is whole
        now = self._loop.time()
        came = self._answer.content.total_bytes
        if came != self._came or not transport.is_reading():
            self._came = came
            self._heard_at = now
        elif now - self._heard_at >= self._timeout:
            self.silent = True
            transport.abort()
            return
        self._timer = self._loop.call_later(self._timeout / _LOOKS, self._look)
