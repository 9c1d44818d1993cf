"""Writing a stream of frames to one client: few writes, bounded memory, and no patience without end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Final, Self

import structlog
from aiohttp import web

from maestro_daemon.protocol import sse

_log: Final = structlog.get_logger(__name__)

_LOOKS: Final = 4
"""How often within `send_timeout` it is looked whether the client takes anything."""

MOST_PENDING: Final = 256 * 1024
"""Bytes that may wait to be written before the producer has to."""


class StreamWriter:
    """Frames for one client, written by one task that joins what gathered while it slept.

    `send` never waits; `pending` says how many bytes wait to be written, `room` waits until they are fewer
    than `MOST_PENDING`. A client that takes nothing for `send_timeout` seconds loses its connection, which
    cancels the request's handler. Used in ``async with``: leaving normally writes what is left and ends the
    body.
    """

    def __init__(
        self,
        response: web.StreamResponse,
        transport: asyncio.Transport | None,
        send_timeout: float,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._response = response
        self._transport = transport
        self._send_timeout = send_timeout
        self.loop = loop
        self._frames: list[bytes] = []
        self._sleeping: asyncio.Future[None] | None = None
        self._drained = asyncio.Event()
        self._ending = False
        self._writing_since: float | None = None
        self._unsent = 0  # bytes that the last look found in the transport
        self._taken_at = loop.time()
        self._watch: asyncio.TimerHandle
        self._task: asyncio.Task[None]
        self.pending = 0
        self.last_sent = self.loop.time()

    def send(self, type: str, payload: bytes) -> None:
        """Queue one event as a whole frame."""
        frame = b"%b%b\n\n" % (sse.HEADS.get(type) or sse.frame_head(type), payload)
        self._frames.append(frame)
        self.pending += len(frame)
        if self._sleeping is not None:
            self._wake()

    def send_burst(self, type: str, payloads: Sequence[bytes]) -> None:
        """Queue several events of one type."""
        head = sse.frame_head(type)
        self.send_raw(b"%b%b\n\n" % (head, (b"\n\n" + head).join(payloads)))

    def send_raw(self, frame: bytes) -> None:
        """Queue a frame that is bytes already (a comment, ``[DONE]``)."""
        self._frames.append(frame)
        self.pending += len(frame)
        if self._sleeping is not None:
            self._wake()

    async def room(self) -> None:
        """Wait until there is room."""
        while self.pending >= MOST_PENDING:
            self._drained.clear()
            await self._drained.wait()

    async def __aenter__(self) -> Self:
        self._task = self.loop.create_task(self._run())
        self._watch = self.loop.call_later(self._send_timeout / _LOOKS, self._look)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._task.cancel()
        self._ending = True
        self._wake()
        try:
            await self._task
        except asyncio.CancelledError:
            self._task.cancel()
            if error is None:
                raise
        finally:
            self._watch.cancel()

    def _wake(self) -> None:
        sleeping, self._sleeping = self._sleeping, None
        if sleeping is not None and not sleeping.done():
            sleeping.set_result(None)

    async def _run(self) -> None:
        try:
            while not self._ending:
                if not self._frames:
                    self._sleeping = self.loop.create_future()
                    await self._sleeping
                    continue
                joined = b"".join(self._frames)
                self._frames.clear()
                self._writing_since = self.loop.time()
                await self._response.write(joined)
                self._writing_since = None
                self.pending -= len(joined)
                if not self._drained.is_set():
                    self._drained.set()
                self.last_sent = self.loop.time()
            self._writing_since = self.loop.time()
            await self._response.write_eof(b"".join(self._frames))
            self.pending = 0
        except (ConnectionError, RuntimeError):
            # The connection went away between two writes; the handler is cancelled by the server.
            self._drop()
        finally:
            self._writing_since = None

    def _look(self) -> None:
        """Drop a client that took nothing for too long; one lazy timer instead of one for each write."""
        now = self.loop.time()
        unsent = 0 if self._transport is None else self._transport.get_write_buffer_size()
        if self._writing_since is None or unsent < self._unsent:
            self._taken_at = now
        else:
            self._taken_at = max(self._taken_at, self._writing_since)
        self._unsent = unsent
        if now - self._taken_at >= self._send_timeout:
            _log.warning("client dropped: it took nothing", seconds=self._send_timeout)
            self._drop()
            return
        self._watch = self.loop.call_later(self._send_timeout / _LOOKS, self._look)

    def _drop(self) -> None:
        if self._transport is not None:
            self._transport.abort()
        self.pending = 0
        self._drained.set()


class Keepalive:
    """Calls `send` whenever nothing was sent for `interval` seconds; one timer, re-armed lazily."""

    def __init__(self, writer: StreamWriter, interval: float, send: Callable[[], None]) -> None:
        self._writer = writer
        self._interval = interval
        self._send = send
        self._loop = writer.loop
        self._timer = self._loop.call_later(interval, self._look)

    def cancel(self) -> None:
        """Stop for good."""
        self._timer.cancel()

    def _look(self) -> None:
        left = self._writer.last_sent + self._interval - self._loop.time()
        if left <= 0:
            self._send()
            left = self._interval
        self._timer = self._loop.call_later(left, self._look)
