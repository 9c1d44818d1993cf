"""Writing a stream of frames to one client: few writes, bounded memory, and no patience without end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Final, Self, cast

import structlog
from aiohttp import web
from aiohttp.http_writer import StreamWriter as HttpWriter

from maestro_daemon.protocol import sse
from maestro_daemon.ticker import Ticker

_log: Final = structlog.get_logger(__name__)

MOST_PENDING: Final = 256 * 1024
"""Bytes that may wait to be written before the producer has to."""

_MOST_UNSENT: Final = 64 * 1024
"""Bytes that may lie in the transport before nothing more is written to it."""


class StreamWriter:
    """Frames for one client; those of one turn of the loop leave together.

    `send` never waits; `pending` says how many bytes wait to be written, `room` waits until they are fewer
    than `MOST_PENDING`. A client that takes nothing for `send_timeout` seconds, which `ticker` sees, loses
    its connection, and that cancels the request's handler. Used in ``async with``: entering sends the head
    of `response` to `request`'s client, with the first frames; leaving normally writes what is left and
    ends the body.
    """

    def __init__(
        self,
        response: web.StreamResponse,
        request: web.BaseRequest,
        send_timeout: float,
        ticker: Ticker,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._response = response
        self._request = request
        self._transport = request.transport
        self._send_timeout = send_timeout
        self._ticker = ticker
        self._loop = loop
        self._out: HttpWriter | None = None
        self._only_chunks = False  # are left to be written
        self._frames: list[bytes] = []
        self._waiting = True  # the next frame calls for no flush: one is due, or something else will do it
        self._drain: asyncio.Task[None] | None = None
        self._drained = asyncio.Event()
        self._full_since: float | None = None
        self._unsent = 0  # bytes that the last look found in the transport
        self._taken_at = self.last_sent = loop.time()
        self._ended = False
        self.pending = 0

    def send(self, type: str, payload: bytes) -> None:
        """Queue one event as a whole frame."""
        self.send_raw(b"%b%b\n\n" % (sse.HEADS.get(type) or sse.frame_head(type), payload))

    def send_burst(self, type: str, payloads: Sequence[bytes]) -> None:
        """Queue several events of one type."""
        head = sse.frame_head(type)
        self.send_raw(b"%b%b\n\n" % (head, (b"\n\n" + head).join(payloads)))

    def send_raw(self, frame: bytes) -> None:
        """Queue a frame that is bytes already (a comment, ``[DONE]``)."""
        self._frames.append(frame)
        self.pending += len(frame)
        if not self._waiting:
            self._waiting = True
            self._loop.call_soon(self._flush)

    async def room(self) -> None:
        """Wait until there is room."""
        while self.pending >= MOST_PENDING:
            self._drained.clear()
            await self._drained.wait()

    async def __aenter__(self) -> Self:
        self._out = cast("HttpWriter", await self._response.prepare(self._request))
        self._ticker.add(self)
        self._loop.call_soon(self._flush)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended = True
        try:
            if self._drain is not None:
                if error is not None:
                    self._drain.cancel()
                await self._finished(self._drain, error)
            if error is None:
                self._full_since = self._loop.time()
                try:
                    await self._response.write_eof(b"".join(self._frames))
                except (ConnectionError, RuntimeError):
                    self._drop()
                self.pending = 0
        finally:
            self._ticker.discard(self)

    @staticmethod
    async def _finished(task: asyncio.Task[None], error: BaseException | None) -> None:
        try:
            await task
        except asyncio.CancelledError:
            task.cancel()
            if error is None:
                raise

    def _flush(self) -> None:
        """Write what has gathered. A call that the end has overtaken finds nothing to do."""
        if self._ended or self._out is None:
            return
        self._waiting = False
        frames = self._frames
        if not frames:
            return
        joined = frames[0] if len(frames) == 1 else b"".join(frames)
        frames.clear()
        transport = self._transport
        if self._only_chunks and joined and transport is not None and not transport.is_closing():
            transport.write(b"%x\r\n%b\r\n" % (len(joined), joined))
        else:
            try:
                # Without `drain` it never waits, so that its first step is its last.
                self._out.write(joined, drain=False).send(None)
            except StopIteration:
                # The head went with it. What follows are chunks, which are written as fast here.
                self._only_chunks = self._out.chunked
            except (ConnectionError, RuntimeError):
                # The connection went away between two writes; the handler is cancelled by the server.
                self._drop()
                return
        self.pending -= len(joined)
        self.last_sent = self._loop.time()
        if self._transport is not None and self._transport.get_write_buffer_size() > _MOST_UNSENT:
            self._waiting = True
            self._full_since = self.last_sent
            self._drain = self._loop.create_task(self._emptied(self._out))
        elif not self._drained.is_set():
            self._drained.set()

    async def _emptied(self, out: HttpWriter) -> None:
        """Wait until the client has taken most of what was written, then go on."""
        try:
            await out.drain()
        except (ConnectionError, RuntimeError):
            self._drop()
            return
        finally:
            self._full_since = self._drain = None
        self._flush()
        if self._drain is None:
            self._drained.set()

    def look(self, now: float) -> None:
        """Drop a client that took nothing for too long (see `Ticker`)."""
        unsent = 0 if self._transport is None else self._transport.get_write_buffer_size()
        if self._full_since is None or unsent < self._unsent:
            self._taken_at = now
        else:
            self._taken_at = max(self._taken_at, self._full_since)
        self._unsent = unsent
        if now - self._taken_at >= self._send_timeout:
            _log.warning("client dropped: it took nothing", seconds=self._send_timeout)
            self._drop()

    def _drop(self) -> None:
        if self._transport is not None:
            self._transport.abort()
        self._ticker.discard(self)
        self.pending = 0
        self._drained.set()


class Keepalive:
    """Calls `send` whenever nothing was sent for `interval` seconds; for a `Ticker`."""

    __slots__ = ("_interval", "_send", "_writer")

    def __init__(self, writer: StreamWriter, interval: float, send: Callable[[], None]) -> None:
        self._writer = writer
        self._interval = interval
        self._send = send

    def look(self, now: float) -> None:
        """See `Ticker`."""
        if now - self._writer.last_sent >= self._interval:
            self._send()
