"""How many retries there may be: a share of the requests, so that trouble is not multiplied."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from maestro_daemon.routing.window import Window


@dataclass(frozen=True, slots=True)
class BudgetRules:
    """Within `window` seconds at most `reserve` retries, and beside them `ratio` of the requests."""

    ratio: float = 0.2
    reserve: int = 10
    window: float = 10.0


class RetryBudget:
    """Counts requests and what is asked beyond the first attempt of each: retries and hedges.

    Fallbacks are not counted: they go elsewhere. `clock` gives seconds. One object for all routes; it
    outlives configurations.
    """

    def __init__(
        self, rules: BudgetRules | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rules = rules or BudgetRules()
        self._clock = clock
        self._window = Window(self._rules.window)

    def follow(self, rules: BudgetRules) -> None:
        """Other rules from now on; a window of another length begins empty."""
        if rules.window != self._rules.window:
            self._window = Window(rules.window)
        self._rules = rules

    def deposit(self) -> None:
        """A request came."""
        self._window.add_first(self._clock())

    def withdraw(self) -> bool:
        """Whether one more retry may be made now; it counts as made."""
        now = self._clock()
        self._window.forward(now)
        if self._window.second >= self._rules.reserve + self._rules.ratio * self._window.first:
            return False
        self._window.add_second(now)
        return True
