"""The health of targets, with an eye on how many probes are under way at once."""

from __future__ import annotations

from collections import Counter
from typing import Any

from maestro_daemon.routing.breaker import BreakerRules
from maestro_daemon.routing.health import Health, Named
from maestro_daemon.routing.trial import Trial


class WatchedHealth(Health):
    """Health that counts the probes under way at each target; `crowded` are targets that had two at once.

    A provider that is made anew is another one: probes of the one before say nothing about it.
    """

    def __init__(self, rules: BreakerRules) -> None:
        super().__init__(rules)
        self.probes: Counter[tuple[str, int]] = Counter()
        self.probed = 0
        self.crowded: set[str] = set()
        self._healed: Counter[str] = Counter()

    def begin(self, target: Named, *, early: bool = False) -> Trial | None:
        trial = super().begin(target, early=early)
        if trial is None or not trial.is_probe:
            return trial
        self.probed += 1
        place = (target.name, self._healed[target.provider_name])
        self.probes[place] += 1
        if self.probes[place] > 1:
            self.crowded.add(target.name)
        return _WatchedProbe(trial, self.probes, place)  # type: ignore[return-value]

    def heal(self, provider: str) -> None:
        super().heal(provider)
        self._healed[provider] += 1


class _WatchedProbe:
    """A probe until its target has answered or failed."""

    def __init__(self, trial: Trial, probes: Counter[tuple[str, int]], place: tuple[str, int]) -> None:
        self._trial = trial
        self._probes = probes
        self._place = place
        self._over = False

    def __getattr__(self, name: str) -> Any:
        if name in ("answered", "succeeded", "failed", "left") and not self._over:
            self._over = True
            self._probes[self._place] -= 1
        return getattr(self._trial, name)
