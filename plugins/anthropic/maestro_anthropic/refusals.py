"""What the API says when it refuses, in the house's words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from maestro_daemon.plugin import CredentialsRefused, UpstreamBroken, UpstreamError, UpstreamRefused

_STATUS_OF_TYPE: Final[Mapping[str, int]] = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
_CODES: Final[Mapping[str, str]] = {
    "billing_error": "insufficient_quota",
    "rate_limit_error": "rate_limit_exceeded",
    "overloaded_error": "server_is_overloaded",
}
_OVERFLOW: Final = re.compile(
    r"prompt is too long|exceeds? (the )?context (limit|window)|context window exceeded", re.IGNORECASE
)
_SPENT: Final = re.compile(r"reached your (specified )?(workspace )?API usage limits", re.IGNORECASE)
"""How it says that a limit of spending is reached, under types that stand for other things."""
_REGAINED: Final = re.compile(r"regain access on (\d{4}-\d{2}-\d{2}) at (\d{2}:\d{2}) UTC")
_LONGEST_MESSAGE: Final = 4000
_RESET: Final = re.compile(r"anthropic-ratelimit-(?P<what>.+)-reset")
_LIMITS: Final = ("requests", "tokens")


def explain(refusal: UpstreamRefused) -> None:
    """Give an HTTP refusal the code that others act on, and the wait that its headers tell."""
    refusal.code = _code(refusal.type, refusal.message, refusal.status) or refusal.code
    if refusal.code == "model_not_found":
        refusal.param = "model"
    if refusal.retry_after is None and (regained := _REGAINED.search(refusal.message)) is not None:
        refusal.retry_after = _seconds(f"{regained[1]}T{regained[2]}+00:00", datetime.now(UTC))
    if refusal.status == 429 and refusal.retry_after is None:
        refusal.retry_after = _until_reset(refusal.headers, datetime.now(UTC))
    refusal.headers = told_limits(refusal.headers)


def refuses_thinking(refusal: UpstreamRefused) -> bool:
    """Whether it says that earlier thinking, which the request brought back, cannot be verified."""
    said = refusal.message.lower()
    return (
        refusal.status == 400 and "thinking" in said and ("signature" in said or "cannot be modified" in said)
    )


def stream_refusal(record: Mapping[str, Any], *, provider: str) -> UpstreamError:
    """The error for an ``error`` event: what its type would have been as an HTTP answer."""
    error = record.get("error")
    error = error if isinstance(error, dict) else record
    said, kind = error.get("message"), error.get("type")
    message = said[:_LONGEST_MESSAGE] if isinstance(said, str) and said else ""
    message = message or f"{provider} reported an error in its stream without saying which."
    status = _STATUS_OF_TYPE.get(kind) if isinstance(kind, str) else None
    if status is None:
        return UpstreamBroken(message, type=kind if isinstance(kind, str) and kind != "error" else None)
    refused = CredentialsRefused if status in (401, 403) else UpstreamRefused
    return refused(message, status=status, type=kind, code=_code(kind, message, status))


def told_limits(headers: Mapping[str, str]) -> Mapping[str, str]:
    """The headers, the limits among them under the names that clients of OpenAI know as well."""
    told = dict(headers)
    for what in _LIMITS:
        for fact in ("limit", "remaining"):
            value = headers.get(f"anthropic-ratelimit-{what}-{fact}")
            if value is not None:
                told[f"x-ratelimit-{fact}-{what}"] = value
        seconds = _seconds(headers.get(f"anthropic-ratelimit-{what}-reset"), datetime.now(UTC))
        if seconds is not None:
            told[f"x-ratelimit-reset-{what}"] = f"{seconds:g}s"
    return told


def _code(kind: str | None, message: str, status: int) -> str | None:
    if status in (400, 413) and _OVERFLOW.search(message):
        return "context_length_exceeded"
    if _SPENT.search(message):
        return "insufficient_quota"
    if status == 404 and "model" in message.lower():
        return "model_not_found"
    return _CODES.get(kind or "")


def _until_reset(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds until the last of the limits that are used up is there again."""
    waits = []
    for name, value in headers.items():
        limit = _RESET.fullmatch(name)
        if limit is not None and headers.get(f"anthropic-ratelimit-{limit['what']}-remaining") == "0":
            waits.append(_seconds(value, now))
    return max((wait for wait in waits if wait is not None), default=None)


def _seconds(moment: str | None, now: datetime) -> float | None:
    try:
        until = datetime.fromisoformat(moment or "")
        return max(0.0, round((until - now).total_seconds(), 3))
    except (ValueError, TypeError, OverflowError):
        return None
