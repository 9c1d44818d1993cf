"""Providers that do as they are told, and a router over them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from maestro_daemon.events import Accepted, ResponseEvent
from maestro_daemon.plugin import Model
from maestro_daemon.request import ResponseRequest
from maestro_daemon.routing.budget import RetryBudget
from maestro_daemon.routing.health import Health
from maestro_daemon.routing.memory import Memory
from maestro_daemon.routing.plan import Planner, Route, Target
from maestro_daemon.routing.router import Completed, Progress, Router
from maestro_daemon.routing.terms import USUAL, Patience, Terms
from tests.support import native
from tests.support.core import named
from tests.support.house import FixedCatalogue, Heard

HELLO = native.events(native.message_events(["Hello"]))
ANSWER = native.response(status="completed", output=[native.message("Hello")])

Step = ResponseEvent | BaseException | asyncio.Event


class Scripted:
    """A provider whose stream is `steps` and whose answer is `reply`; notes what is asked and closed."""

    def __init__(self, *steps: Step, reply: Any = None) -> None:
        self.name = ""
        self.steps = steps
        self.reply = reply
        self.asked: list[ResponseRequest] = []
        self.closed = 0
        self.began = asyncio.Event()

    def keeps_responses(self, model: str) -> bool:
        return True

    async def models(self) -> Sequence[Model]:
        return []

    async def complete(self, request: ResponseRequest) -> Any:
        self.asked.append(request)
        self.began.set()
        if isinstance(self.reply, BaseException):
            raise self.reply
        if isinstance(self.reply, asyncio.Event):
            await self.reply.wait()
        return self.reply

    async def stream(self, request: ResponseRequest) -> AsyncGenerator[ResponseEvent, None]:
        self.asked.append(request)
        self.began.set()
        try:
            for step in self.steps:
                if isinstance(step, BaseException):
                    raise step
                if isinstance(step, asyncio.Event):
                    await step.wait()
                else:
                    yield step
        finally:
            await asyncio.sleep(0)
            self.closed += 1

    async def aclose(self) -> None:
        return


class Bench:
    """A router over scripted providers, all targets of the route ``r`` in order.

    `terms` are the route's, `patience` is that of every provider. With `fallback` all but the first are
    fallbacks.
    """

    def __init__(
        self,
        *providers: Scripted,
        terms: Terms = USUAL,
        patience: Patience | None = None,
        fallback: bool = False,
    ) -> None:
        self.providers: dict[str, Any] = {f"p{number}": each for number, each in enumerate(providers, 1)}
        targets = tuple(Target(each, name, "m") for name, each in self.providers.items())
        self.heard = Heard()
        self.memory = Memory()
        self.progress = Progress()
        self.request = ResponseRequest(
            body={"model": "r", "input": "Hi"}, model="r", asked_model="r", stream=True
        )
        first, later = (targets[:1], targets[1:]) if fallback else (targets, ())
        route = Route("r", first, later, balance="in_order", terms=terms)
        self.health = Health()
        self.budget = RetryBudget()
        planner = Planner(self.providers, {"r": route}, FixedCatalogue({}), self.memory, health=self.health)
        self.router = Router(
            planner,
            self.memory,
            self.heard,
            health=self.health,
            budget=self.budget,
            patience={} if patience is None else dict.fromkeys(self.providers, patience),
        )

    async def events(self) -> list[str]:
        """The types of a whole stream."""
        async with await self.router.stream(self.request, self.progress) as events:
            return [event.type async for event in events]

    async def answer(self) -> Completed:
        """A whole answer."""
        return await self.router.complete(self.request, self.progress)

    @property
    def asked(self) -> list[str]:
        return [attempt.target for attempt in self.progress.attempts]

    def check_closed(self) -> None:
        """Every stream that was begun was closed, and every attempt told once."""
        for provider in self.providers.values():
            assert provider.closed == sum(request.stream for request in provider.asked)
        told = sorted(self.heard.attempts, key=lambda attempt: attempt.number)
        assert told == self.progress.attempts


def whole() -> Scripted:
    return Scripted(Accepted({"x-from": "up"}), *map(named, HELLO), reply=ANSWER)
