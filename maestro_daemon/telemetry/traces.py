"""A span for each request, and below it one for each attempt, in the words of the GenAI conventions.

What is asked and answered is in none of them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from maestro_daemon import __version__
from maestro_daemon.providers.hookspecs import hookimpl
from maestro_daemon.providers.notices import Attempt, Outcome
from maestro_daemon.request import ResponseRequest

_OPERATION: Final = "chat"
_NUMBERS: Final = (
    ("max_output_tokens", "gen_ai.request.max_tokens"),
    ("temperature", "gen_ai.request.temperature"),
    ("top_p", "gen_ai.request.top_p"),
)


class Traces:
    """Makes spans with the tracers of `provider`; a plugin of the house, which hears of their ends."""

    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = provider.get_tracer("maestro_daemon", __version__)
        self._propagator = TraceContextTextMapPropagator()
        self._kinds: Mapping[str, str] = {}
        self._requests: dict[int, Span] = {}
        self._attempts: dict[int, Span] = {}

    def follow(self, kinds: Mapping[str, str]) -> None:
        """See `Tracing`."""
        self._kinds = kinds

    def request_begins(self, request: ResponseRequest, elapsed: float) -> None:
        """See `Tracing`. The client's own ``traceparent`` is what the span is part of."""
        span = self._tracer.start_span(
            f"{_OPERATION} {request.asked_model}",
            self._propagator.extract(request.headers),
            SpanKind.SERVER,
            start_time=time.time_ns() - int(elapsed * 1e9),
        )
        self._requests[id(request)] = span
        if span.is_recording():
            span.set_attributes(
                {
                    "gen_ai.operation.name": _OPERATION,
                    "gen_ai.request.model": request.asked_model,
                    "gen_ai.request.stream": request.stream,
                    "maestro.request_id": request.request_id,
                    **({"maestro.client": request.client} if request.client else {}),
                    **_numbers(request.body),
                }
            )
        request.headers = self._within(span, request.headers)

    def attempt_begins(self, request: ResponseRequest, attempt: Attempt) -> Mapping[str, str]:
        """See `Tracing`."""
        parent = self._requests.get(id(request))
        span = self._tracer.start_span(
            f"{_OPERATION} {attempt.model}",
            None if parent is None else set_span_in_context(parent),
            SpanKind.CLIENT,
        )
        self._attempts[id(attempt)] = span
        if span.is_recording():
            span.set_attributes(
                {
                    "gen_ai.operation.name": _OPERATION,
                    "gen_ai.provider.name": self._kinds.get(attempt.provider, attempt.provider),
                    "gen_ai.request.model": attempt.model,
                    "maestro.target": attempt.target,
                    "maestro.attempt": attempt.number,
                }
            )
        return self._within(span, request.headers)

    @hookimpl
    def maestro_attempt_finished(self, attempt: Attempt) -> None:
        """End the attempt's span."""
        span = self._attempts.pop(id(attempt), None)
        if span is None:
            return
        if span.is_recording():
            if attempt.first_output_after is not None:
                span.set_attribute("gen_ai.response.time_to_first_chunk", attempt.first_output_after)
            if attempt.degraded:
                span.set_attribute("maestro.degraded", attempt.degraded)
            if attempt.error is not None:
                span.set_attribute("http.response.status_code", attempt.error.status)
                _failed(span, attempt.failure or type(attempt.error).__name__, attempt.error.code)
        span.end()

    @hookimpl
    def maestro_response_finished(self, request: ResponseRequest, outcome: Outcome) -> None:
        """End the request's span."""
        span = self._requests.pop(id(request), None)
        if span is None:
            return
        if span.is_recording():
            span.set_attributes(
                {
                    "gen_ai.response.id": request.response_id,
                    "http.response.status_code": outcome.http_status,
                    "maestro.status": outcome.status,
                    "maestro.attempts": len(outcome.attempts),
                    **_usage(outcome.usage or {}),
                }
            )
            if outcome.target:
                span.set_attribute("maestro.target", outcome.target)
                span.set_attribute("gen_ai.response.model", outcome.target.partition("/")[2])
            if outcome.events:
                span.set_attribute("maestro.stream_events", outcome.events)
            if outcome.first_output_after is not None:
                span.set_attribute("gen_ai.response.time_to_first_chunk", outcome.first_output_after)
            if outcome.error is not None:
                _failed(span, outcome.error.code or type(outcome.error).__name__, outcome.error.code)
        span.end()

    def _within(self, span: Span, headers: Mapping[str, str]) -> Mapping[str, str]:
        """The headers with the span as what everything below is part of."""
        carrier = dict(headers)
        carrier.pop("tracestate", None)
        self._propagator.inject(carrier, set_span_in_context(span))
        return carrier


def _failed(span: Span, kind: str, code: str | None) -> None:
    span.set_attribute("error.type", kind)
    span.set_status(Status(StatusCode.ERROR, code))


def _numbers(body: Mapping[str, Any]) -> dict[str, int | float]:
    found = ((name, body.get(field)) for field, name in _NUMBERS)
    return {name: value for name, value in found if isinstance(value, int | float)}


def _usage(usage: Mapping[str, Any]) -> dict[str, int]:
    found = {
        "gen_ai.usage.input_tokens": usage.get("input_tokens"),
        "gen_ai.usage.output_tokens": usage.get("output_tokens"),
        "gen_ai.usage.cache_read.input_tokens": _detail(usage, "input_tokens_details", "cached_tokens"),
        "gen_ai.usage.reasoning.output_tokens": _detail(usage, "output_tokens_details", "reasoning_tokens"),
    }
    return {name: tokens for name, tokens in found.items() if type(tokens) is int}


def _detail(usage: Mapping[str, Any], details: str, name: str) -> Any:
    found = usage.get(details)
    return found.get(name) if isinstance(found, dict) else None
