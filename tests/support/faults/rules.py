"""What must follow from a fault, by its class, its moment and its status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from maestro_daemon.routing.breaker import BreakerRules
from tests.support.faults.table import Failure, Fault, Moment, Place
from tests.support.faults.wording import SAID, TEXT, Say
from tests.support.raw_upstream import CLOSE, RESET

OWN_STATUSES: Final = (400, 404, 409, 413, 415, 422)
"""Statuses that tell a client what to change: where no target said anything else, they are passed on."""

EVENT_CODES: Final = ("context_length_exceeded", "server_is_overloaded", "server_error")
"""Codes that stand in ``response.failed`` as they are, but for those of limits."""

JITTER: Final = 0.2
"""By how much a cooldown that nobody named may be shorter."""

OVERLOADED: Final = (503, 529)


LONGEST_WAIT: Final = 2.0
"""Seconds that a route of the matrix waits for another try at the same target."""

RETRIED: Final = (500, 502, 503, 504, 529)


class Aside(Enum):
    """Whether, and for how long, a target that failed is not asked."""

    NEVER = "it did what it should"
    COUNTED = "after several failures"
    UNTIL_TOLD = "from now on, until the time that it told"
    AT_ONCE = "from now on, with its provider"
    FOR_LONG = "from now on for long, with its provider"


@dataclass(frozen=True)
class Rule:
    """What follows from a class of failure. `meaning` is in a user's words."""

    meaning: str
    aside: Aside


RULES: Final[Mapping[Failure, Rule]] = {
    Failure.UNREACHABLE: Rule("no connection, or silence for longer than a timeout", Aside.COUNTED),
    Failure.BROKEN: Rule("nonsense, a failure told inside an answer, or an answer cut short", Aside.COUNTED),
    Failure.REFUSED: Rule("a status that tells of the upstream's own trouble", Aside.COUNTED),
    Failure.LIMITED: Rule("too many requests", Aside.COUNTED),
    Failure.QUOTA: Rule("the account is out of credit", Aside.FOR_LONG),
    Failure.CREDENTIALS: Rule("the account's key is refused", Aside.AT_ONCE),
    Failure.LACK: Rule("the target lacks something: the model, a feature, context", Aside.NEVER),
    Failure.CLIENT: Rule("the request is wrong wherever it is sent", Aside.NEVER),
}
"""Everything but the client's fault goes on to the next target while nothing was said."""


def aside(fault: Fault) -> Aside:
    """What the breaker makes of one occurrence of `fault`."""
    if fault.failure is None:
        return Aside.NEVER
    rule = RULES[fault.failure]
    if rule.aside is Aside.COUNTED and fault.refusal.retry_after is not None:
        return Aside.UNTIL_TOLD
    if fault.failure is Failure.CREDENTIALS and fault.refusal.status == 403:
        return Aside.COUNTED  # perhaps of this model alone
    return rule.aside


def is_wide(fault: Fault) -> bool:
    """Whether it says the same of every model of its provider."""
    return fault.place is Place.NO_NAME or aside(fault) in (Aside.AT_ONCE, Aside.FOR_LONG)


def cooldown_of(fault: Fault | None) -> tuple[float, float] | None:
    """The least and the most seconds for which one failure sets a target aside; None for not at all."""
    if fault is None:
        return None
    rules = BreakerRules()
    match aside(fault):
        case Aside.UNTIL_TOLD:
            wait = fault.refusal.retry_after or 0.0
            return wait, wait
        case Aside.AT_ONCE:
            return rules.cooldown * (1 - JITTER), rules.cooldown
        case Aside.FOR_LONG:
            return rules.quota_cooldown, rules.quota_cooldown
    return None


def is_tried_again(fault: Fault) -> bool:
    """Whether the same target is asked once more: where what happened is likely to be over at once."""
    if fault.recipe in ((CLOSE,), (RESET,)):
        return True
    wait = fault.refusal.retry_after or 0.0
    return fault.failure is Failure.REFUSED and fault.refusal.status in RETRIED and wait <= LONGEST_WAIT


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
        asked += [name] * (2 if fault is not None and is_tried_again(fault) else 1)
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
