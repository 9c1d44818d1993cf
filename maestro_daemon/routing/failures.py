"""What a client is told when nobody answered."""

from __future__ import annotations

import math
import re
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
from maestro_daemon.routing.failure_class import Failure, FailureClass
from maestro_daemon.routing.health import Cooling

_CLIENT_STATUSES: Final = (400, 404, 409, 413, 415, 422)
_LIMITS: Final = (FailureClass.LIMITED, FailureClass.QUOTA)
_PASSING: Final = (FailureClass.UNREACHABLE, FailureClass.REFUSED, FailureClass.BROKEN)
_DEFAULT_RETRY_AFTER: Final = 1.0
_MOST_TOLD: Final = 8
_LONGEST_REASON: Final = 300
_PROMISE: Final = re.compile(r"\s*(?:Please )?try again in(?:\s?\d+(?:\.\d+)?\s?[a-z]+)+\.?", re.IGNORECASE)
"""Where an upstream said how long to wait: that was then, and clients read the first such words."""
_STATES: Final = {
    FailureClass.UNREACHABLE: "could not be reached",
    FailureClass.REFUSED: "failed",
    FailureClass.LIMITED: "is rate limited",
    FailureClass.BROKEN: "broke its answers off",
    FailureClass.QUOTA: "is out of credit",
    FailureClass.CREDENTIALS: "refuses the credentials",
}


def exhausted(failures: Sequence[Failure], cooling: Sequence[Cooling] = ()) -> MaestroError:
    """The one error for a request that nobody answered; `failures` and `cooling` have one between them.

    `failures` are those of its attempts in order, `cooling` the targets that were not asked.
    """
    if failures:
        last = failures[-1]
        if last.kind is FailureClass.CLIENT:
            return _as_client_error(last.error)
        if not cooling and all(_is_client_error(each) for each in failures):
            return _as_client_error(failures[0].error)
    limited = [(each, each.retry_after) for each in failures if each.kind in _LIMITS]
    limited += [(each.failure, each.seconds) for each in cooling if each.failure.kind in _LIMITS]
    if not failures:
        return _all_cooling(cooling, limited=bool(limited))
    if limited and all(each.kind is FailureClass.QUOTA for each, _ in limited):
        # An empty account is given up by clients; who may be back at any moment is worth asking again.
        passing = [each for each in failures if each.kind in _PASSING]
        if passing:
            return _as_server_error(passing[-1], cooling)
        waits = [each.seconds for each in cooling if each.failure.kind in _PASSING]
        if waits:
            return _unavailable(_with(failures[-1].error.message, cooling), min(waits))
    if limited:
        return _as_limit(limited, cooling)
    return _as_server_error(failures[-1], cooling)


def _all_cooling(cooling: Sequence[Cooling], *, limited: bool) -> MaestroError:
    """The answer of a route whose every target cools down, given at once."""
    seconds = _whole(min(each.seconds for each in cooling))
    kinds = {each.failure.kind for each in cooling}
    if kinds == {FailureClass.QUOTA}:
        code, type = "insufficient_quota", "insufficient_quota"
    elif limited:
        code, type = "rate_limit_exceeded", "rate_limit_error"
    elif kinds == {FailureClass.CREDENTIALS}:
        code, type = "upstream_credentials_refused", "server_error"
    else:
        code, type = "upstream_unavailable", "server_error"
    headers = {"retry-after": str(seconds)}
    if len(cooling) == 1:
        headers.update(_limits(cooling[0].failure.error))
    return AttemptsExhausted(
        f"{_told(cooling)} Please try again in {seconds}s.",
        status=429 if limited else 503,
        code=code,
        type=type,
        headers=headers,
    )


