"""What requests are served by, made from one configuration, and the door that leads to what is current."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from aiohttp import web

from maestro_daemon.routing.router import Router
from maestro_daemon.server.access import Access
from maestro_daemon.server.body_log import BodyLog
from maestro_daemon.ticker import Ticker


@dataclass(frozen=True, slots=True)
class Limits:
    """What an answer is bounded by: `max_body` in bytes, the others in seconds."""

    max_body: int
    body_timeout: float
    keepalive: float
    send_timeout: float


class Front:
    """What one configuration says of requests. Who is served by it enters, and leaves at the end."""

    __slots__ = ("_in_flight", "_left", "access", "bodies", "limits", "router", "ticker")

    def __init__(self, router: Router, access: Access, limits: Limits, bodies: BodyLog | None = None) -> None:
        self.bodies = bodies
        self.router = router
        self.access = access
        self.limits = limits
        self.ticker = Ticker(min(limits.keepalive, limits.send_timeout), asyncio.get_running_loop())
        self._in_flight = 0
        self._left: asyncio.Event | None = None

    @property
    def in_flight(self) -> int:
        """How many are being served."""
        return self._in_flight

    def enter(self) -> None:
        """One more is served from now on."""
        self._in_flight += 1

    def leave(self) -> None:
        """One of them is served."""
        self._in_flight -= 1
        if self._left is not None:
            self._left.set()

    @contextmanager
    def entered(self) -> Iterator[None]:
        """`enter` and `leave` around a block, for what is not asked on every request."""
        self.enter()
        try:
            yield
        finally:
            self.leave()

    async def deserted(self) -> None:
        """Wait until nobody is served by it; one at a time may wait."""
        self._left = asyncio.Event()
        while self._in_flight:
            self._left.clear()
            await self._left.wait()


class Door:
    """Leads each request to the front that is current when it comes."""

    __slots__ = ("front",)

    def __init__(self, front: Front) -> None:
        self.front = front

    def admitted(self, request: web.BaseRequest) -> str:
        """As `Access.admitted` of the current front."""
        return self.front.access.admitted(request)
