"""How targets do: what may be asked, what is under way, and what to tell of it.

Each target, a (provider, model), has a breaker of its own; causes that concern a whole provider (credentials,
an empty account, a name that cannot be resolved) are counted once for all its models. Pure: clock and random
are handed in. One object for the whole life of the daemon; it outlives configurations.
"""

from __future__ import annotations

import random as randomness
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final, Protocol

from maestro_daemon.routing.breaker import Breaker, BreakerRules
from maestro_daemon.routing.failure_class import Failure
from maestro_daemon.routing.pace import Pace

_TARGETS: Final = 1024
_PROVIDERS: Final = 256
_LONGEST_REASON: Final = 200


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


class _Record:
    """What is known of one target."""

    __slots__ = (
        "attempts",
        "breaker",
        "cached_tokens",
        "failures",
        "in_flight",
        "input_tokens",
        "name",
        "pace",
        "wide",
    )

    def __init__(self, name: str, breaker: Breaker, wide: Breaker) -> None:
        self.name = name
        self.breaker = breaker
        self.wide = wide
        self.in_flight = 0
        self.attempts = 0  # that ended and count
        self.failures = 0
        self.pace = Pace()
        self.input_tokens = 0
        self.cached_tokens = 0

    def blocking(self) -> Breaker:
        """That of the two breakers which stays open longer."""
        own, wide = self.breaker, self.wide
        if own.is_open and wide.is_open:
            return own if own.until >= wide.until else wide
        return wide if wide.is_open else own