def _told(cooling: Sequence[Cooling]) -> str:
    """The state of each target that cools down, a sentence each."""
    said = []
    for each in cooling[:_MOST_TOLD]:
        left = f"asked again in {_span(each.seconds)}" if each.seconds else "being tried just now"
        reason = _PROMISE.sub("", each.failure.error.message[:_LONGEST_REASON]).rstrip(" .,")
        said.append(
            f"{each.target} {_STATES.get(each.failure.kind, 'failed')}, {left}{': ' * bool(reason)}{reason}."
        )
    if len(cooling) > _MOST_TOLD:
        said.append(f"So do {len(cooling) - _MOST_TOLD} more.")
    return " ".join(said)


def _span(seconds: float) -> str:
    whole = _whole(seconds)
    if whole < 120:
        return f"{whole} s"
    return f"{round(whole / 60)} min" if whole < 7200 else f"{whole / 3600:.1f} h"


def _whole(seconds: float) -> int:
    return max(1, math.ceil(seconds))


def _is_client_error(failure: Failure) -> bool:
    error = failure.error
    if isinstance(error, RequestInvalid):
        return True
    refused = isinstance(error, UpstreamRefused) and error.status in _CLIENT_STATUSES
    return refused and failure.kind not in _LIMITS


def _as_client_error(error: MaestroError) -> MaestroError:
    told = AttemptsExhausted(
        error.message,
        status=error.status,
        param=error.param,
        type=error.type if isinstance(error, RequestInvalid) else _type_of(error, "invalid_request_error"),
    )
    told.code = error.code  # None too is the upstream's own
    return told


def _as_limit(
    limited: Sequence[tuple[Failure, float | None]], cooling: Sequence[Cooling] = ()
) -> MaestroError:
    def wait(each: tuple[Failure, float | None]) -> float:
        return _DEFAULT_RETRY_AFTER if each[1] is None else each[1]

    # A limit that passes is worth waiting for; an empty account is not, so it is told only if alone.
    passing = [each for each in limited if each[0].kind is FailureClass.LIMITED]
    first = min(passing or limited, key=wait)
    told = first[0].error
    seconds = _whole(wait(first))
    if not passing:
        return AttemptsExhausted(
            told.message,
            status=429,
            code="insufficient_quota",
            type="insufficient_quota",
            headers={"retry-after": str(seconds)},
        )
    message = _with(told.message, cooling)
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


def _as_server_error(failure: Failure, cooling: Sequence[Cooling] = ()) -> MaestroError:
    error = failure.error
    if isinstance(error, CredentialsRefused):
        return AttemptsExhausted(
            _with(
                f"The upstream refused the provider's credentials (HTTP {error.status}): {error.message}",
                cooling,
            ),
            code="upstream_credentials_refused",
        )
    if cooling and _is_client_error(Failure(FailureClass.LACK, error)):
        # Those that cool down might have served what this one cannot.
        return _unavailable(_with(error.message, cooling), min(each.seconds for each in cooling))
    overloaded = isinstance(error, ProviderUnavailable) or error.status in (503, 529)
    told = failure.retry_after if isinstance(error, UpstreamRefused) else None
    headers = {} if told is None else {"retry-after": str(_whole(told))}
    return AttemptsExhausted(
        _with(error.message, cooling),
        status=503 if overloaded else 502,
        code=error.code or "upstream_error",
        param=error.param,
        type=_type_of(error, "server_error"),
        headers=headers,
    )


def _unavailable(message: str, seconds: float) -> MaestroError:
    return AttemptsExhausted(
        message, status=503, code="upstream_unavailable", headers={"retry-after": str(_whole(seconds))}
    )


def _with(message: str, cooling: Sequence[Cooling]) -> str:
    """The message of what failed, and why the others were not asked."""
    if not cooling:
        return message
    stop = "" if message.endswith((".", "!", "?")) else "."
    return f"{message}{stop} Not asked: {_told(cooling)}"


def _type_of(error: MaestroError, default: str) -> str:
    return error.type if error.type != MaestroError.default_type else default


def _limits(error: MaestroError) -> dict[str, str]:
    return {name: value for name, value in error.headers.items() if name.startswith("x-ratelimit-")}
