"""The requests that are being answered: how many there are, waiting for their ends, and ending them."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Final

import structlog
from aiohttp import web

from maestro_daemon.errors import MaestroError
from maestro_daemon.server.error_answers import InternalError
from maestro_daemon.server.request_id import request_id_of

_LAST_WORDS: Final = 5.0  # seconds for terminal events to reach their clients
_log: Final = structlog.get_logger(__name__)


class DaemonStopping(MaestroError):
    """The daemon ends, and this answer with it."""

    default_status = 503
    default_code = "server_error"


class UnderWay:
    """One for all requests of the daemon. Who answers one puts its task into `tasks`, takes it out at the
    end, and sets `one_ended` then.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.tasks: set[asyncio.Task[Any]] = set()
        self.one_ended = asyncio.Event()
        self._loop = loop
        self._ending = False

    def __len__(self) -> int:
        return len(self.tasks)

    async def none(self) -> None:
        """Wait until no request is being answered."""
        while self.tasks:
            self.one_ended.clear()
            await self.one_ended.wait()

    async def end(self) -> None:
        """End every answer under way: a stream by its terminal event, a JSON request by a 503."""
        self._ending = True
        for task in tuple(self.tasks):
            task.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS):
                await self.none()

    def taken_back(self, request: web.Request) -> MaestroError | None:
        """Why the running task was cancelled although its client waits: that is taken back then, and the
        client to be told. None if it left.

        Nobody but `end` cancels what answers a request whose connection stands; a plugin's code may.
        """
        transport = request.transport
        task = asyncio.current_task(self._loop)
        if transport is None or transport.is_closing() or task is None:
            return None
        task.uncancel()
        if self._ending:
            return DaemonStopping("The gateway is being stopped; send the request again.")
        _log.error("request cancelled from within: a plugin's code did", request_id=request_id_of(request))
        return InternalError("What was to answer the request cancelled it; the log has the details.")
