"""Writing a stream of frames to one client: few writes, bounded memory, and no patience without end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

import structlog
from aiohttp import web

from maestro_daemon.protocol import sse

_log: Final = structlog.get_logger(__name__)

_MOST_PENDING: Final = 256 * 1024


class StreamWriter:
    """Frames for one client, written by one task that joins what gathered while it slept.

    `send` never waits; `has_room` says whether the producer may go on, `room` waits until it may. A client
    that takes nothing for `send_timeout` seconds loses its connection, which cancels the request's handler.
    Used in ``async with``: leaving normally writes what is left and ends the body.
    """

    def __init__(
        self, response: web.StreamResponse, transport: asyncio.Transport | None, send_timeout: float
    ):
        self._response = response
        self._transport = transport
        self._send_timeout = send_timeout
        self._parts: list[bytes] = []
        self._pending = 0
        self._wake = asyncio.Event()
        self._drained = asyncio.Event()
        self._ending = False
        self._task: asyncio.Task[None]
        self.last_sent = time.monotonic()

    def send(self, type: str, payload: bytes) -> None:
        """Queue one event as a whole frame."""
        parts = self._parts
        if not parts:
            self._wake.set()
        parts.append(sse.frame_head(type))
        parts.append(payload)
        parts.append(b"\n\n")
        self._pending += len(parts[-3]) + len(payload) + 2

    def send_raw(self, frame: bytes) -> None:
        """Queue a frame that is bytes already (a comment, ``[DONE]``)."""
        self._parts.append(frame)
        self._pending += len(frame)
        self._wake.set()

    @property
    def has_room(self) -> bool:
        """Whether less than the most pending bytes wait to be written."""
        return self._pending < _MOST_PENDING

    async def room(self) -> None:
        """Wait until there is room."""
        while self._pending >= _MOST_PENDING:
            self._drained.clear()
            await self._drained.wait()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._task.cancel()
        self._ending = True
        self._wake.set()
        try:
            await self._task
        except asyncio.CancelledError:
            self._task.cancel()
            if error is None:
                raise

    async def _run(self) -> None:
        try:
            while self._parts or not self._ending:
                if not self._parts:
                    self._wake.clear()
                    await self._wake.wait()
                    continue
                joined = b"".join(self._parts)
                self._parts.clear()
                async with asyncio.timeout(self._send_timeout):
                    await self._response.write(joined)
                self._pending -= len(joined)
                self._drained.set()
                self.last_sent = time.monotonic()
            async with asyncio.timeout(self._send_timeout):
                await self._response.write_eof()
        except TimeoutError:
            _log.warning("client dropped: it took nothing", seconds=self._send_timeout)
            self._drop()
        except (ConnectionError, RuntimeError):
            # The connection went away between two writes; the handler is cancelled by the server.
            self._drop()

    def _drop(self) -> None:
        if self._transport is not None:
            self._transport.abort()
        self._pending = 0
        self._drained.set()


class Keepalive:
    """Calls `send` whenever nothing was sent for `interval` seconds; one timer, re-armed lazily."""

    def __init__(self, writer: StreamWriter, interval: float, send: Callable[[], None]) -> None:
        self._writer = writer
        self._interval = interval
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(interval, self._look)

    def cancel(self) -> None:
        """Stop for good."""
        self._timer.cancel()

    def _look(self) -> None:
        left = self._writer.last_sent + self._interval - time.monotonic()
        if left <= 0:
            self._send()
            left = self._interval
        self._timer = self._loop.call_later(left, self._look)
