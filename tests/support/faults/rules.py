"""What must follow from a fault, by its class, its moment and its status."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from tests.support.faults.table import Failure, Fault, Moment
from tests.support.faults.wording import SAID, TEXT, Say

OWN_STATUSES: Final = (400, 404, 409, 413, 415, 422)
"""Statuses that tell a client what to change: where no target said anything else, they are passed on."""

EVENT_CODES: Final = ("context_length_exceeded", "server_is_overloaded", "server_error")
"""Codes that stand in ``response.failed`` as they are, but for those of limits."""

OVERLOADED: Final = (503, 529)


class Position(Enum):
    """Where in the route the fault is."""

    FIRST = "first"
    MIDDLE = "middle"
    ALL = "all"


@dataclass(frozen=True)
class Told:
    """The failure that a client is told of.

    `status` and `code` are those of the HTTP error, `event_code` is that of ``response.failed``. `said` is a
    part of the message. `own` is set where param, type and message are the upstream's.
    """

    status: int
    code: str | None
    event_code: str
    said: str = ""
    own: bool = False
    retry_after: int | None = None


@dataclass(frozen=True)
class Expected:
    """All that can be seen of one request.

    `asked` are the targets in order. `ending` is the Response's status, None for an HTTP error. `accepted`
    is how many attempts were begun when the answer's headers left; `resumed` how many when its first output
    did, if that are more.
    """

    asked: tuple[str, ...]
    ending: str | None
    text: str = ""
    told: Told | None = None
    accepted: int = 0
    resumed: int | None = None


def expected(plan: Sequence[tuple[str, Fault | None]], *, stream: bool) -> Expected:
    """What a request meets whose targets, in order, have these faults (None: nothing is wrong there)."""
    asked: list[str] = []
    failed: list[Fault] = []
    accepted = 0
    for name, fault in plan:
        asked += [name]
        moment = Moment.UNANSWERED if fault is None or not stream else fault.moment
        lost = fault is not None and fault.failure is not None
        if not accepted and (not lost or moment is not Moment.UNANSWERED):
            accepted = len(asked)
        resumed = len(asked) if stream and len(asked) > accepted else None
        if not lost or fault is None:
            return Expected(tuple(asked), "completed", TEXT, None, accepted, resumed)
        if moment is Moment.SPEAKING:
            text = TEXT if Say.REST in fault.recipe else SAID
            return Expected(tuple(asked), "failed", text, told([fault]), accepted, resumed)
        failed.append(fault)
        if fault.failure is Failure.CLIENT:
            break
    if stream and accepted:
        return Expected(tuple(asked), "failed", "", told(failed), accepted)
    return Expected(tuple(asked), None, "", told(failed), len(asked))


def told(failed: Sequence[Fault]) -> Told:
    """The failure that is chosen among those of all targets that were asked, in order."""
    if failed[-1].failure is Failure.CLIENT:
        return _own(failed[-1])
    limited = [each for each in failed if each.failure in (Failure.LIMITED, Failure.QUOTA)]
    if not limited and all(each.refusal.status in OWN_STATUSES for each in failed):
        return _own(failed[0])
    if limited:
        passing = [each for each in limited if each.failure is Failure.LIMITED]
        wait = min((each.refusal.retry_after or 1.0 for each in passing or limited), default=1.0)
        code = "rate_limit_exceeded" if passing else "insufficient_quota"
        return Told(429, code, code, retry_after=int(wait))
    last = failed[-1]
    if last.failure is Failure.CREDENTIALS:
        return Told(502, "upstream_credentials_refused", "server_error", "credentials")
    if last.failure in (Failure.UNREACHABLE, Failure.BROKEN):
        code = last.code or f"upstream_{last.failure.value}"
        return Told(502, code, "server_error")
    refusal = last.refusal
    if refusal.status in OVERLOADED:
        code = refusal.code or "upstream_error"
        return Told(503, code, _of_an_event(code), retry_after=int(refusal.retry_after or 1))
    return Told(502, "upstream_error", "server_error")


def _own(fault: Fault) -> Told:
    refusal = fault.refusal
    code = refusal.code if refusal.code in EVENT_CODES else "invalid_prompt"
    return Told(refusal.status, refusal.code, code, own=True)


def _of_an_event(code: str) -> str:
    return code if code in EVENT_CODES else "server_error"
