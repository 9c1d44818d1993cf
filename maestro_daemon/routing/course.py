"""Which target one request asks next: its plan, what failed so far, and the health of targets decide."""

from __future__ import annotations

import math
import random as randomness
from collections.abc import Callable, Sequence
from typing import Final

from maestro_daemon.routing.breaker import MAY_BE_GONE
from maestro_daemon.routing.budget import RetryBudget
from maestro_daemon.routing.failure_class import Failure, FailureClass
from maestro_daemon.routing.health import Cooling, Health
from maestro_daemon.routing.target import Target
from maestro_daemon.routing.trial import Trial

_BACKOFF: Final = 0.1
"""Seconds before a retry, on average."""


class Course:
    """The way of one request through its targets.

    `candidates` are asked in order. One whose failure is passing is asked once more, after `wait` seconds,
    if that is no longer than `max_wait` and the budget has a retry left. Where nobody else is left and all
    that cools down (`cooling` among them) may be back at any moment, those are probed too, the one nearest
    its end first. `random` gives numbers from 0 up to 1.
    """

    __slots__ = (
        "_again",
        "_asked_again",
        "_budget",
        "_cooling",
        "_health",
        "_max_wait",
        "_next",
        "_probed",
        "_random",
        "_targets",
        "failures",
        "is_over",
        "wait",
        "without_ciphertext",
    )

    def __init__(
        self,
        candidates: Sequence[Target],
        cooling: Sequence[Target],
        health: Health,
        budget: RetryBudget,
        max_wait: float,
        *,
        random: Callable[[], float] = randomness.random,
    ) -> None:
        self._targets = candidates
        self._cooling: list[Target] = list(cooling)
        self._health = health
        self._budget = budget
        self._max_wait = max_wait
        self._random = random
        self._next = 0
        self._again: Target | None = None
        self._asked_again: list[Target] | None = None
        self._probed: list[Target] | None = None
        self.failures: list[Failure] = []
        self.wait = 0.0
        """Seconds to wait before the next step."""
        self.without_ciphertext: list[Target] = []
        """Targets that have refused the ciphertext of the request's history: they get none again."""
        self.is_over = False
        """Whether the request has its answer: nobody else is asked."""

    def step(self) -> tuple[Target, Trial] | None:
        """The next attempt, begun; None when nobody is left to ask."""
        if self.is_over:
            return None
        self.wait = 0.0
        again, self._again = self._again, None
        if again is not None:
            trial = self._health.begin(again)
            if trial is not None:
                return again, trial
        while self._next < len(self._targets):
            target = self._targets[self._next]
            self._next += 1
            trial = self._health.begin(target)
            if trial is not None:
                return target, trial
            self._cooling.append(target)
        return self._early() if self._cooling else None

    def beside(self, among: Sequence[Target]) -> tuple[Target, Trial] | None:
        """A second attempt at the next candidate, if it is one of `among` and the budget allows it; begun."""
        while self._next < len(self._targets) and self._targets[self._next] in among:
            target = self._targets[self._next]
            if not self._health.available(target):
                self._next += 1
                self._cooling.append(target)
                continue
            trial = self._health.begin(target) if self._budget.withdraw() else None
            if trial is None:
                return None
            self._next += 1
            return target, trial
        return None

    def failed(self, target: Target, trial: Trial, failure: Failure, *, left: float = math.inf) -> None:
        """The attempt at `target` failed, as its `trial` is told.

        `left` are the seconds within which a retry would have to begin.
        """
        self.failures.append(failure)
        if failure.kind is FailureClass.CLIENT:
            self.is_over = True
        wait = self._wait_for_retry(target, trial, failure, left) if failure.passing else None
        if wait is None:
            trial.failed(failure)
            return
        # What the upstream asks for is heeded by the wait, and is no reason to send others away.
        trial.failed(failure._replace(retry_after=None))
        if self._health.available(target):
            self._asked_again = [*(self._asked_again or ()), target]
            self._again = target
            self.wait = wait

    def ask_again(self, target: Target) -> None:
        """The next step is the same target once more, at once: it gets something else."""
        self._again = target

    def give_up(self, failure: Failure) -> None:
        """There is no time left for anybody else."""
        self.failures.append(failure)
        self.is_over = True

    def cooling(self) -> list[Cooling]:
        """Why the targets that were not asked are not."""
        found = (self._health.cooling(each) for each in self._cooling if each not in (self._probed or ()))
        return [each for each in found if each is not None]

    def _wait_for_retry(self, target: Target, trial: Trial, failure: Failure, left: float) -> float | None:
        """How long to wait before the same target is asked once more; None if it is not to be."""
        if trial.is_probe or target in (self._asked_again or ()):
            return None
        wait = max(_BACKOFF * (0.5 + self._random()), failure.retry_after or 0.0)
        if wait > self._max_wait or wait >= left or not self._budget.withdraw():
            return None
        return wait

    def _early(self) -> tuple[Target, Trial] | None:
        """Nobody else is left: whoever may be back is looked at before its time."""
        states = [(each, self._health.cooling(each)) for each in self._cooling]
        left = [(each, state) for each, state in states if each not in (self._probed or ())]
        if any(state is not None and state.failure.kind not in MAY_BE_GONE for _, state in left):
            return None
        for target, _ in sorted(left, key=lambda pair: 0.0 if pair[1] is None else pair[1].seconds):
            trial = self._health.begin(target, early=True)
            if trial is not None:
                self._probed = [*(self._probed or ()), target]
                return target, trial
        return None
