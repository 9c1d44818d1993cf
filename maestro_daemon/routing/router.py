"""Trying the targets of a plan in turn, until one answers."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Protocol

import structlog

from maestro_daemon.errors import NO_HEADERS, CatalogueUnread, MaestroError, UpstreamBroken
from maestro_daemon.events import DELTAS, Accepted, ResponseEvent
from maestro_daemon.protocol import error_body, json
from maestro_daemon.protocol.splice import Splice
from maestro_daemon.providers.foreign_code import FAILURES, ends_this_task
from maestro_daemon.providers.notices import Attempt
from maestro_daemon.providers.provider import Reply
from maestro_daemon.request import ResponseRequest
from maestro_daemon.routing.aim import aimed
from maestro_daemon.routing.failures import exhausted, is_clients_fault
from maestro_daemon.routing.memory import Memory, Origin
from maestro_daemon.routing.plan import Plan, Planner, Target

_log: Final = structlog.get_logger(__name__)


class Notices(Protocol):
    """Where finished attempts are told."""

    def maestro_attempt_finished(self, *, request: ResponseRequest, attempt: Attempt) -> None:
        """One attempt ended; must not raise."""
        ...


@dataclass(slots=True)
class Progress:
    """What a request has gone through so far; its owner may read it at any time, also after a failure."""

    attempts: list[Attempt] = field(default_factory=list)

    @property
    def target(self) -> str:
        """``provider/model`` of the latest attempt, "" before the first."""
        return self.attempts[-1].target if self.attempts else ""


@dataclass(frozen=True, slots=True)
class Completed:
    """A whole answer: `body` is the Response as JSON bytes, `response` the same parsed."""

    body: bytes
    response: dict[str, Any]
    headers: Mapping[str, str]


class ResponseStream:
    """The events of an accepted response; used in ``async with``, which closes the upstream.

    Iteration gives the committed upstream's events and raises `MaestroError` where the stream fails.
    `target` is who accepted last, `headers` are the first one's, `store` whether it keeps the response.
    """

    def __init__(self) -> None:
        self.target: Target | None = None
        self.headers: Mapping[str, str] = NO_HEADERS
        self.store = False
        self.events: AsyncGenerator[ResponseEvent, None]

    async def __aenter__(self) -> AsyncGenerator[ResponseEvent, None]:
        return self.events

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.events.aclose()


class Router:
    """Drives providers' `complete` and `stream` over the targets of a plan. `clock` gives seconds."""

    def __init__(
        self,
        planner: Planner,
        memory: Memory,
        notices: Notices,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._planner = planner
        self._memory = memory
        self._notices = notices
        self._clock = clock

    async def _plan(self, request: ResponseRequest) -> Plan:
        try:
            return self._planner.plan(request)
        except CatalogueUnread:
            return await self._planner.plan_patiently(request)

    async def complete(self, request: ResponseRequest, progress: Progress) -> Completed:
        """The whole answer of the first target that gives one.

        Raises `MaestroError`: the client's fault, an unknown name, or `AttemptsExhausted`.
        """
        failures: list[MaestroError] = []
        plan = await self._plan(request)
        for target in plan.candidates:
            attempt, began = self._begin(target, progress)
            try:
                sent = self._aim(request, target)
                completed = _read_reply(await target.provider.complete(sent), target)
                attempt.first_output_after = self._clock() - began
                plan.served_by(target)
                plan.answered(completed.response["output"])
                return self._settled(request, target, completed)
            except FAILURES as error:  # a plugin may raise anything; it fails this attempt alone
                if ends_this_task(error):
                    raise
                attempt.error = self._failed(error, attempt)
                failures.append(attempt.error)
                if is_clients_fault(attempt.error):
                    break
            finally:
                self._finish(request, attempt, began)
        raise exhausted(failures)

    async def stream(self, request: ResponseRequest, progress: Progress) -> ResponseStream:
        """Go as far as the first upstream's acceptance. Raises as `complete` if none accepts."""
        stream = ResponseStream()
        stream.events = self._attempts(request, await self._plan(request), progress, stream)
        try:
            await anext(stream.events)
        except BaseException:
            await stream.events.aclose()
            raise
        return stream

    def remember(
        self, request: ResponseRequest, target: Target, response: Mapping[str, Any], upstream_id: str | None
    ) -> None:
        """Keep who made `response`, and its items. `upstream_id` is None where the house made the id."""
        native = self._keeps(request, target)
        id = response.get("id")
        output = response.get("output")
        if isinstance(id, str) and isinstance(output, list):
            origin = Origin(target.provider_name, upstream_id or id, native)
            self._memory.remember(request.client, id, origin, output)

    async def _attempts(
        self, request: ResponseRequest, plan: Plan, progress: Progress, stream: ResponseStream
    ) -> AsyncGenerator[ResponseEvent, None]:
        """The first `Accepted`, then the events of the one upstream that commits."""
        splice = Splice()
        failures: list[MaestroError] = []
        for target in plan.candidates:
            splice.attempt(target.provider_name)
            attempt, began = self._begin(target, progress)
            try:
                async with aclosing(target.provider.stream(self._aim(request, target))) as upstream:
                    async for event in upstream:
                        if event.type in DELTAS and splice.committed:
                            yield event
                            continue
                        if attempt.accepted_after is None:
                            attempt.accepted_after = self._clock() - began
                            first = stream.target is None
                            stream.target = target
                            if first:
                                if isinstance(event, Accepted):
                                    stream.headers = event.headers
                                stream.store = self._keeps(request, target)
                                yield Accepted(stream.headers)
                        if splice.take(event):
                            if attempt.first_output_after is None:
                                attempt.first_output_after = self._clock() - began
                                plan.served_by(target)
                            yield event
                            if splice.ended:
                                break
                splice.end()
                return
            except FAILURES as error:
                if ends_this_task(error):
                    raise
                attempt.error = self._failed(error, attempt)
                if splice.committed:
                    raise attempt.error from error
                failures.append(attempt.error)
                if is_clients_fault(attempt.error):
                    break
            finally:
                self._finish(request, attempt, began)
        raise exhausted(failures)

    def _settled(self, request: ResponseRequest, target: Target, completed: Completed) -> Completed:
        """The reply with the ids that the client knows, and remembered."""
        self.remember(request, target, completed.response, None)
        previous = request.previous_response_id
        if previous is None or completed.response.get("previous_response_id") == previous:
            return completed
        response = {**completed.response, "previous_response_id": previous}
        return Completed(json.dumps(response), response, completed.headers)

    @staticmethod
    def _keeps(request: ResponseRequest, target: Target) -> bool:
        return target.keeps_responses and request.body.get("store") is not False

    def _begin(self, target: Target, progress: Progress) -> tuple[Attempt, float]:
        attempt = Attempt(len(progress.attempts) + 1, target.provider_name, target.model)
        progress.attempts.append(attempt)
        return attempt, self._clock()

    def _finish(self, request: ResponseRequest, attempt: Attempt, began: float) -> None:
        attempt.duration = self._clock() - began
        self._notices.maestro_attempt_finished(request=request, attempt=attempt)

    def _aim(self, request: ResponseRequest, target: Target) -> ResponseRequest:
        sent, dropped, *_ = aimed(request, target, self._memory)
        if dropped:
            _log.warning(
                "input items dropped: not known to the target", items=dropped[:20], count=len(dropped)
            )
        return sent

    def _failed(self, error: BaseException, attempt: Attempt) -> MaestroError:
        """Log a failed attempt; what is no `MaestroError` is a defect of the plugin, and named so."""
        if isinstance(error, MaestroError):
            _log.warning(
                "attempt failed",
                target=attempt.target,
                attempt=attempt.number,
                error=error.__class__.__name__,
                status=error.status,
                code=error.code,
                reason=error.message[:500],
            )
            return error
        _log.error("provider raised", target=attempt.target, attempt=attempt.number, exc_info=error)
        return UpstreamBroken(
            f"The provider {attempt.provider} failed with {error.__class__.__name__}; the log has details."
        )


def _read_reply(reply: dict[str, Any] | bytes | Reply, target: Target) -> Completed:
    """The answer of `complete` as bytes and parsed. A failed Response is a failure of the attempt."""
    headers = reply.headers if isinstance(reply, Reply) else NO_HEADERS
    if isinstance(reply, dict):
        response: Any = reply
        body = json.dumps(reply)
    else:
        body = reply.body if isinstance(reply, Reply) else reply
        try:
            response, _ = json.loads_faithfully(body)
        except json.JSONInvalid as error:
            raise UpstreamBroken(f"{target.provider_name} answered with something else than JSON.") from error
    if not isinstance(response, dict) or not isinstance(response.get("output"), list):
        if isinstance(response, dict) and response.get("error"):
            raise error_body.stream_failure(response, provider=target.provider_name)
        raise UpstreamBroken(f"{target.provider_name} answered with something else than a Response.")
    if response.get("status") in ("failed", "cancelled"):
        raise error_body.stream_failure(response, provider=target.provider_name)
    return Completed(body, response, headers)
