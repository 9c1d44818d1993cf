"""One client's connection: what is not HTTP is answered in the envelope, and every silence is bounded.

aiohttp answers a request that it cannot parse in plain text, and has no timeout for a request whose headers
drip, nor for a client that takes nothing of its answer. It offers no hook for any of it, so its protocol is
subclassed here and in `connections`, the places that know its insides.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import structlog
from aiohttp import ClientPayloadError, StreamReader, hdrs, web
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.http import SERVER_SOFTWARE, HttpVersion11, RawRequestMessage
from aiohttp.web_protocol import RequestHandler

from maestro_daemon.errors import MaestroError
from maestro_daemon.server.bounds import Bounds
from maestro_daemon.server.error_answers import error_response
from maestro_daemon.server.front_door import http_error
from maestro_daemon.server.protocol_errors import (
    RequestTooSlow,
    TooManyConnections,
    protocol_error,
    raw_answer,
)
from maestro_daemon.server.request_id import HEADER, request_id_of
from maestro_daemon.ticker import Ticker

_log = structlog.get_logger("maestro_daemon.server")


_FAREWELL = 1.0


class House(web.Server):
    """What connections know of the server that they belong to."""

    def full(self, connection: Connection, wire: asyncio.Transport) -> TooManyConnections | None:
        """Why a connection that was made cannot be kept, None if it can."""
        return None

    def left(self, connection: Connection) -> None:
        """One that could not be kept is gone."""

    def refused(self, http_status: int, code: str | None) -> None:
        """Something that is no request was answered so."""


class Connection(RequestHandler):
    """One client's connection to `house`. `ticker` is what looks whether it takes its answers."""

    __slots__ = (
        "_answered",
        "_bounds",
        "_ends",
        "_head_timer",
        "_house",
        "_last_payload",
        "_taken_at",
        "_turned_away",
        "_unsent",
        "_wire",
        "ticker",
    )

    def __init__(self, house: House, *, bounds: Bounds, ticker: Ticker, **kwargs: Any) -> None:
        super().__init__(
            house,
            keepalive_timeout=bounds.idle_timeout,
            max_line_size=bounds.max_header,
            max_field_size=bounds.max_header,
            **kwargs,
        )
        self._bounds = bounds
        self._house = house
        self.ticker = ticker
        self._wire: asyncio.Transport | None = None
        self._turned_away: asyncio.TimerHandle | None = None
        self._taken_at = self._loop.time()
        self._unsent = 0  # bytes that the last look found
        self._head_timer: asyncio.TimerHandle | None = None
        self._last_payload: StreamReader | None = None
        self._answered = 0
        self._ends = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._wire = wire = cast("asyncio.Transport", transport)  # uvloop's do not inherit from it
        error = self._house.full(self, wire)
        if error is None:
            super().connection_made(transport)
            return
        self._house.refused(error.status, error.code)
        wire.write(raw_answer(error))
        # Closed before the request was taken in, the connection would be reset, and the answer lost.
        if wire.can_write_eof():
            wire.write_eof()
        self._turned_away = self._loop.call_later(_FAREWELL, wire.abort)

    def leave(self) -> None:
        """End a connection that was turned away."""
        if self._turned_away is not None and self._wire is not None:
            self._turned_away.cancel()
            self._wire.abort()

    def look(self, now: float) -> None:
        """Drop a client that takes nothing of what was written for it (see `Ticker`).

        While a handler writes and is not held up, it is its own affair.
        """
        wire = self._wire
        if wire is None:
            return
        unsent = wire.get_write_buffer_size()
        if not unsent or unsent < self._unsent or (self._current_request is not None and not self._paused):
            self._taken_at = now
        self._unsent = unsent
        if now - self._taken_at >= self._bounds.send_timeout:
            self._taken_at = now
            _log.warning("client dropped: it took nothing", seconds=self._bounds.send_timeout)
            wire.abort()

    def data_received(self, data: bytes) -> None:
        if self._turned_away is not None:
            return
        body = self._last_payload
        in_body = body is not None and not body.is_eof()
        parsed = self._request_count
        super().data_received(data)
        if self._messages:
            self._last_payload = self._messages[-1][1]
            if body is not None and body is not self._last_payload and not body.is_eof():
                self._body_broke(body, is_answered=self._answered >= parsed)
        if self._request_count != parsed:
            self._stop_timer()
        elif data and not in_body and parsed == self._answered and self._head_timer is None:
            self._head_timer = self._loop.call_later(self._bounds.head_timeout, self._head_too_slow)

    def _process_keepalive(self) -> None:
        if self._head_timer is None:
            super()._process_keepalive()
        else:  # not idle: the headers under way have their own time, and an answer when it is over
            self._keepalive_handle = None

    def _body_broke(self, body: StreamReader, *, is_answered: bool) -> None:
        # aiohttp takes what it cannot parse for a next request, and lets this one's reader wait for ever.
        self.close()  # once this request is answered
        if not is_answered:  # else only aiohttp still reads, to throw it away, and would log a traceback
            body.set_exception(ClientPayloadError("the framing of the body is broken"))
        body.feed_eof()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._stop_timer()
        self._wire = None
        if self._turned_away is None:
            super().connection_lost(exc)
        else:
            self._turned_away.cancel()
            self._house.left(self)

    def end_after_answer(self, last_request: Callable[..., web.BaseRequest]) -> None:
        """Close an idle connection now, and any other after the answer that is under way, which says so.

        One that has not asked for anything yet may do so once: its request, made by `last_request`, may be
        on its way.
        """
        self._ends = True
        self._request_factory = last_request
        if self._current_request is not None:
            self._current_request._message = last_of_connection(self._current_request._message)
        elif self._request_count and self._answered == self._request_count and self._head_timer is None:
            self._end()

    def end_if_silent(self) -> None:
        """Close it if it has not asked for anything yet."""
        if not self._request_count and self._head_timer is None:
            self._end()

    def _end(self) -> None:
        """Take no more requests. What is still written goes out; of a body nothing more would be read."""
        if self._waiter is None and self._request_count:
            self.close()
        else:
            self.force_close()  # `close` would leave an idle connection open

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_too_slow(self) -> None:
        self._head_timer = None
        if self.transport is None:
            return
        error = RequestTooSlow(
            f"The request's headers did not arrive within {self._bounds.head_timeout:g} seconds."
        )
        self._tell(error, None)
        self.transport.write(raw_answer(error))
        self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer when no handler could answer: the request was not HTTP, or the house failed."""
        if isinstance(exc, ConnectionError):
            raise exc  # the client is gone, or its answer had begun: nothing more can be said to it
        error = protocol_error(status, exc, self._bounds.max_header)
        if error.status >= 500:
            _log.error("request failed unforeseen", request_id=request_id_of(request), exc_info=exc)
        else:
            self._tell(error, request)
        if request.writer.output_size > 0:
            raise ConnectionResetError("the answer had begun when it failed")
        answer = error_response(error, headers={HEADER: request_id_of(request)})
        answer.force_close()
        return answer

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send `resp`; an HTTPException that no middleware saw (a bad ``Expect``) is put in the envelope."""
        if isinstance(resp, web.HTTPException) and resp.status >= 400:
            error = http_error(resp.status, resp.reason)
            self._tell(error, request)
            resp = error_response(error, headers={HEADER: request_id_of(request)})
        self._answered += 1
        if self._ends:
            resp.force_close()
        return await super().finish_response(request, resp, start_time)

    def _tell(self, error: MaestroError, request: web.BaseRequest | None) -> None:
        """Count and log what was refused before it was a request."""
        self._house.refused(error.status, error.code)
        peer = self.peername
        _log.warning(
            "request refused",
            request_id=None if request is None else request_id_of(request),
            address=peer[0] if isinstance(peer, tuple) else None,
            http_status=error.status,
            reason=error.message,
        )


class EventStream(web.StreamResponse):
    """A streamed answer whose headers wait for the first bytes of its body, which follow at once.

    One system call, and one waking of the client, less for each stream.
    """

    _send_headers_immediately = False

    async def _prepare_headers(self) -> None:
        request, writer = self._req, self._payload_writer
        if request is None or writer is None or request.version != HttpVersion11:
            self._keep_alive = False  # only the connection's end tells of the stream's: aiohttp would stay
            await super()._prepare_headers()
            return
        # Of all that aiohttp would look at, what a stream of unknown length needs.
        writer.enable_chunking()
        headers = self._headers
        headers[hdrs.TRANSFER_ENCODING] = "chunked"
        headers[hdrs.DATE] = rfc822_formatted_time()
        headers[hdrs.SERVER] = SERVER_SOFTWARE
        if self._keep_alive is None:
            self._keep_alive = request.keep_alive
        if not self._keep_alive:
            headers[hdrs.CONNECTION] = "close"


def last_of_connection(message: RawRequestMessage) -> RawRequestMessage:
    """The same request as the last one of its connection."""
    return message if message.should_close else message._replace(should_close=True)
