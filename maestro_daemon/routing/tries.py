"""One attempt at one target: begun, judged once, told once."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import structlog

from maestro_daemon.errors import DeadlinePassed, MaestroError, ProviderFailed, UpstreamUnreachable
from maestro_daemon.protocol.sealing import Seal
from maestro_daemon.providers.account import account_hash
from maestro_daemon.providers.foreign_code import ends_this_task
from maestro_daemon.providers.notices import Attempt
from maestro_daemon.request import ResponseRequest
from maestro_daemon.routing.aim import aimed
from maestro_daemon.routing.failure_class import Failure, FailureClass, classify, refuses_ciphertext
from maestro_daemon.routing.target import Target
from maestro_daemon.routing.trial import Trial

if TYPE_CHECKING:
    from maestro_daemon.routing.pursuit import Pursuit

_log: Final = structlog.get_logger(__name__)
_LAST_WORDS: Final = 1.0  # seconds in which an answer that told of its failure may end by itself


class Try:
    """One attempt at one target. `attempt` is what is told of it."""

    __slots__ = (
        "_began",
        "_ciphertext",
        "_ended",
        "_seal",
        "_told",
        "attempt",
        "deadline",
        "failure",
        "may_retry",
        "pursuit",
        "raced_since",
        "target",
        "trial",
    )

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
        self._ended = False
        self._told: MaestroError | None = None
        self.deadline = pursuit.deadline
        self.may_retry = True
        self.raced_since = self._began
        self._seal: Seal | None = None
        self.deadline.move(pursuit.until_output(target))

    @contextmanager
    def deadline_of_its_own(self) -> Iterator[None]:
        """For an attempt in a task of its own, which its deadline is to cancel."""
        pursuit = self.pursuit
        pursuit.deadline.move(None)
        self.deadline = pursuit.means.deadlines.watch(pursuit.until_output(self.target))
        try:
            yield
        finally:
            self.deadline.stop()

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
        tracing = pursuit.means.tracing
        if tracing is not None:
            made.request.headers = tracing.attempt_begins(pursuit.request, self.attempt)
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
            if at < self.deadline.at:
                self.deadline.move(at)

    def spoke(self) -> None:
        """From now on only `total` bounds the answer."""
        self.deadline.move(self.pursuit.total(self.target))

    def answered(self) -> None:
        """The first output came, and the answer is this attempt's."""
        pursuit = self.pursuit
        seconds = self._since()
        self.attempt.first_output_after = seconds
        self.trial.answered(seconds)
        if pursuit.pace is not None:
            pursuit.pace.add(pursuit.means.clock() - self.raced_since)
        pursuit.plan.served_by(self.target)
        self.spoke()

    def told(self, error: MaestroError) -> None:
        """The upstream told of its failure in the middle of the answer; it has a moment left to end that."""
        self._told = error
        at = self.pursuit.means.deadlines.now() + _LAST_WORDS
        if at < self.deadline.at:
            self.deadline.move(at)

    def succeeded(self) -> None:
        """The whole answer came; behind a failure that was told it is none."""
        if self._told is not None:
            self.broke(self._told)
            return
        self.attempt.succeeded = True
        self.deadline.move(None)
        self.trial.succeeded()

    def failed(self, error: BaseException) -> MaestroError | None:
        """Judge a failure, and tell the course; None where `error` ends this task and not the attempt."""
        if self.attempt.error is not None:
            return self.attempt.error
        if self.deadline.caused():
            return self._expired()
        if ends_this_task(error):
            return None
        if isinstance(error, MaestroError):
            told = error
        else:
            _log.error(
                "provider raised", target=self.target.name, attempt=self.attempt.number, exc_info=error
            )
            raised = error.__class__.__name__
            told = ProviderFailed(
                f"The provider {self.target.provider_name} failed with {raised}; the log has details.", raised
            )
        return self._judged(told, may_retry=self.may_retry)

    def broke(self, error: MaestroError) -> None:
        """The answer turned out to be a failure although its stream ended, or ran on, as if it were none."""
        if self.failure is None and self.attempt.error is None:
            self.deadline.move(None)
            self.attempt.succeeded = False
            self._note(classify(error))

    def end(self) -> None:
        """The attempt is over, however it went; what said nothing about the target counts neither way."""
        if self._ended:
            return
        self._ended = True
        self.trial.left()
        pursuit = self.pursuit
        self.deadline.move(None)
        attempt = self.attempt
        attempt.duration = self._since()
        self._tell()
        pursuit.means.notices.maestro_attempt_finished(request=pursuit.request, attempt=attempt)

    def _since(self) -> float:
        return self.pursuit.means.clock() - self._began

    def _judged(self, error: MaestroError, *, may_retry: bool) -> MaestroError:
        failure = classify(error)
        course = self.pursuit.course
        may_retry = may_retry and self.attempt.first_output_after is None
        if self._ciphertext and refuses_ciphertext(error) and may_retry:
            course.without_ciphertext.append(self.target)
            course.ask_again(self.target)
        left = math.inf if may_retry else 0.0
        until = self.pursuit.until_output(self.target)
        if until is not None and may_retry:
            left = until - self.pursuit.means.deadlines.now()
        course.failed(self.target, self.trial, failure, left=left)
        self._note(failure)
        self.attempt.wait = course.wait
        return error

    def _note(self, failure: Failure) -> None:
        self.failure = failure
        self.trial.failed(failure)  # but for what the course told it already
        self.attempt.error = failure.error
        self.attempt.failure = failure.kind.value

    def _expired(self) -> MaestroError:
        """Which of the deadlines it was. Only that of the first output lets another target be asked."""
        if self._told is not None:
            return self._judged(self._told, may_retry=False)
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
        """The attempt's line in the log; of a first one that went well the line of the answer says all."""
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
