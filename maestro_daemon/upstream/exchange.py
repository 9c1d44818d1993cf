"""One request to an upstream and its answer, as a block."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING

import aiohttp

from maestro_daemon.upstream.answer import Answer

if TYPE_CHECKING:
    from maestro_daemon.upstream.http import HttpUpstream


class Exchange:
    """One request and its answer, for ``async with``."""

    __slots__ = ("_answer", "_asked", "_owes_slot", "_silence", "_upstream")

    def __init__(
        self, upstream: HttpUpstream, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> None:
        self._upstream = upstream
        self._asked = (method, path, body, headers)
        self._silence = upstream.silence()
        self._owes_slot = False
        self._answer: Answer

    async def __aenter__(self) -> Answer:
        upstream = self._upstream
        if upstream.slots is not None:
            await upstream.slots.take()
            self._owes_slot = True
        try:
            self._answer = answer = await upstream.open(*self._asked, self._silence)
        except BaseException:
            self._end()
            raise
        return answer

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._upstream.release(self._answer)
        self._end()
        if error is not None:
            if self._silence.fell and isinstance(error, Exception):
                raise self._upstream.silent() from error
            if isinstance(error, aiohttp.ClientError | OSError):
                raise self._upstream.broken() from error

    def _end(self) -> None:
        self._upstream.over(self._silence)
        if self._owes_slot and self._upstream.slots is not None:
            self._upstream.slots.give()
