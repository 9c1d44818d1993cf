"""One request on its way through its targets: attempts begun, judged once, and told."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

import structlog

from maestro_daemon.errors import (
    DeadlinePassed,
    MaestroError,
    UpstreamBroken,
    UpstreamUnreachable,
)
from maestro_daemon.protocol.sealing import Seal
from maestro_daemon.providers.account import account_hash
from maestro_daemon.providers.foreign_code import ends_this_task
from maestro_daemon.providers.notices import Attempt
from maestro_daemon.request import ResponseRequest
from maestro_daemon.routing.aim import aimed
from maestro_daemon.routing.budget import RetryBudget
from maestro_daemon.routing.course import Course
from maestro_daemon.routing.deadlines import Deadline, Deadlines
from maestro_daemon.routing.failure_class import Failure, FailureClass, classify, refuses_ciphertext
from maestro_daemon.routing.failures import exhausted
from maestro_daemon.routing.health import Health, Trial
from maestro_daemon.routing.memory import Memory
from maestro_daemon.routing.plan import Plan, Target
from maestro_daemon.routing.terms import Patience

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


class Pursuit:
    """One request, its course, and its deadline. Close it at the end."""

    __slots__ = ("began", "course", "deadline", "means", "plan", "progress", "request")

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

    def next(self) -> Try | None:
        """The next attempt, begun; None when the request has been through all of its course."""
        step = self.course.step()
        return None if step is None else Try(self, *step)

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


class Try:
    """One attempt at one target. `attempt` is what is told of it."""

    __slots__ = ("_began", "_ciphertext", "_seal", "attempt", "failure", "pursuit", "target", "trial")

    def __init__(self, pursuit: Pursuit, target: Target, trial: Trial) -> None:
        attempts = pursuit.progress.attempts
        self.pursuit = pursuit
        self.target = target
        self.trial = trial
        self.attempt = Attempt(len(attempts) + 1, target.provider_name, target.model)
        self.failure: Failure | None = None
        attempts.append(self.attempt)
        self._began = pursuit.means.clock()
        self._ciphertext = False
        self._seal: Seal | None = None
        pursuit.deadline.move(pursuit.until_output(target))

    def aimed(self) -> ResponseRequest:
        """The request as the target is to get it."""
        pursuit = self.pursuit
        ciphertext = self.target not in pursuit.course.without_ciphertext
        made = aimed(pursuit.request, self.target, pursuit.means.memory, ciphertext=ciphertext)
        self._ciphertext = made.ciphertext
        if made.dropped:
            _log.warning(
                "input items dropped: not known to the target",
                target=self.target.name,
                items=made.dropped[:20],
                count=len(made.dropped),
            )
        if made.degraded:
            self.attempt.degraded = made.degraded
            _log.warning("answer degraded", target=self.target.name, degraded=made.degraded)
        timeouts = pursuit.plan.route.terms.timeouts
        if timeouts is not None:
            made.request.timeouts = timeouts
        return made.request

    @property
    def seal(self) -> Seal:
        """What marks the ciphertext of the answer with the target's account."""
        if self._seal is None:
            self._seal = Seal(account_hash(self.target.provider, self.target.provider_name))
        return self._seal

    def accepted(self) -> None:
        """The upstream accepted: its first output is waited for."""
        self.attempt.accepted_after = self._since()
        pursuit = self.pursuit
        seconds = pursuit.first_output(self.target)
        if seconds is not None:
            at = pursuit.means.deadlines.now() + seconds
            if at < pursuit.deadline.at:
                pursuit.deadline.move(at)

    def answered(self) -> None:
        """The first output came. From now on only `total` bounds the answer."""
        pursuit = self.pursuit
        seconds = self._since()
        self.attempt.first_output_after = seconds
        self.trial.answered(seconds)
        pursuit.plan.served_by(self.target)
        pursuit.deadline.move(pursuit.total(self.target))

    def succeeded(self) -> None:
        """The whole answer came."""
        self.pursuit.deadline.move(None)
        self.trial.succeeded()

    def failed(self, error: BaseException, *, may_retry: bool = True) -> MaestroError | None:
        """Judge a failure, and tell the course; None where `error` ends this task and not the attempt."""
        pursuit = self.pursuit
        if pursuit.deadline.caused():
            return self._expired()
        if ends_this_task(error):
            return None
        if isinstance(error, MaestroError):
            told = error
        else:
            _log.error(
                "provider raised", target=self.target.name, attempt=self.attempt.number, exc_info=error
            )
            told = UpstreamBroken(
                f"The provider {self.target.provider_name} failed with {error.__class__.__name__}; "
                "the log has details."
            )
        return self._judged(told, may_retry=may_retry)

    def broke(self, error: MaestroError) -> None:
        """The answer turned out to be a failure although its stream ended, or ran on, as if it were none."""
        if self.failure is None and self.attempt.error is None:
            self.pursuit.deadline.move(None)
            self._note(classify(error))

    def end(self) -> None:
        """The attempt is over, however it went; what said nothing about the target counts neither way."""
        self.trial.left()
        pursuit = self.pursuit
        pursuit.deadline.move(None)
        attempt = self.attempt
        attempt.duration = self._since()
        self._tell()
        pursuit.means.notices.maestro_attempt_finished(request=pursuit.request, attempt=attempt)

    def _since(self) -> float:
        return self.pursuit.means.clock() - self._began

    def _judged(self, error: MaestroError, *, may_retry: bool) -> MaestroError:
        failure = classify(error)
        self._note(failure)
        course = self.pursuit.course
        if self._ciphertext and refuses_ciphertext(error) and may_retry:
            course.without_ciphertext.append(self.target)
            course.ask_again(self.target)
        left = math.inf
        until = self.pursuit.until_output(self.target)
        if until is not None:
            left = until - self.pursuit.means.deadlines.now()
        course.failed(self.target, failure, left=left if may_retry else 0.0)
        self.attempt.wait = course.wait
        return error

    def _note(self, failure: Failure) -> None:
        self.failure = failure
        self.trial.failed(failure)
        self.attempt.error = failure.error
        self.attempt.failure = failure.kind.value

    def _expired(self) -> MaestroError:
        """Which of the deadlines it was. Only that of the first output lets another target be asked."""
        pursuit = self.pursuit
        now = pursuit.means.deadlines.now() + 0.01
        total = pursuit.total(self.target)
        provider = self.target.provider_name
        client = pursuit.request.deadline
        if total is not None and now >= total:
            error = DeadlinePassed(f"{provider} did not end its answer within the time that it may take.")
            if self.attempt.first_output_after is None:
                self._note(Failure(FailureClass.UNREACHABLE, error))
        elif client is not None and self.attempt.first_output_after is None and now >= pursuit.began + client:
            error = DeadlinePassed(f"{provider} did not answer in the {client:g} s that the client waits.")
        else:
            seconds = pursuit.first_output(self.target)
            said = f"{provider} accepted, but said nothing for {seconds:g} s."
            return self._judged(UpstreamUnreachable(said), may_retry=False)
        self.attempt.error = error
        pursuit.course.give_up(Failure(FailureClass.UNREACHABLE, error))
        return error

    def _tell(self) -> None:
        """The attempt's line in the log: told loudly only where something is the matter."""
        attempt, trial = self.attempt, self.trial
        error = attempt.error
        if error is not None:
            _log.warning(
                "attempt failed",
                target=attempt.target,
                attempt=attempt.number,
                failure=attempt.failure,
                error=error.__class__.__name__,
                status=error.status,
                code=error.code,
                reason=error.message[:500],
                wait=round(attempt.wait, 3) or None,
                breaker=trial.change,
            )
        elif trial.change is not None or attempt.number > 1:
            _log.info("attempt", target=attempt.target, attempt=attempt.number, breaker=trial.change)
        else:
            _log.debug("attempt", target=attempt.target, attempt=attempt.number)
