"""One log line per finished request: a plugin of the house, so that its own hooks are used daily."""

from __future__ import annotations

from typing import Any, Final

import structlog

from maestro_daemon.providers.hookspecs import hookimpl
from maestro_daemon.providers.notices import Outcome
from maestro_daemon.request import ResponseRequest

_log: Final = structlog.get_logger(__name__)


@hookimpl
def maestro_response_finished(request: ResponseRequest, outcome: Outcome) -> None:
    """Write the line: who asked for what, who answered, how it ended, tokens and seconds."""
    usage = outcome.usage or {}
    line: dict[str, Any] = {
        "request_id": request.request_id,
        "model": request.asked_model,
        "target": outcome.target or None,
        "attempts": len(outcome.attempts),
        "stream": request.stream,
        "http_status": outcome.http_status,
        "status": outcome.status,
        "input_tokens": usage.get("input_tokens"),
        "output_tokens": usage.get("output_tokens"),
        "first_output": _rounded(outcome.first_output_after),
        "duration": _rounded(outcome.duration),
    }
    if request.client:
        line["client"] = request.client
    if outcome.error is not None:
        line["code"] = outcome.error.code
        line["reason"] = outcome.error.message[:500]
        _log.warning("response", **line)
    else:
        _log.info("response", **line)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)
