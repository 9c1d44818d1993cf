"""All connections: how many there may be, and how they end together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import structlog
from aiohttp import web
from aiohttp.http import RawRequestMessage
from aiohttp.web_protocol import RequestHandler

from maestro_daemon.server.bounds import Bounds
from maestro_daemon.server.connection import Connection, EventStream, House, last_of_connection
from maestro_daemon.server.front_door import FRONT_DOOR, FrontDoor
from maestro_daemon.server.protocol_errors import TooManyConnections
from maestro_daemon.server.refusals import Refusals
from maestro_daemon.ticker import Ticker

__all__ = ["Bounds", "Connection", "ConnectionRunner", "EventStream"]

_LINGER: Final = 5.0
_SHUTDOWN: Final = 0.5  # streams are drained before; what is still open then is not waited for
_MOST_LEAVING: Final = 64
_TELL_AGAIN: Final = 10.0
_log: Final = structlog.get_logger("maestro_daemon.server")


class _ConnectionServer(House):
    """aiohttp's low-level server, making connections of ours."""

    def __init__(self, made: web.Server, bounds: Bounds, front_door: FrontDoor | None) -> None:
        handle: Any = made.request_handler
        if front_door is not None:
            handle = front_door.before(handle)
        super().__init__(
            handle,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            loop=made._loop,
            **made._kwargs,
        )
        self._refusals = Refusals() if front_door is None else front_door.refusals
        self._open: dict[Connection, str | None] = {}
        self._addresses: dict[str, int] = {}
        self._leaving: set[Connection] = set()
        self._left: asyncio.Event | None = None
        self._last_request: Callable[..., web.BaseRequest] | None = None
        self._told_at = self._loop.time() - _TELL_AGAIN
        self.follow(bounds)

    def __call__(self) -> RequestHandler:
        return Connection(self, loop=self._loop, bounds=self._bounds, ticker=self._ticker, **self._kwargs)

    def follow(self, bounds: Bounds) -> None:
        """Bounds for connections that come from now on."""
        self._bounds = bounds
        self._ticker = Ticker(bounds.send_timeout, self._loop)

    def full(self, connection: Connection, wire: asyncio.Transport) -> TooManyConnections | None:
        bounds = self._bounds
        address = _address(wire)
        if bounds.most is not None and len(self._open) >= bounds.most:
            setting, most = "max_connections", bounds.most
        elif (
            address is not None
            and bounds.most_per_address is not None
            and self._addresses.get(address, 0) >= bounds.most_per_address
        ):
            setting, most = "max_connections_per_address", bounds.most_per_address
        else:
            return None
        now = self._loop.time()
        if now - self._told_at >= _TELL_AGAIN:  # who sends many of them must not fill the log, too
            self._told_at = now
            _log.warning(
                "connections refused: too many are open", setting=setting, most=most, address=address
            )
        if len(self._leaving) >= _MOST_LEAVING:
            next(iter(self._leaving)).leave()
        self._leaving.add(connection)
        return TooManyConnections(
            f"As many connections are open as [server] {setting} = {most} allows: close some, or come again."
        )

    def left(self, connection: Connection) -> None:
        self._leaving.discard(connection)

    def refused(self, http_status: int, code: str | None) -> None:
        self._refusals.add(http_status, code)

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        if isinstance(handler, Connection):
            address = self._open[handler] = _address(transport)
            if address is not None:
                self._addresses[address] = self._addresses.get(address, 0) + 1
            handler.ticker.add(handler)
            if self._last_request is not None:  # it was accepted before, and took its time to shake hands
                handler.end_after_answer(self._last_request)

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        if isinstance(handler, Connection) and handler in self._open:
            address = self._open.pop(handler)
            if address is not None:
                self._addresses[address] -= 1
                if not self._addresses[address]:
                    del self._addresses[address]
            handler.ticker.discard(handler)
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
            return usual(last_of_connection(message), *rest)

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

    async def shutdown(self, timeout: float | None = None) -> None:  # noqa: ASYNC109  (aiohttp's)
        for connection in tuple(self._leaving):
            connection.leave()
        await super().shutdown(timeout)


class ConnectionRunner(web.AppRunner):
    """Runs an application with everything that it takes for granted.

    Bodies are decoded by `read_body` alone, a client's disconnect cancels its handler, and nothing is
    written to aiohttp's access log.
    """

    __slots__ = ("_bounds",)

    def __init__(self, app: web.Application, bounds: Bounds | None = None) -> None:
        super().__init__(
            app,
            auto_decompress=False,
            handler_cancellation=True,
            access_log=None,
            lingering_time=_LINGER,
            shutdown_timeout=_SHUTDOWN,
        )
        self._bounds = Bounds() if bounds is None else bounds

    def follow(self, bounds: Bounds) -> None:
        """Other bounds, for connections that come from now on."""
        self._bounds = bounds
        if isinstance(self.server, _ConnectionServer):
            self.server.follow(bounds)

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
        made = await super()._make_server()
        return _ConnectionServer(made, self._bounds, self.app.get(FRONT_DOOR))


def _address(wire: asyncio.Transport) -> str | None:
    """Where a client connects from; None for a unix socket."""
    peer = wire.get_extra_info("peername")
    return peer[0] if isinstance(peer, tuple) else None
