"""Trying the targets of a plan in turn, until one answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from maestro_daemon.errors import CatalogueUnread
from maestro_daemon.protocol.sealing import holds_ciphertext
from maestro_daemon.providers.foreign_code import FAILURES
from maestro_daemon.request import ResponseRequest
from maestro_daemon.routing.answer import Completed, read_reply, remembered, sealed, with_previous
from maestro_daemon.routing.budget import RetryBudget
from maestro_daemon.routing.deadlines import Deadlines
from maestro_daemon.routing.health import Health
from maestro_daemon.routing.hedging import first_answer, late_after
from maestro_daemon.routing.memory import Memory
from maestro_daemon.routing.plan import Plan, Planner, Target
from maestro_daemon.routing.pursuit import Means, Notices, Progress, Pursuit
from maestro_daemon.routing.stream import ResponseStream
from maestro_daemon.routing.terms import Patience
from maestro_daemon.routing.tracing import Tracing
from maestro_daemon.routing.tries import Try

__all__ = ["Completed", "Notices", "Progress", "ResponseStream", "Router"]

_NOBODYS: Final[Mapping[str, Patience]] = MappingProxyType({})


class Router:
    """Drives providers' `complete` and `stream` over the targets of a plan.

    `health`, `budget` and `deadlines` outlive the router, as does `memory`. `patience` says by providers'
    names how long their answers may take. `clock` gives seconds; `tracing` is told of what begins.
    """

    def __init__(
        self,
        planner: Planner,
        memory: Memory,
        notices: Notices,
        *,
        health: Health | None = None,
        budget: RetryBudget | None = None,
        deadlines: Deadlines | None = None,
        patience: Mapping[str, Patience] = _NOBODYS,
        clock: Callable[[], float] = time.monotonic,
        tracing: Tracing | None = None,
    ) -> None:
        self._planner = planner
        self._means = Means(
            memory,
            notices,
            Health() if health is None else health,
            RetryBudget() if budget is None else budget,
            Deadlines() if deadlines is None else deadlines,
            patience,
            clock,
            tracing,
        )

    async def complete(self, request: ResponseRequest, progress: Progress) -> Completed:
        """The whole answer of the first target that gives one.

        Raises `MaestroError`: the client's fault, an unknown name, or `AttemptsExhausted`.
        """
        plan = await self._plan(request)
        pursuit = Pursuit(self._means, request, plan, progress, self._means.deadlines.watch(None))
        course = pursuit.course
        try:
            while True:
                if course.wait:
                    await asyncio.sleep(course.wait)
                attempt = pursuit.next()
                if attempt is None:
                    raise pursuit.exhausted()
                late = None if pursuit.pace is None else late_after(pursuit)
                if late is None:
                    completed = await self._ask(attempt)
                elif (won := await first_answer(pursuit, attempt, late, self._ask)) is not None:
                    attempt, completed = won
                else:
                    completed = None
                if completed is not None:
                    plan.answered(completed.response["output"])
                    return self._settled(request, attempt.target, completed)
        finally:
            pursuit.close()

    async def stream(self, request: ResponseRequest, progress: Progress) -> ResponseStream:
        """Go as far as the first upstream's acceptance. Raises as `complete` if none accepts."""
        plan = await self._plan(request)
        stream = ResponseStream(self._means, request, plan, progress)
        try:
            await anext(stream.events)
        except BaseException:
            await stream.events.aclose()
            raise
        return stream

    async def _plan(self, request: ResponseRequest) -> Plan:
        try:
            return self._planner.plan(request)
        except CatalogueUnread:
            return await self._planner.plan_patiently(request)

    async def _ask(self, attempt: Try) -> Completed | None:
        """The answer of one attempt, None if it failed."""
        target = attempt.target
        try:
            reply = await target.provider.complete(attempt.aimed())
            completed = read_reply(reply, target.provider_name)
            if holds_ciphertext(completed.body):
                completed = sealed(completed, attempt.seal)
            attempt.answered()
            attempt.succeeded()
            return completed
        except FAILURES as error:  # a plugin may raise anything; it fails this attempt alone
            if attempt.failed(error) is None:
                raise
            return None
        finally:
            attempt.end()

    def _settled(self, request: ResponseRequest, target: Target, completed: Completed) -> Completed:
        """The reply with the ids that the client knows, and remembered."""
        means = self._means
        means.health.used(target, completed.response.get("usage"))
        remembered(means.memory, request, target, completed.response, None)
        return with_previous(completed, request.previous_response_id)
