"""A streamed answer: the events of the one upstream that commits, whoever was asked before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from types import AsyncGeneratorType, TracebackType
from typing import Any, cast

from maestro_daemon.errors import NO_HEADERS, MaestroError
from maestro_daemon.events import DELTAS, PREAMBLE, TERMINAL, Accepted, ResponseEvent
from maestro_daemon.protocol import error_body, json
from maestro_daemon.protocol.splice import Splice, terminal_status
from maestro_daemon.providers.foreign_code import FAILURES
from maestro_daemon.request import ResponseRequest
from maestro_daemon.routing.answer import is_kept, remembered
from maestro_daemon.routing.hedging import Race, late_after
from maestro_daemon.routing.plan import Plan, Target
from maestro_daemon.routing.pursuit import Means, Progress, Pursuit
from maestro_daemon.routing.tries import Try

_WELL_ENDED = frozenset({"response.completed", "response.incomplete"})
_TELLING = PREAMBLE | TERMINAL | {"error"}
"""Types that say something of the attempt, also once it is the one whose answer is given."""


class ResponseStream:
    """The events of an accepted response; used in ``async with``, which closes the upstream.

    Iteration gives the committed upstream's events and raises `MaestroError` where the stream fails.
    `target` is who accepted last, `headers` are the first one's, `store` whether it keeps the response.
    """

    def __init__(self, means: Means, request: ResponseRequest, plan: Plan, progress: Progress) -> None:
        self.target: Target | None = None
        self.headers: Mapping[str, str] = NO_HEADERS
        self.store = False
        self._means = means
        self._request = request
        self._plan = plan
        self._progress = progress
        self._attempt: Try | None = None
        self.events = self._attempts()

    async def __aenter__(self) -> AsyncGenerator[ResponseEvent, None]:
        return self.events

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._attempt is not None:
            self._attempt.pursuit.deadline.move(None)  # it is for answers, not for their closing
        await self.events.aclose()

    def broke(self, error: MaestroError) -> None:
        """What came cannot be passed on: the upstream failed, though it did not notice."""
        if self._attempt is not None:
            self._attempt.broke(error)

    def settle(self, response: Mapping[str, Any], upstream_id: str | None) -> None:
        """The client has its whole answer, `response`; `upstream_id` is its id there, None if ours."""
        target = self.target
        if target is None:
            return
        self._means.health.used(target, response.get("usage"))
        output = response.get("output")
        if isinstance(output, list) and response.get("status") != "failed":
            self._plan.answered(output)
        remembered(self._means.memory, self._request, target, response, upstream_id)

    async def _attempts(self) -> AsyncGenerator[ResponseEvent, None]:
        """The first `Accepted`, then the events of the one upstream that commits."""
        means = self._means
        deadline = means.deadlines.watch(None, cast("AsyncGeneratorType[ResponseEvent, None]", self.events))
        pursuit = Pursuit(means, self._request, self._plan, self._progress, deadline)
        course = pursuit.course
        splice = Splice()
        try:
            while True:
                if course.wait:
                    await asyncio.sleep(course.wait)
                attempt = self._attempt = pursuit.next()
                if attempt is None:
                    raise pursuit.exhausted()
                splice.attempt(attempt.target.provider_name)
                late = None if pursuit.pace is None else late_after(pursuit)
                answered = False
                try:
                    if late is not None:
                        async with aclosing(self._raced(Race(pursuit, attempt, late), splice)) as raced:
                            async for event in raced:
                                yield event
                        return
                    upstream = attempt.target.provider.stream(attempt.aimed())
                    try:
                        async for event in upstream:
                            if event.type not in _TELLING and answered:
                                yield event if event.type in DELTAS else attempt.seal.event(event)
                                continue
                            if attempt.attempt.accepted_after is None:
                                attempt.accepted()
                                if self._accepted(attempt.target, event):
                                    yield Accepted(self.headers)
                            if splice.take(event):
                                if not answered:
                                    answered = True
                                    attempt.answered()
                                yield _noted(attempt, event, ended=splice.ended)
                                if splice.ended:
                                    break
                    finally:
                        await upstream.aclose()
                    splice.end()
                    return
                except GeneratorExit:
                    raise
                except FAILURES as error:
                    told = (self._attempt or attempt).failed(error)  # of a race, the winner
                    if told is None:
                        raise
                    if splice.committed:
                        raise told from error
                finally:
                    (self._attempt or attempt).end()
        finally:
            pursuit.close()

    async def _raced(self, race: Race, splice: Splice) -> AsyncGenerator[ResponseEvent, None]:
        """As an attempt of `_attempts`, made twice."""
        answered = False
        async with aclosing(race.events()) as events:
            async for event in events:
                if event.type in DELTAS and answered:
                    yield event
                    continue
                if isinstance(event, Accepted):
                    if self._accepted(race.accepted_by.target, event):
                        yield Accepted(self.headers)
                    continue
                attempt = self._attempt = race.winner
                if not answered:
                    splice.attempt(attempt.target.provider_name)
                if splice.take(event):
                    if not answered:
                        answered = True
                        self.target = attempt.target
                        attempt.answered()
                    yield _noted(attempt, event, ended=splice.ended)
                    if splice.ended:
                        break
        splice.end()

    def _accepted(self, target: Target, event: ResponseEvent) -> bool:
        """Note who accepted; True if it is the first."""
        first = self.target is None
        self.target = target
        if first:
            if isinstance(event, Accepted):
                self.headers = event.headers
            self.store = is_kept(self._request, target)
        return first


def _failure(attempt: Try, event: ResponseEvent) -> MaestroError:
    """What an ``error`` event tells; the splice has read it before."""
    return error_body.stream_failure(json.loads(event.payload), provider=attempt.target.provider_name)


def _noted(attempt: Try, event: ResponseEvent, *, ended: bool) -> ResponseEvent:
    """An output event as it leaves, its ciphertext marked; what it says of the attempt is noted before."""
    if ended:
        _judge(attempt, event)
    elif event.type == "error":
        attempt.told(_failure(attempt, event))
    return attempt.seal.event(event)


def _judge(attempt: Try, event: ResponseEvent) -> None:
    """The terminal event came: whether the upstream calls the answer a failure."""
    if event.type in _WELL_ENDED and b'"failed"' not in event.payload:
        attempt.succeeded()
        return
    try:
        payload = json.loads(event.payload)
    except json.JSONInvalid:
        return  # the guard says what it is
    if terminal_status(event.type, payload) == "failed":
        attempt.broke(error_body.stream_failure(payload, provider=attempt.target.provider_name))
    else:
        attempt.succeeded()
