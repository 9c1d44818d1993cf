"""One request on its way through its targets: its course, its deadlines, and what it went through."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

import structlog

from maestro_daemon.errors import (
    DeadlinePassed,
    MaestroError,
)
from maestro_daemon.providers.notices import Attempt
from maestro_daemon.request import ResponseRequest
from maestro_daemon.routing.budget import RetryBudget
from maestro_daemon.routing.course import Course
from maestro_daemon.routing.deadlines import Deadline, Deadlines
from maestro_daemon.routing.failures import exhausted
from maestro_daemon.routing.health import Health
from maestro_daemon.routing.memory import Memory
from maestro_daemon.routing.plan import Plan, Target
from maestro_daemon.routing.terms import Patience
from maestro_daemon.routing.tracing import Tracing
from maestro_daemon.routing.tries import Try

_log: Final = structlog.get_logger(__name__)
_NO_PATIENCE: Final = Patience()


class Notices(Protocol):
    """Where finished attempts are told."""

    def maestro_attempt_finished(self, *, request: ResponseRequest, attempt: Attempt) -> None:
        """One attempt ended; must not raise."""
        ...


@dataclass(slots=True)
class Progress:
    """What a request has gone through so far; its owner may read it at any time, also after a failure.

    `served` is the attempt whose answer the client gets, where that is not the latest.
    """

    attempts: list[Attempt] = field(default_factory=list)
    served: Attempt | None = None

    @property
    def latest(self) -> Attempt | None:
        """The attempt that answers, or the latest so far; None before the first."""
        if self.served is not None:
            return self.served
        return self.attempts[-1] if self.attempts else None

    @property
    def target(self) -> str:
        """``provider/model`` of `latest`, "" before the first."""
        latest = self.latest
        return "" if latest is None else latest.target

    @property
    def degraded(self) -> str:
        """What the answer of `latest` does without, "" for nothing."""
        latest = self.latest
        return "" if latest is None else latest.degraded


@dataclass(frozen=True, slots=True)
class Means:
    """What all requests share. `patience` is that of each provider by its name; `clock` gives seconds."""

    memory: Memory
    notices: Notices
    health: Health
    budget: RetryBudget
    deadlines: Deadlines
    patience: Mapping[str, Patience]
    clock: Callable[[], float]
    tracing: Tracing | None = None


class Pursuit:
    """One request, its course, and its deadline. Close it at the end."""

    __slots__ = ("began", "course", "deadline", "means", "pace", "plan", "progress", "request")

    def __init__(
        self, means: Means, request: ResponseRequest, plan: Plan, progress: Progress, deadline: Deadline
    ) -> None:
        self.means = means
        self.request = request
        self.plan = plan
        self.progress = progress
        self.deadline = deadline
        self.course = Course(
            plan.candidates, plan.cooling, means.health, means.budget, plan.route.terms.max_wait
        )
        self.began = means.deadlines.now()
        means.budget.deposit()
        route = plan.route
        self.pace = means.health.pace(route.name, stream=request.stream) if route.terms.hedge else None

    def next(self) -> Try | None:
        """The next attempt, begun; None when the request has been through all of its course."""
        step = self.course.step()
        return None if step is None else Try(self, *step)

    def hedge(self, first: Try) -> Try | None:
        """A second attempt beside `first`, begun; None where none is left, or the budget is spent.

        From now on neither is made again at the same target.
        """
        step = self.course.beside(self.plan.route.targets)
        if step is None:
            return None
        second = Try(self, *step)
        first.may_retry = second.may_retry = False
        second.raced_since = first.raced_since
        return second

    def won(self, attempt: Try) -> None:
        """Of several attempts this one answers."""
        self.progress.served = attempt.attempt
        self.plan.served_by(attempt.target)

    def exhausted(self) -> MaestroError:
        """The error for a request that nobody answered."""
        failures = self.course.failures
        if failures and isinstance(failures[-1].error, DeadlinePassed):
            return failures[-1].error
        return exhausted(failures, self.course.cooling())

    def close(self) -> None:
        """The deadline is over."""
        self.deadline.stop()

    def total(self, target: Target) -> float | None:
        """When everything must have ended, in the loop's seconds; None for never."""
        total = self.plan.route.terms.total
        if total is None:
            total = self.means.patience.get(target.provider_name, _NO_PATIENCE).total
        return None if total is None else self.began + total

    def until_output(self, target: Target) -> float | None:
        """As `total`, and not later than the client's own deadline."""
        total = self.total(target)
        if self.request.deadline is None:
            return total
        patience = self.began + self.request.deadline
        return patience if total is None else min(patience, total)

    def first_output(self, target: Target) -> float | None:
        """How long `target` may take from its acceptance to the first output; seconds, None for ever."""
        seconds = self.plan.route.terms.first_output
        if seconds is None:
            return self.means.patience.get(target.provider_name, _NO_PATIENCE).first_output
        return seconds
