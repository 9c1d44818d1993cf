"""What Copilot means by its errors, in the house's words."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Final

from maestro_copilot.quirks import (
    CODES,
    LIMIT_HEADER,
    STATUSES,
    UNKNOWN_EDITOR,
    UNREADABLE_CIPHERTEXT,
    UNREADABLE_CODE,
    WRONG_DIALECT,
    Meaning,
)
from maestro_daemon.plugin import ModelQuotaSpent, UpstreamRefused

_MINUTE: Final = 60
_LONG_WAIT: Final = 2 * _MINUTE


def house_code(code: str) -> str | None:
    """The house's word for a code of Copilot's; None for one that means the same everywhere."""
    meaning = CODES.get(code.partition(":")[0])
    return None if meaning is None else meaning.code


def wants_other_dialect(refusal: UpstreamRefused) -> bool:
    """Whether the model is served at another endpoint."""
    return refusal.status == 400 and refusal.code == WRONG_DIALECT.about


def cannot_read(refusal: UpstreamRefused) -> bool:
    """Whether it is the ciphertext in the input that Copilot cannot take."""
    if refusal.status not in (400, 401):
        return False
    return refusal.code == UNREADABLE_CODE or UNREADABLE_CIPHERTEXT.search(refusal.message) is not None


def explained(
    refusal: UpstreamRefused, provider: str, *, now: Callable[[], float] = time.time
) -> UpstreamRefused:
    """The same refusal by Copilot's own meaning: code, status, wait, and a message that says what to do.

    `now` gives unix seconds, for a wait that is told as a date.
    """
    if cannot_read(refusal):
        return _anew(refusal, refusal.message, status=400, code=UNREADABLE_CODE)
    if refusal.status == 400 and UNKNOWN_EDITOR.search(refusal.message):
        return _anew(
            refusal,
            f"GitHub Copilot does not know this client ({_sentence(refusal.message)}) Set editor_version and "
            f"editor_plugin_version of [providers.{provider}].",
            status=400,
            code="unsupported_client",
        )
    own = refusal.code or ""
    meaning = CODES.get(own.partition(":")[0]) or STATUSES.get(refusal.status)
    if meaning is None:
        return refusal
    wait = _wait(refusal, now)
    return _anew(
        refusal,
        _message(refusal, provider, meaning, own, wait),
        status=meaning.status,
        code=meaning.code,
        wait=wait,
    )


def _message(refusal: UpstreamRefused, provider: str, meaning: Meaning, own: str, wait: float | None) -> str:
    said = _sentence(refusal.message)
    match meaning.code:
        case "insufficient_quota":
            return f"The quota of GitHub Copilot ({provider}) is used up: {said}{_until(wait)}"
        case "rate_limit_exceeded":
            named = own if own != meaning.code else ""
            limit = refusal.headers.get(LIMIT_HEADER.about) or named or "its rate limit"
            return f"GitHub Copilot ({provider}) limits requests, by {limit}: {said}{_until(wait)}"
        case "content_filter":
            return f"GitHub Copilot's content filter refused this: {said}"
        case "client_too_old":
            return (
                f"GitHub Copilot takes this client for too old (HTTP 466): {said} Raise editor_version and "
                f"editor_plugin_version of [providers.{provider}]."
            )
        case "agent_dependency_failed":
            return f"Something that GitHub Copilot depends on failed (HTTP 424): {said}"
        case "server_is_overloaded":
            return f"The provider behind GitHub Copilot is overloaded or limits it: {said}{_until(wait)}"
    return refusal.message


def _anew(
    refusal: UpstreamRefused, message: str, *, status: int, code: str, wait: float | None = None
) -> UpstreamRefused:
    # What a plan includes still answers when its premium requests are used up.
    kind = ModelQuotaSpent if code == ModelQuotaSpent.default_code else UpstreamRefused
    told = kind(
        message,
        status=status,
        code=code,
        param=refusal.param,
        type=refusal.type,
        headers=refusal.headers,
        retry_after=refusal.retry_after if wait is None else wait,
    )
    told.__cause__ = refusal
    return told


def _wait(refusal: UpstreamRefused, now: Callable[[], float]) -> float | None:
    """Seconds, also where Copilot says a date; by its own clock if it tells that."""
    if refusal.retry_after is not None:
        return refusal.retry_after
    until = _seconds(refusal.headers.get("retry-after"))
    if until is None:
        return None
    began = _seconds(refusal.headers.get("date"))
    return max(0.0, until - (now() if began is None else began))


def _seconds(date: str | None) -> float | None:
    if date is None:
        return None
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
        return None


def _until(wait: float | None) -> str:
    if wait is None:
        return ""
    seconds = max(1, math.ceil(wait))
    return f" Please try again in {seconds}s{_in_words(seconds)}."


def _in_words(seconds: int) -> str:
    """`` (2 h 5 min)`` for a wait that nobody wants to count in seconds."""
    if seconds < _LONG_WAIT:
        return ""
    minutes = math.ceil(seconds / _MINUTE)
    hours, minutes = divmod(minutes, 60)
    told = [f"{hours} h"] if hours else []
    told += [f"{minutes} min"] if minutes else []
    return f" ({' '.join(told)})"


def _sentence(message: str) -> str:
    said = message.strip()
    return said if said.endswith((".", "!", "?")) else f"{said}."
