"""One log line per finished request: a plugin of the house, so that its own hooks are used daily."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog

from maestro_daemon.providers.hookspecs import hookimpl
from maestro_daemon.providers.notices import Outcome
from maestro_daemon.request import ResponseRequest

_log: Final = structlog.get_logger(__name__)

Write = Callable[[str, str, dict[str, Any]], None]
"""Writes a line: level, event, fields."""


def write_by_structlog(level: str, event: str, fields: Mapping[str, Any]) -> None:
    """The usual way of a line."""
    getattr(_log, level)(event, **fields)


class AccessLog:
    """The plugin; `write` is where its lines go."""

    def __init__(self, write: Write = write_by_structlog) -> None:
        self._write = write

    @hookimpl
    def maestro_response_finished(self, request: ResponseRequest, outcome: Outcome) -> None:
        """Write the line: who asked for what, who answered, how it ended, tokens and seconds."""
        line: dict[str, Any] = {
            "request_id": request.request_id,
            "model": request.asked_model,
            "target": outcome.target or None,
            "attempts": len(outcome.attempts),
            "stream": request.stream,
            "http_status": outcome.http_status,
            "status": outcome.status,
        }
        if outcome.usage is not None:
            line["input_tokens"] = outcome.usage.get("input_tokens")
            details = outcome.usage.get("input_tokens_details")
            if isinstance(details, dict):
                line["cached_tokens"] = details.get("cached_tokens")
            line["output_tokens"] = outcome.usage.get("output_tokens")
        if outcome.first_output_after is not None:
            line["first_output"] = round(outcome.first_output_after, 4)
        line["duration"] = round(outcome.duration, 4)
        if request.client:
            line["client"] = request.client
        if outcome.error is None:
            self._write("info", "response", line)
            return
        line["code"] = outcome.error.code
        line["reason"] = outcome.error.message[:500]
        self._write("warning", "response", line)
