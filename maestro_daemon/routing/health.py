"""How targets do: what may be asked, what is under way, and what to tell of it.

Each target, a (provider, model), has a breaker of its own; causes that concern a whole provider (credentials,
an empty account, a name that cannot be resolved) are counted once for all its models. Pure: clock and random
are handed in. One object for the whole life of the daemon; it outlives configurations.
"""

from __future__ import annotations

import random as randomness
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final, Protocol

from maestro_daemon.routing.breaker import Breaker, BreakerRules
from maestro_daemon.routing.failure_class import Failure
from maestro_daemon.routing.pace import Pace
from maestro_daemon.routing.trial import Trial
from maestro_daemon.routing.vitals import Vitals

_TARGETS: Final = 1024
_PROVIDERS: Final = 256
_ROUTES: Final = 512


class Named(Protocol):
    """What is needed of a target."""

    @property
    def name(self) -> str:
        """``provider/model``."""
        ...

    @property
    def provider_name(self) -> str:
        """The provider's name."""
        ...


class Cooling:
    """Why a target is not asked: `failure` opened its breaker, `seconds` are left (0: it is being probed)."""

    __slots__ = ("failure", "seconds", "target")

    def __init__(self, target: str, failure: Failure, seconds: float) -> None:
        self.target = target
        self.failure = failure
        self.seconds = seconds


class Health:
    """Every target that was asked lately. `clock` gives seconds, `random` numbers from 0 up to 1."""

    def __init__(
        self,
        rules: BreakerRules | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = randomness.random,
        targets: int = _TARGETS,
    ) -> None:
        self.clock = clock
        self._random = random
        self._most = targets
        self._records: OrderedDict[str, Vitals] = OrderedDict()
        self._providers: OrderedDict[str, Breaker] = OrderedDict()
        self._paces: OrderedDict[tuple[str, bool], Pace] = OrderedDict()
        self._follow(rules or BreakerRules())

    def follow(self, rules: BreakerRules) -> None:
        """New rules, for the breakers of a new configuration; what is known stays."""
        self._follow(rules)
        for record in self._records.values():
            record.breaker.follow(self._rules)
        for wide in self._providers.values():
            wide.follow(self._wide_rules)

    def _follow(self, rules: BreakerRules) -> None:
        self._rules = rules
        # Of a provider only failures are told reliably: their share means nothing.
        self._wide_rules = replace(rules, ratio=float("inf"))

    def available(self, target: Named) -> bool:
        """Whether an attempt may begin there: closed, or half open with its probe free."""
        record = self._records.get(target.name)
        if record is None:
            wide = self._providers.get(target.provider_name)
            return wide is None or not wide.is_open or wide.admits(self.clock())
        own, wide = record.breaker, record.wide
        if not own.is_open and not wide.is_open:
            return True
        now = self.clock()
        return own.admits(now) and wide.admits(now)

    def in_flight(self, target: Named) -> int:
        """How many attempts are under way there."""
        record = self._records.get(target.name)
        return 0 if record is None else record.in_flight

    def begin(self, target: Named, *, early: bool = False) -> Trial | None:
        """An attempt begins; None if it may not. `early` lets it probe before the cooldown's end.

        Early is possible only where the cause may be gone (see `MAY_BE_GONE`) and no other probe is out.
        """
        record = self._record(target)
        own, wide = record.breaker, record.wide
        if own.is_open or wide.is_open:
            now = self.clock()
            for breaker in (own, wide):
                if not breaker.admits(now) and not (early and breaker.admits_early()):
                    return None
        return Trial(record, self.clock)

    def cooling(self, target: Named) -> Cooling | None:
        """Why no attempt may begin there, None if one may."""
        record = self._records.get(target.name)
        wide = self._providers.get(target.provider_name) if record is None else record.wide
        blocking = record.blocking() if record is not None else wide
        if blocking is None or blocking.cause is None or self.available(target):
            return None
        return Cooling(target.name, blocking.cause, blocking.cooldown_left(self.clock()))

    def cooldown_left(self, target: Named) -> float:
        """Seconds until a probe may begin there; 0 where attempts may."""
        cooling = self.cooling(target)
        return 0.0 if cooling is None else cooling.seconds

    def pace(self, route: str, *, stream: bool) -> Pace:
        """How fast the answers of a route begin, streamed ones apart from whole ones."""
        key = (route, stream)
        pace = self._paces.get(key)
        if pace is None:
            pace = self._paces[key] = Pace()
            if len(self._paces) > _ROUTES:
                self._paces.popitem(last=False)
        return pace

    def heal(self, provider: str) -> None:
        """A provider was given other credentials, or made anew: nothing that was held against it counts."""
        if provider in self._providers:
            self._providers[provider].forgive()
        for name, record in self._records.items():
            if name.startswith(f"{provider}/"):
                record.breaker.forgive()

    def used(self, target: Named, usage: Mapping[str, Any] | None) -> None:
        """The answer's usage object (tokens), as far as it says something."""
        record = self._records.get(target.name)
        if record is not None and usage:
            record.used(usage)

    def snapshot(self, first: Iterable[Named] = ()) -> list[dict[str, Any]]:
        """A row per target: what ``maestro-daemon status`` shows.

        Those of `first` come in their order, asked before or not, then all others that were.
        """
        now = self.clock()
        records = {each.name: self._records.get(each.name) or self._unasked(each) for each in first}
        for name, record in self._records.items():
            records.setdefault(name, record)
        return [record.row(now) for record in records.values()]

    def _unasked(self, target: Named) -> Vitals:
        wide = self._providers.get(target.provider_name) or Breaker(self._wide_rules, self._random)
        return Vitals(target.name, Breaker(self._rules, self._random), wide)

    def _record(self, target: Named) -> Vitals:
        name = target.name
        record = self._records.get(name)
        if record is not None:
            self._records.move_to_end(name)
            return record
        wide = self._providers.get(target.provider_name)
        if wide is None:
            wide = self._providers[target.provider_name] = Breaker(self._wide_rules, self._random)
            if len(self._providers) > _PROVIDERS:
                self._providers.popitem(last=False)
        record = self._records[name] = Vitals(name, Breaker(self._rules, self._random), wide)
        if len(self._records) > self._most:
            self._forget_one()
        return record

    def _forget_one(self) -> None:
        """Let go of the target that was asked longest ago, rather one with nothing to tell."""
        for name, record in self._records.items():
            if not record.in_flight and not record.breaker.is_troubled:
                del self._records[name]
                return
        self._records.popitem(last=False)
