"""What a client is told when every target failed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from maestro_daemon.errors import (
    CredentialsRefused,
    MaestroError,
    ProviderUnavailable,
    RequestInvalid,
    UpstreamBroken,
    UpstreamRefused,
    UpstreamUnreachable,
)
from maestro_daemon.protocol.failure_code import failure_code
from maestro_daemon.routing.failure_class import classify
from maestro_daemon.routing.failures import exhausted
from maestro_daemon.routing.health import Cooling


def refused(status: int, code: str | None = None, message: str = "no", **more: Any) -> UpstreamRefused:
    kind = CredentialsRefused if status in (401, 403) else UpstreamRefused
    return kind(message, status=status, code=code, **more)


SILENT = UpstreamUnreachable("silent")
BROKEN = UpstreamBroken("nonsense")
CASES: list[tuple[str, Sequence[MaestroError], int, str | None, str, str | None]] = [
    # what it is, the failures, and the status, code, message and Retry-After that a client gets
    ("a fault of the client", [refused(400, "invalid_value", "bad")], 400, "invalid_value", "bad", None),
    ("a 422", [refused(422, None, "bad")], 422, None, "bad", None),
    (
        "a fault after a failure",
        [BROKEN, refused(400, "invalid_value", "bad")],
        400,
        "invalid_value",
        "bad",
        None,
    ),
    (
        "the same 400 of all",
        [refused(400, "context_length_exceeded", "a"), refused(400, "context_length_exceeded", "b")],
        400,
        "context_length_exceeded",
        "a",
        None,
    ),
    ("a 404 of all", [refused(404, "model_not_found", "gone")], 404, "model_not_found", "gone", None),
    (
        "what no dialect can say",
        [RequestInvalid("cannot be said", code="unsupported_value")],
        400,
        "unsupported_value",
        "cannot be said",
        None,
    ),
    (
        "a 400 of one only",
        [refused(400, "context_length_exceeded", "a"), BROKEN],
        502,
        "upstream_broken",
        "nonsense",
        None,
    ),
    (
        "a 429 without a time",
        [refused(429)],
        429,
        "rate_limit_exceeded",
        "no. Please try again in 1s.",
        "1",
    ),
    (
        "the shortest time",
        [refused(429, retry_after=30.0), refused(429, None, "b", retry_after=2.2)],
        429,
        "rate_limit_exceeded",
        "b. Please try again in 3s.",
        "3",
    ),
    (
        "a limit among failures",
        [refused(429, "tokens", "slow", retry_after=7.0), BROKEN, SILENT],
        429,
        "tokens",
        "slow. Please try again in 7s.",
        "7",
    ),
    (
        "a limit beside a 400",
        [refused(400, "context_length_exceeded", "a"), refused(429, retry_after=4.0)],
        429,
        "rate_limit_exceeded",
        "no. Please try again in 4s.",
        "4",
    ),
    (
        "a message that says when",
        [refused(429, None, "Please try again in 20s", retry_after=20.0)],
        429,
        "rate_limit_exceeded",
        "Please try again in 20s",
        "20",
    ),
    ("an empty account", [refused(429, "insufficient_quota")], 429, "insufficient_quota", "no", "1"),
    ("a 402", [refused(402, None, "pay")], 429, "insufficient_quota", "pay", "1"),
    ("a 400 of billing", [refused(400, "billing_not_active", "pay")], 429, "insufficient_quota", "pay", "1"),
    (
        "a limit that passes beside an empty account",
        [refused(402, None, "pay"), refused(429, None, "slow", retry_after=9.0)],
        429,
        "rate_limit_exceeded",
        "slow. Please try again in 9s.",
        "9",
    ),
    (
        "a failure that may pass beside an empty account",
        [refused(500, None, "oops"), refused(402, None, "pay")],
        502,
        "upstream_error",
        "oops",
        None,
    ),
    (
        "a prompt too long for one, and an empty account",
        [refused(400, "context_length_exceeded", "a"), refused(402, None, "pay")],
        429,
        "insufficient_quota",
        "pay",
        "1",
    ),
    (
        "an overload",
        [refused(503, "server_is_overloaded", "full")],
        503,
        "server_is_overloaded",
        "full",
        None,
    ),
    ("a 529", [refused(529, None, "full")], 503, "upstream_error", "full", None),
    ("a 503 with a time", [refused(503, None, "full", retry_after=5.0)], 503, "upstream_error", "full", "5"),
    (
        "a 503 with a date",
        [refused(503, None, "full", headers={"retry-after": "Tue, 01 Jan 2019 00:00:00 GMT"})],
        503,
        "upstream_error",
        "full",
        "1",
    ),
    ("a 500", [refused(500, None, "oops")], 502, "upstream_error", "oops", None),
    ("a 504", [refused(504, None, "late")], 502, "upstream_error", "late", None),
    ("a 408", [refused(408, None, "late")], 502, "upstream_error", "late", None),
    ("a redirect", [refused(302, None, "moved")], 502, "upstream_error", "moved", None),
    ("nobody there", [SILENT], 502, "upstream_unreachable", "silent", None),
    ("nonsense", [BROKEN], 502, "upstream_broken", "nonsense", None),
    (
        "the last one's message",
        [refused(503, None, "full"), BROKEN],
        502,
        "upstream_broken",
        "nonsense",
        None,
    ),
    (
        "a missing part",
        [ProviderUnavailable("install it")],
        503,
        "provider_unavailable",
        "install it",
        None,
    ),
    (
        "our own credentials",
        [refused(401, "invalid_api_key", "bad key")],
        502,
        "upstream_credentials_refused",
        "The upstream refused the provider's credentials (HTTP 401): bad key",
        None,
    ),
]


@pytest.mark.parametrize(
    ("failures", "status", "code", "message", "retry_after"),
    [case[1:] for case in CASES],
    ids=[c[0] for c in CASES],
)
def test_when_all_failed_the_client_is_told(
    failures: Sequence[MaestroError], status: int, code: str | None, message: str, retry_after: str | None
) -> None:
    error = exhausted([*map(classify, failures)])
    assert (error.status, error.code, error.message) == (status, code, message)
    assert error.headers.get("retry-after") == retry_after
    assert set(error.envelope()["error"]) == {"message", "type", "param", "code"}


def test_an_account_without_credit_is_no_reason_to_give_up_while_another_may_be_back() -> None:
    empty = classify(refused(402, None, "pay"))
    failed = classify(refused(500, None, "oops"))
    error = exhausted([failed], [Cooling("a/m", empty, 1800.0)])
    assert (error.status, error.code) == (502, "upstream_error")
    assert error.message == "oops. Not asked: a/m is out of credit, asked again in 30 min: pay."
    error = exhausted([empty], [Cooling("b/m", failed, 7.5)])
    assert (error.status, error.code, error.headers["retry-after"]) == (503, "upstream_unavailable", "8")
    error = exhausted([empty], [Cooling("b/m", empty, 900.0)])
    assert (error.status, error.code) == (429, "insufficient_quota")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("Slow down. Please try again in 20s.", ": Slow down."),
        (
            "Slow down. Please try again in 7m12.5s. Visit us to learn more.",
            ": Slow down. Visit us to learn more.",
        ),
        ("Slow down, try again in 2 minutes", ": Slow down."),
        ("Please try again in 898ms", "."),
        ("Try again in a moment", ": Try again in a moment."),
    ],
)
def test_what_an_upstream_said_of_waiting_is_not_repeated_later(said: str, told: str) -> None:
    limited = classify(refused(429, None, said, retry_after=20.0))
    error = exhausted([], [Cooling("a/m", limited, 3.0)])
    assert error.message == f"a/m is rate limited, asked again in 3 s{told} Please try again in 3s."


def test_a_client_error_keeps_the_upstreams_type_and_param() -> None:
    error = exhausted(
        [classify(refused(400, "invalid_value", "bad", param="input", type="invalid_request_error"))]
    )
    assert (error.type, error.param) == ("invalid_request_error", "input")
    assert exhausted([classify(refused(400))]).type == "invalid_request_error"


def test_a_limit_keeps_the_upstreams_limit_headers_and_nothing_else() -> None:
    headers = {"x-ratelimit-remaining-tokens": "0", "set-cookie": "secret", "retry-after": "60"}
    error = exhausted([classify(refused(429, retry_after=2.0, headers=headers))])
    assert dict(error.headers) == {"x-ratelimit-remaining-tokens": "0", "retry-after": "2"}
    assert error.type == "rate_limit_error"


@pytest.mark.parametrize(
    ("failures", "code"),
    [
        ([refused(429, retry_after=4.0)], "rate_limit_exceeded"),
        ([refused(429, "tokens")], "rate_limit_exceeded"),
        ([refused(402)], "insufficient_quota"),
        ([refused(400, "context_length_exceeded")], "context_length_exceeded"),
        ([refused(400, "invalid_value")], "invalid_prompt"),
        ([refused(503, "server_is_overloaded")], "server_is_overloaded"),
        ([refused(503)], "server_error"),
        ([refused(401)], "server_error"),
        ([BROKEN], "server_error"),
        ([SILENT], "server_error"),
    ],
)
def test_after_the_preamble_the_same_choice_makes_the_code(
    failures: Sequence[MaestroError], code: str
) -> None:
    error = exhausted([*map(classify, failures)])
    assert failure_code(error) == code
    if code == "rate_limit_exceeded":
        assert "try again in" in error.message
