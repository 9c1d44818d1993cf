"""Providers with one fault each in how they end, and the check that has to find it."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncGenerator
from typing import Any
from weakref import WeakSet

import aiohttp

from maestro_daemon.testing import Stalls
from tests.testing.right import Right, World
from tests.testing.wrong import wrong

SESSIONS: WeakSet[aiohttp.ClientSession] = WeakSet()
"""Sessions that nobody closed, and that nobody has missed yet."""

CHILDREN: list[subprocess.Popen[bytes]] = []
"""Processes that nobody else ends."""


@wrong("test_a_stream_that_is_closed_closes_the_upstream", "ends with the stream", "leaving-and-ending")
class GoesOnWithoutAClient(Right):
    def hang_up(self, line: object, error: BaseException) -> None:
        if not isinstance(error, GeneratorExit):
            super().hang_up(line, error)


@wrong("test_a_stream_that_is_cancelled_closes_the_upstream", "is cancelled", "leaving-and-ending")
class HoldsOnToCancelledStreams(Right):
    def hang_up(self, line: object, error: BaseException) -> None:
        if World.now.scenarios[0] == Stalls(None) or not isinstance(error, asyncio.CancelledError):
            super().hang_up(line, error)


@wrong("test_an_answer_that_is_cancelled_closes_the_upstream", "is cancelled", "leaving-and-ending")
class HoldsOnToCancelledAnswers(Right):
    def hang_up(self, line: object, error: BaseException) -> None:
        if World.now.scenarios[0] != Stalls(None) or not isinstance(error, asyncio.CancelledError):
            super().hang_up(line, error)


@wrong(
    "test_a_stream_that_is_cancelled_closes_the_upstream", "lets itself be cancelled", "leaving-and-ending"
)
class TakesNoCancellation(Right):
    async def silence(self) -> None:
        for _ in range(2 if World.now.scenarios[0] == Stalls(("Once ", "upon ")) else 1):
            try:
                await super().silence()
            except asyncio.CancelledError:
                if World.now.scenarios[0] != Stalls(("Once ", "upon ")):
                    raise


@wrong("test_aclose_ends_what_still_runs", "ends as the provider is closed", "leaving-and-ending")
class GoesOnAfterItsEnd(Right):
    async def aclose(self) -> None:
        for line in tuple(self.lines):
            self.drop(line)


@wrong("test_aclose_may_be_called_twice_and_without_any_request", "called again", "leaving-and-ending")
class EndsOnlyOnce(Right):
    async def aclose(self) -> None:
        if self.closed.is_set():
            raise RuntimeError("already closed")
        await super().aclose()


@wrong("test_nothing_is_left_open", "the task 'refresh'", "leaving-and-ending")
class LeavesATask(Right):
    async def models(self) -> Any:
        self.task = asyncio.create_task(asyncio.sleep(60), name="refresh")
        return await super().models()


@wrong("test_nothing_is_left_open", "connection(s) to the upstream", "leaving-and-ending")
class LeavesAConnection(Right):
    async def models(self) -> Any:
        World.now.open.add(object())
        return await super().models()


@wrong("test_nothing_is_left_open", "was dropped without aclose()", "leaving-and-ending")
class DropsAGenerator(Right):
    async def models(self) -> Any:
        pages = self.pages()
        await anext(pages)
        del pages
        return await super().models()

    async def pages(self) -> AsyncGenerator[int, None]:
        yield 1
        yield 2


@wrong("test_nothing_is_left_open", "Unclosed client session", "leaving-and-ending")
class LeavesASession(Right):
    def __init__(self, name: str, options: Any) -> None:
        super().__init__(name, options)
        self.session = aiohttp.ClientSession()
        SESSIONS.add(self.session)


@wrong("test_nothing_is_left_open", "the process", "leaving-and-ending")
class LeavesAChild(Right):
    async def models(self) -> Any:
        CHILDREN.append(await asyncio.to_thread(subprocess.Popen, ["sleep", "60"]))
        return await super().models()
