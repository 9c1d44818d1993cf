"""The HTTP protocol under the application: its own answers in the envelope, its silences bounded.

aiohttp answers a request that it cannot parse in plain text and has no timeout for a request whose headers
drip. It offers no hook for either, so its protocol is subclassed here, in the one place that knows its
insides.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import structlog
from aiohttp import ClientPayloadError, StreamReader, web
from aiohttp.http import RawRequestMessage
from aiohttp.http_exceptions import BadHttpMethod, LineTooLong
from aiohttp.web_protocol import RequestHandler

from maestro_daemon.errors import MaestroError, RequestInvalid
from maestro_daemon.protocol import json
from maestro_daemon.server.error_answers import InternalError, error_response
from maestro_daemon.server.middlewares import http_error
from maestro_daemon.server.request_id import HEADER, new_request_id, request_id_of

HEAD_TIMEOUT = 15.0
"""Seconds from the first byte of a request to the end of its headers."""

IDLE_TIMEOUT = 75.0
"""Seconds that a connection may stay open between requests, or before its first one."""

_LONGEST_LINE = 16 * 1024
_LINGER = 5.0
_SHUTDOWN = 0.5  # streams are drained before; what is still open then is not waited for

_log = structlog.get_logger("maestro_daemon.server")


class RequestTooSlow(RequestInvalid):
    """The headers did not arrive in time."""

    default_status = 408
    default_code = "request_timeout"


class Connection(RequestHandler):
    """One client's connection."""

    __slots__ = ("_answered", "_ends", "_head_timeout", "_head_timer", "_last_payload")

    def __init__(self, *args: Any, head_timeout: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_timeout = head_timeout
        self._head_timer: asyncio.TimerHandle | None = None
        self._last_payload: StreamReader | None = None
        self._answered = 0
        self._ends = False

    def data_received(self, data: bytes) -> None:
        body = self._last_payload
        in_body = body is not None and not body.is_eof()
        parsed = self._request_count
        super().data_received(data)
        if self._messages:
            self._last_payload = self._messages[-1][1]
            if body is not None and body is not self._last_payload and not body.is_eof():
                self._body_broke(body)
        if self._request_count != parsed:
            self._stop_timer()
        elif data and not in_body and parsed == self._answered and self._head_timer is None:
            self._head_timer = self._loop.call_later(self._head_timeout, self._head_too_slow)

    def _body_broke(self, body: StreamReader) -> None:
        # aiohttp takes what it cannot parse for a next request, and lets this one's reader wait for ever.
        self.close()  # once this request is answered
        body.set_exception(ClientPayloadError("the framing of the body is broken"))
        body.feed_eof()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def end_after_answer(self, last_request: Callable[..., web.BaseRequest]) -> None:
        """Close an idle connection now, and any other after the answer that is under way, which says so.

        One that has not asked for anything yet may do so once: its request, made by `last_request`, may be
        on its way.
        """
        self._ends = True
        self._request_factory = last_request
        if self._current_request is not None:
            self._current_request._message = _last(self._current_request._message)
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
        error = RequestTooSlow(f"The request's headers did not arrive within {self._head_timeout:g} seconds.")
        self.transport.write(_raw_answer(error))
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
        error = _protocol_error(status, exc)
        if error.status >= 500:
            _log.error("request failed unforeseen", request_id=request_id_of(request), exc_info=exc)
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
            resp = error_response(
                http_error(resp.status, resp.reason), headers={HEADER: request_id_of(request)}
            )
        self._answered += 1
        if self._ends:
            resp.force_close()
        return await super().finish_response(request, resp, start_time)


class EventStream(web.StreamResponse):
    """A streamed answer whose headers wait for the first bytes of its body, which follow at once.

    One system call, and one waking of the client, less for each stream.
    """

    _send_headers_immediately = False


class _ConnectionServer(web.Server):
    """aiohttp's low-level server, making connections of ours."""

    def __init__(self, made: web.Server, head_timeout: float) -> None:
        super().__init__(
            made.request_handler,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            loop=made._loop,
            **made._kwargs,
        )
        self.head_timeout = head_timeout
        self._open: set[Connection] = set()
        self._left: asyncio.Event | None = None
        self._last_request: Callable[..., web.BaseRequest] | None = None

    def __call__(self) -> RequestHandler:
        return Connection(self, loop=self._loop, head_timeout=self.head_timeout, **self._kwargs)

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        if isinstance(handler, Connection):
            self._open.add(handler)
            if self._last_request is not None:  # it was accepted before, and took its time to shake hands
                handler.end_after_answer(self._last_request)

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        if isinstance(handler, Connection):
            self._open.discard(handler)
        if self._left is not None:
            self._left.set()

    @property
    def connected(self) -> int:
        """How many clients are."""
        return len(self._open)

    def end_after_answers(self) -> None:
        """See `ConnectionRunner`."""
        usual = self.request_factory

        def last_request(message: RawRequestMessage, *rest: Any) -> web.BaseRequest:
            return usual(_last(message), *rest)

        self._last_request = last_request
        for connection in tuple(self._open):
            connection.end_after_answer(last_request)

    def end_silent(self) -> None:
        """See `ConnectionRunner`."""
        for connection in tuple(self._open):
            connection.end_if_silent()

    async def deserted(self) -> None:
        """See `ConnectionRunner`."""
        self._left = asyncio.Event()
        while self._open:
            self._left.clear()
            await self._left.wait()


class ConnectionRunner(web.AppRunner):
    """Runs an application with everything that it takes for granted.

    Bodies are decoded by `read_body` alone, a client's disconnect cancels its handler, and nothing is
    written to aiohttp's access log. `head_timeout` and `idle_timeout` are in seconds.
    """

    __slots__ = ("_head_timeout",)

    def __init__(
        self, app: web.Application, *, head_timeout: float = HEAD_TIMEOUT, idle_timeout: float = IDLE_TIMEOUT
    ) -> None:
        super().__init__(
            app,
            auto_decompress=False,
            handler_cancellation=True,
            access_log=None,
            keepalive_timeout=idle_timeout,
            lingering_time=_LINGER,
            shutdown_timeout=_SHUTDOWN,
            max_line_size=_LONGEST_LINE,
            max_field_size=_LONGEST_LINE,
        )
        self._head_timeout = head_timeout

    def limit(self, *, head_timeout: float) -> None:
        """Another limit, for connections that come from now on."""
        self._head_timeout = head_timeout
        if isinstance(self.server, _ConnectionServer):
            self.server.head_timeout = head_timeout

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return self.server.connected if isinstance(self.server, _ConnectionServer) else 0

    def end_after_answers(self) -> None:
        """Close idle connections now, and each other one after its next answer, which says so.

        Those that have asked for nothing yet may do so once, until `end_silent` is called.
        """
        if isinstance(self.server, _ConnectionServer):
            self.server.end_after_answers()

    def end_silent(self) -> None:
        """Close the connections that have asked for nothing yet."""
        if isinstance(self.server, _ConnectionServer):
            self.server.end_silent()

    async def deserted(self) -> None:
        """Wait until no connection is open, and so every answer with the system; one at a time may wait."""
        if isinstance(self.server, _ConnectionServer):
            await self.server.deserted()

    async def _make_server(self) -> web.Server:
        return _ConnectionServer(await super()._make_server(), self._head_timeout)


def _last(message: RawRequestMessage) -> RawRequestMessage:
    """The same request as the last one of its connection."""
    return message if message.should_close else message._replace(should_close=True)


def _protocol_error(status: int, exc: BaseException | None) -> MaestroError:
    # What was sent is never echoed: a broken header may be the one with the key.
    if status >= 500:
        return InternalError("The daemon failed to serve this request; its log says more.", status=status)
    if isinstance(exc, LineTooLong):
        return RequestInvalid(
            f"The request line or a header is longer than {_LONGEST_LINE // 1024} KiB.",
            status=431,
            code="header_too_large",
        )
    if isinstance(exc, BadHttpMethod) and "HTTPS" in exc.message:
        return RequestInvalid("This port speaks plain HTTP; use an http:// URL.", code="bad_http_request")
    return RequestInvalid("The request is not valid HTTP.", status=status, code="bad_http_request")


def _raw_answer(error: MaestroError) -> bytes:
    """The same answer as bytes, for a connection on which there is no request yet."""
    response = error_response(error, headers={HEADER: new_request_id()})
    body = json.dumps(error.envelope())
    head = [
        f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}",
        *(f"{name}: {value}" for name, value in response.headers.items() if name.lower() != "content-length"),
        f"content-length: {len(body)}",
        "connection: close",
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body
