"""What GitHub's refusals of a login or of an exchange mean, as sentences for the operator.

Observed by others (microsoft/vscode-copilot-chat, 2026-03): GitHub publishes no contract.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Final

from maestro_copilot.github_answers import mapping, number, parsed, text
from maestro_copilot.quirks import UNKNOWN_EDITOR
from maestro_daemon.plugin import CredentialsRefused, UpstreamRefused

_RATE_LIMIT: Final = "API rate limit exceeded"
_SECONDARY_RATE_LIMIT: Final = "secondary rate limit"
_PERSONAL: Final = "Resource not accessible by personal access token"
_LONGEST_WAIT: Final = 7 * 24 * 3600.0

_MEANINGS: Final[Mapping[str, str]] = {
    "no_copilot_access": "this GitHub account has no Copilot subscription",
    "not_signed_up": "this GitHub account has no Copilot subscription",
    "subscription_ended": "the Copilot subscription of this GitHub account has ended",
    "enterprise_managed_user_account": "an enterprise manages this GitHub account and gives it no Copilot",
    "feature_flag_blocked": "Copilot is switched off for this GitHub account",
    "spammy_user": "GitHub has flagged this account",
    "billing_locked": "the billing of this GitHub account is locked",
    "trade_restricted": "GitHub's trade controls keep this account from Copilot",
    "trade_restricted_country": "GitHub's trade controls keep this country from Copilot",
    "snippy_not_configured": "the setting on suggestions that match public code was never chosen",
    "programmatic_token_generation": "GitHub suspects that a program makes Copilot tokens with this account",
    "access_revoked": "GitHub has revoked this account's access to Copilot",
}
"""``notification_id`` of ``error_details`` → what it means."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose token was refused, for the sentence: `provider`, where the token came from, and the remedy."""

    provider: str
    source: str
    logs_in: bool

    @property
    def remedy(self) -> str:
        """What to do about a token that GitHub does not accept."""
        if self.logs_in:
            return f"run: maestro-daemon login {self.provider}"
        return (
            f"put a valid one into {self.source}, or remove it and run: maestro-daemon login {self.provider}"
        )


def of_token(refused: UpstreamRefused, holder: Holder) -> UpstreamRefused:
    """The error for GitHub's refusal of a request that bore the GitHub token.

    `CredentialsRefused` when the login or the subscription is what lacks, `UpstreamRefused` 429 for rate
    limits (with the wait that GitHub asks for), the refusal itself for everything else.
    """
    body = parsed(refused.body)
    said = text(body.get("message")) or text(refused.message)
    if refused.status == 429 or (refused.status == 403 and _is_rate_limit(said, refused.headers)):
        return _rate_limited(refused, said)
    if refused.status == 401:
        return _refused(
            401,
            "github_login_refused",
            f"GitHub does not accept the token of provider {holder.provider!r} ({holder.source}) any more: "
            f"{holder.remedy}",
        )
    if refused.status not in (403, 404):
        return refused
    details = mapping(body.get("error_details"))
    if details:
        return _without_access(details, body, holder)
    if _PERSONAL.lower() in said.lower():
        return _refused(
            403,
            "github_token_unfit",
            f"GitHub exchanges no personal access token, and {holder.source} holds one for provider "
            f"{holder.provider!r}: remove it and run: maestro-daemon login {holder.provider}",
        )
    if refused.status == 404:
        return _refused(
            403,
            "no_copilot_access",
            f"GitHub knows of no Copilot for the account of provider {holder.provider!r} (HTTP 404). Either "
            "it has no subscription, or github_api_url or domain names the wrong place.",
        )
    return _refused(
        403,
        "github_login_refused",
        f"GitHub refuses Copilot to provider {holder.provider!r}: {said or 'without saying why'}",
    )


def of_exchange(refused: UpstreamRefused, holder: Holder) -> UpstreamRefused:
    """As `of_token`, for the exchange: whatever GitHub holds against it is no fault of any client's."""
    meant = of_token(refused, holder)
    if meant is not refused or not 400 <= refused.status < 500:
        return meant
    said = text(parsed(refused.body).get("message")) or text(refused.message)
    sentence = (
        f"GitHub gives provider {holder.provider!r} no Copilot token (HTTP {refused.status}): "
        f"{said.rstrip('.') or 'without saying why'}."
    )
    if refused.status == 466 or UNKNOWN_EDITOR.search(said):
        sentence += (
            " Set editor_version, editor_plugin_version and user_agent of "
            f"[providers.{holder.provider}] to those of a current editor."
        )
    return _refused(403, "exchange_refused", sentence)


def _without_access(
    details: Mapping[str, Any], body: Mapping[str, Any], holder: Holder
) -> CredentialsRefused:
    code = text(details.get("notification_id"))
    meaning = _MEANINGS.get(code, "GitHub refuses Copilot to this account")
    title, message = text(details.get("title")).rstrip("."), text(details.get("message"))
    said = ": ".join(dict.fromkeys(each for each in (title, message) if each))
    url = text(details.get("url"))
    parts = [f"Provider {holder.provider!r} cannot use Copilot: {meaning}."]
    if said:
        parts.append(f"GitHub says: {said}")
    if url and url not in said:
        parts.append(f"See {url}")
    if body.get("can_signup_for_limited") is True:
        parts.append("The free plan is open to this account.")
    return _refused(403, code or "no_copilot_access", " ".join(parts))


def _refused(status: int, code: str, sentence: str) -> CredentialsRefused:
    return CredentialsRefused(sentence, status=status, code=code, type="authentication_error")


def _is_rate_limit(said: str, headers: Mapping[str, str]) -> bool:
    lower = said.lower()
    if _RATE_LIMIT.lower() in lower or _SECONDARY_RATE_LIMIT in lower:
        return True
    return headers.get("x-ratelimit-remaining") == "0"


def _rate_limited(refused: UpstreamRefused, said: str) -> UpstreamRefused:
    wait = refused.retry_after
    if wait is None:
        wait = _until_date(refused.headers)
    if wait is None:
        wait = _until_reset(refused.headers)
    told = f" for another {_span(wait)}" if wait is not None else ""
    return UpstreamRefused(
        f"GitHub limits the rate of requests for Copilot tokens{told}: {said or 'too many requests'}",
        status=429,
        code="rate_limit_exceeded",
        type="rate_limit_error",
        retry_after=wait,
    )


def _until_date(headers: Mapping[str, str]) -> float | None:
    """Seconds until the date of ``retry-after``, by the clock of the server that said it."""
    try:
        until = parsedate_to_datetime(headers.get("retry-after", "")).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(1.0, until - server_time(headers)), _LONGEST_WAIT)


def _until_reset(headers: Mapping[str, str]) -> float | None:
    """Seconds until ``x-ratelimit-reset`` (unix seconds), by the clock of the server that said it."""
    reset = number(headers.get("x-ratelimit-reset"))
    if reset is None or headers.get("x-ratelimit-remaining") not in (None, "0"):
        return None
    return min(max(1.0, reset - server_time(headers)), _LONGEST_WAIT)


def server_time(headers: Mapping[str, str]) -> float:
    """The unix time by an answer's ``date``; ours where there is none."""
    try:
        return parsedate_to_datetime(headers.get("date", "")).timestamp()
    except (ValueError, TypeError, OverflowError):
        return time.time()


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
