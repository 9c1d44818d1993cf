"""What is known of one target: its breakers, and how its attempts went."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from maestro_daemon.routing.breaker import Breaker
from maestro_daemon.routing.pace import Pace

_LONGEST_REASON: Final = 200


class Vitals:
    """Of the target `name`: `breaker` is its own, `wide` that of its provider."""

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

    def used(self, usage: Mapping[str, Any]) -> None:
        """An answer's usage object (tokens), as far as it says something."""
        tokens = usage.get("input_tokens")
        if type(tokens) is not int:
            return
        self.input_tokens += tokens
        details = usage.get("input_tokens_details")
        cached = details.get("cached_tokens") if isinstance(details, Mapping) else None
        if type(cached) is int:
            self.cached_tokens += cached

    def row(self, now: float) -> dict[str, Any]:
        """What ``maestro-daemon status`` shows; times in seconds."""
        blocking = self.blocking()
        cause = blocking.cause
        ended = self.attempts
        median, late = self.pace.quantiles()
        return {
            "target": self.name,
            "state": blocking.state(now),
            "in_flight": self.in_flight,
            "cooldown_left": round(blocking.cooldown_left(now), 1),
            "cause": cause.kind.value if cause is not None else None,
            "reason": cause.error.message[:_LONGEST_REASON] if cause is not None else None,
            "attempts": ended,
            "failures": self.failures,
            "success_ratio": round(1 - self.failures / ended, 4) if ended else None,
            "first_output_p50": None if median is None else round(median, 4),
            "first_output_p95": None if late is None else round(late, 4),
            "input_tokens": self.input_tokens,
            "cached_tokens": self.cached_tokens,
            "cached_share": round(self.cached_tokens / self.input_tokens, 4) if self.input_tokens else None,
        }
