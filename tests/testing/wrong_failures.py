"""Providers with one fault each in how they tell of failures, and the check that has to find it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from maestro_daemon.plugin import (
    Accepted,
    ResponseEvent,
    ResponseRequest,
    UpstreamRefused,
    UpstreamUnreachable,
)
from maestro_daemon.testing import Answers, Babbles, Breaks, Ends, Fails, Refuses, Scenario
from tests.testing.right import Right, World
from tests.testing.wrong import wrong

REFUSED = "test_a_refusal_is_told_with_its_status"
FAILED = "test_a_failure_is_told_by_its_class"
SILENT = "test_silence_is_told_as_unreachable"


@wrong(f"{REFUSED}[429]", "HTTP 429 to be UpstreamRefused", "errors")
class TakesLimitsForAbsence(Right):
    def refused(self, refusal: Refuses) -> Exception:
        return UpstreamUnreachable("Later.") if refusal.status == 429 else super().refused(refusal)


@wrong(f"{REFUSED}[500]", "RuntimeError", "errors")
class RaisesItsOwnErrors(Right):
    def refused(self, refusal: Refuses) -> Exception:
        if refusal.status == 500 and "went wrong" in refusal.message:
            return RuntimeError("HTTP 500")
        return super().refused(refusal)


@wrong(f"{REFUSED}[401]", "HTTP 401 to be CredentialsRefused", "errors")
class KnowsNoCredentials(Right):
    def refused(self, refusal: Refuses) -> Exception:
        error = super().refused(refusal)
        if refusal.status == 401 and isinstance(error, UpstreamRefused):
            return UpstreamRefused(error.message, status=401)
        return error


@wrong(f"{REFUSED}[404]", "the status of HTTP 404", "errors")
class MakesItA400(Right):
    def refused(self, refusal: Refuses) -> Exception:
        return super().refused(replace(refusal, status=400 if refusal.status == 404 else refusal.status))


@wrong(f"{REFUSED}[503]", "retry_after of HTTP 503, in seconds", "errors")
class CountsInMilliseconds(Right):
    def refused(self, refusal: Refuses) -> Exception:
        wait = 3000 if refusal.retry_after == 3 else refusal.retry_after
        return super().refused(replace(refusal, retry_after=wait))


@wrong(f"{REFUSED}[400]", "the code of HTTP 400", "errors")
class LosesCodes(Right):
    def refused(self, refusal: Refuses) -> Exception:
        return super().refused(replace(refusal, code=None if refusal.status == 400 else refusal.code))


@wrong(f"{REFUSED}[403]", "the upstream's own words", "errors")
class SaysItInItsOwnWords(Right):
    def refused(self, refusal: Refuses) -> Exception:
        return super().refused(replace(refusal, message="No.") if refusal.status == 403 else refusal)


@wrong(f"{REFUSED}[404]", "nothing is yielded before the upstream accepts", "errors")
class AcceptsTooEarly(Right):
    async def stream(self, request: ResponseRequest) -> AsyncGenerator[ResponseEvent, None]:
        try:
            async with aclosing(super().stream(request)) as events:
                async for event in events:
                    yield event
        except UpstreamRefused as error:
            if error.status == 404:
                yield Accepted()
            raise


@wrong("test_nobody_there_is_told_as_unreachable", "ConnectionRefusedError", "errors")
class RaisesWhatTheSocketRaises(Right):
    def unreachable(self, why: str) -> Exception:
        return ConnectionRefusedError(why) if why == "nobody listens" else super().unreachable(why)


@wrong(f"{SILENT}[in-the-middle]", "TimeoutError", "errors", also=(f"{SILENT}[before-an-answer]",))
class RaisesTimeouts(Right):
    def silent(self) -> Exception:
        return TimeoutError("silent")


@wrong(f"{SILENT}[in-the-middle]", "nothing happened for", "streams", also=(f"{SILENT}[before-an-answer]",))
class HasNoTimeouts(Right):
    async def silence(self) -> None:
        await self.closed.wait()
        raise self.silent()


def _taken_for(mistaken: type[Any], error: Callable[[], Exception]) -> type[Right]:
    """A provider that raises `error` for one kind of failure."""

    class Mistaken(Right):
        def broken(self, scenario: Scenario) -> Exception:
            return error() if isinstance(scenario, mistaken) else super().broken(scenario)

    return Mistaken


@wrong(f"{FAILED}[cut-in-the-middle]", "ConnectionResetError", "errors")
class LetsResetsThrough(_taken_for(Breaks, ConnectionResetError)):  # type: ignore[misc]
    pass


@wrong(f"{FAILED}[a-page]", "ValueError", "errors", also=(f"{FAILED}[nonsense]",))
class LetsParsersFail(_taken_for(Babbles, ValueError)):  # type: ignore[misc]
    pass


@wrong(f"{FAILED}[cut-before-an-answer]", "OSError", "errors")
class LetsHangingUpThrough(Right):
    def unreachable(self, why: str) -> Exception:
        return OSError(why) if why == "it hung up" else super().unreachable(why)


@wrong(f"{FAILED}[ends-too-early]", "made an answer of it", "errors")
class TakesAnyEndForTheEnd(Right):
    def begun(self, pieces: Sequence[str]) -> Iterator[ResponseEvent]:
        self.pieces = tuple(pieces)
        return super().begun(pieces)

    async def stream(self, request: ResponseRequest) -> AsyncGenerator[ResponseEvent, None]:
        try:
            async with aclosing(super().stream(request)) as events:
                async for event in events:
                    yield event
        except EndedEarly:
            yield list(self.events(Answers(self.pieces)))[-1]

    def broken(self, scenario: Scenario) -> Exception:
        return EndedEarly() if isinstance(scenario, Ends) else super().broken(scenario)


class EndedEarly(Exception):
    """A body ended in good order."""


@wrong(f"{FAILED}[error-in-the-stream]", "made an answer of it", "errors")
class OverhearsErrors(TakesAnyEndForTheEnd):
    def broken(self, scenario: Scenario) -> Exception:
        return EndedEarly() if isinstance(scenario, Fails) else Right.broken(self, scenario)


@wrong(f"{FAILED}[cut-in-the-middle]", "what came before a failure is told", "errors")
class HoldsTextBack(Right):
    def begun(self, pieces: Sequence[str]) -> Iterator[ResponseEvent]:
        return iter(()) if isinstance(World.now.scenarios[0], Breaks) else super().begun(pieces)
