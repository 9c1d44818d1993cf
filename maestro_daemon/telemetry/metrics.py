"""What is counted while requests are answered, by a plugin of the house that hears what all plugins do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Histogram

from maestro_daemon.providers.hookspecs import hookimpl
from maestro_daemon.providers.notices import Attempt, Outcome
from maestro_daemon.request import ResponseRequest
from maestro_daemon.telemetry.labels import Labels

_SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0)
_LAGS: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_MOST_SERIES: Final = 1024
SUCCESS: Final = "success"
LEFT: Final = "left"


class _Series:
    """The time series of one route and target."""

    __slots__ = (
        "_labels",
        "_metrics",
        "_requests",
        "cached",
        "events",
        "first",
        "input",
        "output",
        "reasoning",
        "total",
    )

    def __init__(self, metrics: Metrics, route: str, target: str) -> None:
        self._metrics = metrics
        self._labels = (route, target)
        self._requests: dict[tuple[str, int], Counter] = {}
        self.total = metrics.seconds.labels(route, target)
        self.first = metrics.first_output.labels(route, target)
        self.events = metrics.events.labels(route, target)
        self.input, self.cached, self.output, self.reasoning = (
            metrics.tokens.labels(route, target, kind) for kind in ("input", "cached", "output", "reasoning")
        )

    def ended(self, status: str, http_status: int) -> None:
        """One more request ended so."""
        key = (status, http_status)
        counter = self._requests.get(key)
        if counter is None:
            counter = self._metrics.requests.labels(*self._labels, status, str(http_status))
            self._requests[key] = counter
        counter.inc()

    def used(self, usage: Mapping[str, Any]) -> None:
        """An answer's usage object (tokens), as far as it says something."""
        _add(self.input, usage.get("input_tokens"))
        _add(self.output, usage.get("output_tokens"))
        details = usage.get("input_tokens_details")
        if details.__class__ is dict:
            _add(self.cached, details.get("cached_tokens"))
        details = usage.get("output_tokens_details")
        if details.__class__ is dict:
            _add(self.reasoning, details.get("reasoning_tokens"))


class Metrics:
    """The plugin, and whoever times plugins' hooks. `registry` is what is shown of it.

    Of an answer everything is counted at its end, nothing at its events.
    """

    def __init__(self, labels: Labels) -> None:
        registry = self.registry = CollectorRegistry()
        self._labels = labels
        self._series: dict[tuple[str, str], _Series] = {}
        self._attempts: dict[tuple[str, str], Counter] = {}
        where = ("route", "target")
        self.requests = Counter(
            "maestro_requests",
            "Requests that ended, by route, target, the Response's status and HTTP's.",
            (*where, "status", "http_status"),
            registry=registry,
        )
        self.seconds = Histogram(
            "maestro_request_seconds",
            "Seconds from a request's arrival to the end of its answer.",
            where,
            registry=registry,
            buckets=_SECONDS,
        )
        self.first_output = Histogram(
            "maestro_first_output_seconds",
            "Seconds from a request's arrival to the first output of its stream.",
            where,
            registry=registry,
            buckets=_SECONDS,
        )
        self.events = Counter(
            "maestro_stream_events", "Events of streams that were made for clients.", where, registry=registry
        )
        self.tokens = Counter(
            "maestro_tokens",
            "Tokens of answers: cached ones are part of input, reasoning ones of output.",
            (*where, "kind"),
            registry=registry,
        )
        self.attempts = Counter(
            "maestro_attempts",
            "Attempts at targets, by how they ended: success, left (nobody waited), or the failure's class.",
            ("target", "class"),
            registry=registry,
        )
        self.lag = Histogram(
            "maestro_event_loop_lag_seconds",
            "How late the event loop was, looked at four times a second.",
            registry=registry,
            buckets=_LAGS,
        )
        self.hooks: dict[tuple[str, str], list[float]] = {}
        """By plugin and hook: how often it was called, and how many seconds it took in all."""

    @hookimpl
    def maestro_attempt_finished(self, attempt: Attempt) -> None:
        """Count the attempt."""
        if attempt.error is not None:
            ended = attempt.failure or "other"
        else:
            ended = SUCCESS if attempt.succeeded else LEFT
        key = (attempt.target, ended)
        counter = self._attempts.get(key)
        if counter is None:
            if len(self._attempts) >= _MOST_SERIES:
                self._attempts.clear()
            counter = self.attempts.labels(self._labels.target(attempt.target), ended)
            self._attempts[key] = counter
        counter.inc()

    @hookimpl
    def maestro_response_finished(self, request: ResponseRequest, outcome: Outcome) -> None:
        """Count the request, and what its answer took."""
        key = (request.asked_model, outcome.target)
        series = self._series.get(key)
        if series is None:
            if len(self._series) >= _MOST_SERIES:
                self._series.clear()
            route, target = self._labels.route(key[0]), self._labels.target(key[1])
            series = self._series[key] = _Series(self, route, target)
        series.ended(outcome.status, outcome.http_status)
        series.total.observe(outcome.duration)
        if outcome.first_output_after is not None:
            series.first.observe(outcome.first_output_after)
        if outcome.events:
            series.events.inc(outcome.events)
        if outcome.usage is not None:
            series.used(outcome.usage)

    def told(self, hook: str, plugin: str, seconds: float) -> None:
        """A plugin's hook was called."""
        spent = self.hooks.get((plugin, hook))
        if spent is None:
            spent = self.hooks[plugin, hook] = [0, 0.0]
        spent[0] += 1
        spent[1] += seconds

    def forget_labels(self) -> None:
        """What is on offer may have changed: decide anew which series each target belongs to."""
        self._series.clear()
        self._attempts.clear()


def _add(counter: Counter, tokens: Any) -> None:
    if tokens.__class__ is int and tokens > 0:
        counter.inc(tokens)
