"""A circuit breaker: whether something may be asked, told from how it did. Pure: time is handed in.

::

    closed ──failures in a row, or their share, or a Retry-After──> open (until a time)
      ^                                                              │ the time comes
      │                                                              v
      ├──the probe's first output──────────────────────────────  half_open ──> one probe at a time
      │                                                              │
      │                                       the probe failed: open again, for longer
      on trial: the next failure opens it, a whole answer ends the trial

An attempt that began under an earlier state says nothing about the present one: each carries the epoch in
which it began, and whenever the breaker opens or closes a new one begins.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from maestro_daemon.routing.failure_class import Failure, FailureClass
from maestro_daemon.routing.window import Window

State = Literal["closed", "open", "half_open"]

MAY_BE_GONE: Final = (FailureClass.UNREACHABLE, FailureClass.BROKEN)
"""Causes that end unannounced: a server that was restarted answers at once."""


@dataclass(frozen=True, slots=True)
class BreakerRules:
    """When breakers open and for how long; times in seconds, `ratio` a share from 0 to 1.

    `failures` in a row open, or a share of `ratio` of at least `least` attempts within `window`. The first
    cooldown is `cooldown`, each further one twice the last up to `longest_cooldown`. An account without
    credit cools down for `quota_cooldown`; what an upstream asks for counts up to `longest_retry_after`.
    """

    failures: int = 3
    ratio: float = 0.5
    least: int = 10
    window: float = 60.0
    cooldown: float = 30.0
    longest_cooldown: float = 300.0
    quota_cooldown: float = 1800.0
    longest_retry_after: float = 86400.0


class Breaker:
    """One breaker. `random` gives numbers from 0 up to 1, for the jitter."""

    __slots__ = (
        "_level",
        "_probing",
        "_random",
        "_rules",
        "_run",
        "_window",
        "cause",
        "epoch",
        "is_open",
        "until",
    )

    def __init__(self, rules: BreakerRules, random: Callable[[], float]) -> None:
        self._rules = rules
        self._random = random
        self._window = Window(rules.window)
        self._run = 0  # failures in a row
        self._level = 0  # how often it opened without a whole answer between
        self._probing = False
        self.is_open = False
        self.until = 0.0
        self.epoch = 0
        self.cause: Failure | None = None
        """Why it opened last; None until then, and again after a whole answer."""

    @property
    def is_troubled(self) -> bool:
        """Whether a success would change more than the share of failures."""
        return self._run > 0 or self._level > 0 or self.is_open

    def state(self, now: float) -> State:
        """What it is at `now`."""
        if not self.is_open:
            return "closed"
        return "half_open" if self._probing or now >= self.until else "open"

    def admits(self, now: float) -> bool:
        """Whether an attempt may begin: closed, or half open with its probe free."""
        return not self.is_open or (now >= self.until and not self._probing)

    def admits_early(self) -> bool:
        """As `admits`, but before the cooldown's end where its cause may be gone at any moment."""
        if not self.is_open:
            return True
        return not self._probing and self.cause is not None and self.cause.kind in MAY_BE_GONE

    def cooldown_left(self, now: float) -> float:
        """Seconds until the next probe may begin; 0 when closed or half open."""
        return max(0.0, self.until - now) if self.is_open else 0.0

    def follow(self, rules: BreakerRules) -> None:
        """Other rules from now on; a window of another length begins empty."""
        if rules.window != self._rules.window:
            self._window = Window(rules.window)
        self._rules = rules

    def forgive(self) -> None:
        """Nothing that happened counts any more."""
        self._close()
        self._level = 0
        self.cause = None

    def begin(self) -> bool:
        """An admitted attempt begins; True if it is the probe."""
        if self.is_open:
            self._probing = True
            return True
        return False

    def leave(self, epoch: int, *, probe: bool) -> None:
        """An attempt ended that says nothing; a probe is free again."""
        if probe and epoch == self.epoch:
            self._probing = False

    def answer(self, epoch: int) -> int:
        """The probe's first output came: others may follow, and the next failure opens again.

        Returns the epoch in which the attempt goes on.
        """
        if epoch != self.epoch:
            return epoch
        self._close()
        self._run = self._rules.failures - 1
        return self.epoch

    def succeed(self, now: float, epoch: int, *, probe: bool) -> None:
        """An attempt ended as it should."""
        if epoch != self.epoch:
            return
        if probe:
            self._close()
        self._window.add_first(now)
        self._run = 0
        if self._level:
            self._level = 0
            self.cause = None

    def fail(self, now: float, epoch: int, failure: Failure, *, probe: bool) -> bool:
        """An attempt failed; True if the breaker opened (again), or is to stay open for longer."""
        told = self._told(failure)
        if epoch != self.epoch:
            # It began under another state; only what the upstream asks for still counts.
            if self.is_open and told is not None and now + told > self.until:
                self.until = now + told
                self.cause = failure
                return True
            return False
        self._window.add_second(now)
        self._run += 1
        if not (probe or told is not None or self._has_failed_enough()):
            return False
        seconds = self._growing() if told is None else told
        self._open(now + seconds, failure)
        return True

    def _told(self, failure: Failure) -> float | None:
        """The cooldown that the failure itself asks for."""
        if failure.retry_after:
            return min(failure.retry_after, self._rules.longest_retry_after)
        if failure.kind is FailureClass.QUOTA:
            return self._rules.quota_cooldown
        if failure.kind is FailureClass.CREDENTIALS and failure.wide:
            return self._growing()
        return None

    def _has_failed_enough(self) -> bool:
        rules = self._rules
        if self._run >= rules.failures:
            return True
        total = self._window.first + self._window.second
        return total >= rules.least and self._window.second >= rules.ratio * total

    def _growing(self) -> float:
        grown = self._rules.cooldown * 2.0 ** min(self._level, 32)
        return min(grown, self._rules.longest_cooldown) * (0.8 + 0.2 * self._random())

    def _open(self, until: float, failure: Failure) -> None:
        self.is_open = True
        self._probing = False
        self.until = until
        self.cause = failure
        self.epoch += 1
        self._level += 1
        self._run = 0
        self._window.clear()

    def _close(self) -> None:
        self.is_open = False
        self._probing = False
        self.epoch += 1
        self._run = 0
        self._window.clear()
