"""One request to an upstream and its answer, as a block."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING

import aiohttp

from maestro_daemon.upstream.idle_watch import IdleWatch

if TYPE_CHECKING:
    from maestro_daemon.upstream.http import HttpUpstream


class Exchange:
    """One request and its answer, for ``async with``."""

    __slots__ = ("_answer", "_asked", "_owes_slot", "_upstream", "_watch")

    def __init__(
        self, upstream: HttpUpstream, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> None:
        self._upstream = upstream
        self._asked = (method, path, body, headers)
        self._owes_slot = False
        self._answer: aiohttp.ClientResponse
        self._watch: IdleWatch

    async def __aenter__(self) -> aiohttp.ClientResponse:
        self._owes_slot = await self._upstream.take_slot()
        try:
            self._answer = await self._upstream.open(*self._asked)
        except BaseException:
            if self._owes_slot:
                self._upstream.give_slot()
            raise
        self._watch = self._upstream.watch(self._answer)
        return self._answer

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watch.stop()
        self._upstream.close(self._answer)
        if self._owes_slot:
            self._upstream.give_slot()
        if self._watch.silent and isinstance(error, Exception):
            raise self._upstream.silent() from error
        if isinstance(error, aiohttp.ClientError | OSError):
            raise self._upstream.broken() from error
