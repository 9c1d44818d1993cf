"""Which failures end a request, which go on to the next target, and what a client is told when all failed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from maestro_daemon.errors import (
    AttemptsExhausted,
    CredentialsRefused,
    MaestroError,
    ProviderUnavailable,
    RequestInvalid,
    UpstreamRefused,
)

LACKS_OF_THE_TARGET: Final = frozenset(
    {
        "context_length_exceeded",
        "model_not_found",
        "model_not_supported",
        "invalid_encrypted_content",
        "insufficient_quota",
        "billing_hard_limit_reached",
        "billing_not_active",
        "quota_exceeded",
        "payment_required",
    }
)
"""Codes of a 400 or 422 that another target may well answer."""

_CLIENT_STATUSES: Final = (400, 404, 409, 413, 415, 422)
_QUOTA_CODES: Final = (
    "insufficient_quota",
    "billing_hard_limit_reached",
    "billing_not_active",
    "quota_exceeded",
)
_DEFAULT_RETRY_AFTER: Final = 1.0


def is_clients_fault(error: MaestroError) -> bool:
    """True if no target can help: a 400 or 422 whose code says nothing about the target."""
    if not isinstance(error, UpstreamRefused) or error.status not in (400, 422):
        return False
    code = error.code or ""
    return code not in LACKS_OF_THE_TARGET and not code.startswith("unsupported_")


def exhausted(failures: Sequence[MaestroError]) -> MaestroError:
    """The one error for a request whose every attempt failed; `failures` in order, at least one."""
    first, last = failures[0], failures[-1]
    if is_clients_fault(last):
        return _as_client_error(last)
    if all(_is_client_error(each) for each in failures):
        return _as_client_error(first)
    limited = [each for each in failures if _is_limit(each)]
    if limited:
        return _as_limit(limited)
    return _as_server_error(last)


def _is_client_error(error: MaestroError) -> bool:
    if isinstance(error, RequestInvalid):
        return True
    return isinstance(error, UpstreamRefused) and error.status in _CLIENT_STATUSES and not _is_limit(error)


def _is_limit(error: MaestroError) -> bool:
    if not isinstance(error, UpstreamRefused):
        return False
    return error.status in (402, 429) or error.code in _QUOTA_CODES


def _as_client_error(error: MaestroError) -> MaestroError:
    told = AttemptsExhausted(
        error.message,
        status=error.status,
        param=error.param,
        type=error.type if isinstance(error, RequestInvalid) else _type_of(error, "invalid_request_error"),
    )
    told.code = error.code  # None too is the upstream's own
    return told


def _as_limit(limited: Sequence[MaestroError]) -> MaestroError:
    def wait(error: MaestroError) -> float:
        said = error.retry_after if isinstance(error, UpstreamRefused) else None
        return _DEFAULT_RETRY_AFTER if said is None else said

    # A limit that passes is worth waiting for; an empty account is not, so it is told only if alone.
    passing = [each for each in limited if each.code not in _QUOTA_CODES and each.status != 402]
    told = min(passing or limited, key=wait)
    seconds = max(1, math.ceil(wait(told)))
    if not passing:
        return AttemptsExhausted(
            told.message,
            status=429,
            code="insufficient_quota",
            type="insufficient_quota",
            headers={"retry-after": str(seconds)},
        )
    message = told.message
    if "try again in" not in message:
        stop = "" if message.endswith((".", "!", "?")) else "."
        message = f"{message}{stop} Please try again in {seconds}s."
    return AttemptsExhausted(
        message,
        status=429,
        code=told.code or "rate_limit_exceeded",
        param=told.param,
        type=_type_of(told, "rate_limit_error"),
        headers={"retry-after": str(seconds), **_limits(told)},
    )


def _as_server_error(error: MaestroError) -> MaestroError:
    if isinstance(error, CredentialsRefused):
        return AttemptsExhausted(
            f"The upstream refused the provider's credentials (HTTP {error.status}): {error.message}",
            code="upstream_credentials_refused",
        )
    overloaded = isinstance(error, ProviderUnavailable) or error.status in (503, 529)
    retry_after = error.retry_after if isinstance(error, UpstreamRefused) else None
    headers = {} if retry_after is None else {"retry-after": str(max(1, math.ceil(retry_after)))}
    return AttemptsExhausted(
        error.message,
        status=503 if overloaded else 502,
        code=error.code or "upstream_error",
        param=error.param,
        type=_type_of(error, "server_error"),
        headers=headers,
    )


def _type_of(error: MaestroError, default: str) -> str:
    return error.type if error.type != MaestroError.default_type else default


def _limits(error: MaestroError) -> dict[str, str]:
    return {name: value for name, value in error.headers.items() if name.startswith("x-ratelimit-")}