class Trial:
    """One attempt at one target, as health sees it: begun, and told its end once.

    `change` says what the attempt did to a breaker, None for nothing.
    """

    __slots__ = (
        "_epoch",
        "_health",
        "_probe",
        "_record",
        "_reported",
        "_wide_epoch",
        "_wide_probe",
        "change",
    )

    def __init__(self, health: Health, record: _Record) -> None:
        self._health = health
        self._record = record
        self._probe = record.breaker.begin()
        self._wide_probe = record.wide.begin()
        self._epoch = record.breaker.epoch
        self._wide_epoch = record.wide.epoch
        self._reported = False
        self.change: str | None = "probe" if self.is_probe else None
        record.in_flight += 1

    @property
    def is_probe(self) -> bool:
        """Whether this attempt finds out if the target is back."""
        return self._probe or self._wide_probe

    def answered(self, first_output_after: float) -> None:
        """The first output came, after so many seconds. A probe has shown enough for others to follow."""
        record = self._record
        record.pace.add(first_output_after)
        if self._probe:
            record.breaker.answer()
            self._epoch = record.breaker.epoch
            self._probe = False
            self.change = "half_open to closed"
        if self._wide_probe:
            record.wide.answer()
            self._wide_epoch = record.wide.epoch
            self._wide_probe = False
            self.change = "half_open to closed"

    def succeeded(self) -> None:
        """The whole answer came."""
        if self._reported:
            return
        self._reported = True
        record = self._record
        record.in_flight -= 1
        record.attempts += 1
        now = self._health.clock()
        if self.is_probe:
            self.change = "half_open to closed"
        record.breaker.succeed(now, self._epoch, probe=self._probe)
        if not record.wide.is_quiet:
            record.wide.succeed(now, self._wide_epoch, probe=self._wide_probe)

    def failed(self, failure: Failure) -> None:
        """The attempt failed, or the answer did after its beginning."""
        if self._reported:
            return
        if failure.kind.spares_health:
            self.left()
            return
        self._reported = True
        record = self._record
        record.in_flight -= 1
        record.attempts += 1
        record.failures += 1
        now = self._health.clock()
        # Of the two only the breaker concerned learns of the failure; a probe of the other is merely over.
        at_fault, other = (record.wide, record.breaker) if failure.wide else (record.breaker, record.wide)
        own_first = at_fault is record.breaker
        epoch, probe, other_probe = (
            (self._epoch, self._probe, self._wide_probe)
            if own_first
            else (self._wide_epoch, self._wide_probe, self._probe)
        )
        before = at_fault.state(now)
        if at_fault.fail(now, epoch, failure, probe=probe):
            whose = "" if own_first else " for the whole provider"
            self.change = f"{before} to open for {at_fault.cooldown_left(now):.3g}s{whose}"
        other.leave(probe=other_probe)

    def left(self) -> None:
        """The attempt ended without saying anything: a client that left, another that was faster."""
        if self._reported:
            return
        self._reported = True
        record = self._record
        record.in_flight -= 1
        record.breaker.leave(probe=self._probe)
        record.wide.leave(probe=self._wide_probe)


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
        self._records: OrderedDict[str, _Record] = OrderedDict()
        self._providers: OrderedDict[str, Breaker] = OrderedDict()
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
            if early:
                if not (own.admits_early() and wide.admits_early()):
                    return None
            elif not (own.admits(now) and wide.admits(now)):
                return None
        return Trial(self, record)

    def cooling(self, target: Named) -> Cooling | None:
        """Why no attempt may begin there, None if one may."""
        record = self._records.get(target.name)
        wide = self._providers.get(target.provider_name) if record is None else record.wide
        blocking = record.blocking() if record is not None else wide
        if blocking is None or not blocking.is_open or blocking.cause is None:
            return None
        return Cooling(target.name, blocking.cause, blocking.cooldown_left(self.clock()))

    def cooldown_left(self, target: Named) -> float:
        """Seconds until a probe may begin there; 0 where attempts may."""
        cooling = self.cooling(target)
        return 0.0 if cooling is None else cooling.seconds

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
        if record is None or not usage:
            return
        tokens = usage.get("input_tokens")
        if type(tokens) is not int:
            return
        record.input_tokens += tokens
        details = usage.get("input_tokens_details")
        cached = details.get("cached_tokens") if isinstance(details, Mapping) else None
        if type(cached) is int:
            record.cached_tokens += cached

    def snapshot(self) -> list[dict[str, Any]]:
        """A row per target, the latest asked last: what ``maestro-daemon status`` shows."""
        now = self.clock()
        return [_row(record, now) for record in self._records.values()]

    def _record(self, target: Named) -> _Record:
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
        record = self._records[name] = _Record(name, Breaker(self._rules, self._random), wide)
        if len(self._records) > self._most:
            self._forget_one()
        return record

    def _forget_one(self) -> None:
        """Let go of the target that was asked longest ago, rather one with nothing to tell."""
        for name, record in self._records.items():
            if not record.in_flight and record.breaker.is_quiet:
                del self._records[name]
                return
        self._records.popitem(last=False)


class Cooling:
    """Why a target is not asked: `failure` opened its breaker, `seconds` are left (0: it is being probed)."""

    __slots__ = ("failure", "seconds", "target")

    def __init__(self, target: str, failure: Failure, seconds: float) -> None:
        self.target = target
        self.failure = failure
        self.seconds = seconds


def _row(record: _Record, now: float) -> dict[str, Any]:
    blocking = record.blocking()
    cause = blocking.cause
    ended = record.attempts
    median, late = record.pace.quantiles()
    return {
        "target": record.name,
        "state": blocking.state(now),
        "in_flight": record.in_flight,
        "cooldown_left": round(blocking.cooldown_left(now), 1),
        "cause": cause.kind.value if cause is not None else None,
        "reason": cause.error.message[:_LONGEST_REASON] if cause is not None else None,
        "attempts": ended,
        "failures": record.failures,
        "success_ratio": round(1 - record.failures / ended, 4) if ended else None,
        "first_output_p50": None if median is None else round(median, 4),
        "first_output_p95": None if late is None else round(late, 4),
        "input_tokens": record.input_tokens,
        "cached_tokens": record.cached_tokens,
        "cached_share": round(record.cached_tokens / record.input_tokens, 4) if record.input_tokens else None,
    }
