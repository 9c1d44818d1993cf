"""Each failure has one class, told from the error alone."""

from __future__ import annotations

from typing import Any

import pytest

from maestro_daemon.errors import (
    CatalogueUnread,
    ConnectionLost,
    CredentialsRefused,
    HostUnknown,
    MaestroError,
    ModelQuotaSpent,
    ModelUnknown,
    ProviderUnavailable,
    RequestInvalid,
    UpstreamBroken,
    UpstreamRefused,
    UpstreamUnreachable,
)
from maestro_daemon.protocol.error_body import refusal
from maestro_daemon.routing.failure_class import FailureClass, classify


def refused(status: int, code: str | None = None, message: str = "no", **more: Any) -> UpstreamRefused:
    kind = CredentialsRefused if status in (401, 403) else UpstreamRefused
    return kind(message, status=status, code=code, **more)


CLASSES: list[tuple[MaestroError, str]] = [
    (refused(400), "client"),
    (refused(400, "invalid_value"), "client"),
    (refused(400, "invalid_prompt"), "client"),
    (refused(422, "missing_required_parameter"), "client"),
    (refused(400, "context_length_exceeded"), "lack"),
    (refused(413, "context_length_exceeded"), "lack"),
    (refused(400, "model_not_found"), "lack"),
    (refused(403, "model_not_found"), "lack"),
    (refused(400, "model_not_supported"), "lack"),
    (refused(400, "unsupported_parameter"), "lack"),
    (refused(422, "unsupported_anything"), "lack"),
    (refused(400, "unsupported_api_for_model"), "lack"),
    (refused(400, "model_max_prompt_tokens_exceeded"), "lack"),
    (refused(400, "invalid_encrypted_content"), "lack"),
    (refused(400, "bad_request", "input item could not be decrypted or parsed"), "lack"),
    (refused(400, None, "Encrypted content item_id did not match the target item id"), "lack"),
    (refused(404, "model_not_found"), "lack"),
    (refused(404), "lack"),
    (refused(405), "lack"),
    (refused(413), "lack"),
    # another target may speak the dialect that this one does not
    (RequestInvalid("cannot be said"), "lack"),
    (ModelUnknown("never heard of it"), "lack"),
    (refused(400, "insufficient_quota"), "quota"),
    (refused(400, "billing_hard_limit_reached"), "quota"),
    (refused(400, "billing_not_active"), "quota"),
    (refused(429, "insufficient_quota"), "quota"),
    (refused(402), "quota"),
    (refused(403, "insufficient_quota"), "quota"),
    (refused(400, None, "Your credit balance is too low to access the API."), "quota"),
    (refused(429, None, "You exceeded your current quota, please check your plan"), "quota"),
    (refused(403, None, "Insufficient account balance"), "quota"),
    (refused(429, "organization_spend_limit_exceeded"), "quota"),
    (refused(429, "project_spend_limit_exceeded"), "quota"),
    (
        refused(
            400,
            None,
            "You have reached your specified API usage limits. You will regain access on 2026-04-01.",
        ),
        "quota",
    ),
    (refused(400, None, "You have reached your specified workspace API usage limits."), "quota"),
    (refused(429, None, "You have reached your API usage limits: your organization has crossed"), "quota"),
    (refused(429, None, "You've hit your monthly spend limit"), "quota"),
    (refused(429, None, "You have reached your rate limit"), "limited"),
    (refused(401), "credentials"),
    (refused(401, "invalid_api_key"), "credentials"),
    (refused(403), "credentials"),
    (refused(403, "unsupported_country_region_territory"), "credentials"),
    (refused(429), "limited"),
    (refused(429, "rate_limit_exceeded"), "limited"),
    (refused(429, "model_not_found"), "limited"),
    (refused(408), "refused"),
    (refused(409), "refused"),
    (refused(424), "refused"),
    (refused(466), "refused"),
    (refused(307), "refused"),
    (refused(500), "refused"),
    (refused(501), "refused"),
    (refused(500, "model_not_found"), "refused"),
    (refused(503, "server_is_overloaded"), "refused"),
    (refused(529), "refused"),
    (UpstreamBroken("nonsense"), "broken"),
    (CatalogueUnread("a plugin's own"), "broken"),
    (UpstreamUnreachable("silent"), "unreachable"),
    (HostUnknown("no such name"), "unreachable"),
    (ConnectionLost("hung up"), "unreachable"),
    (ProviderUnavailable("install it"), "unreachable"),
    (ModelQuotaSpent("used up"), "quota"),
    (ModelQuotaSpent("used up", status=403, code="their_word"), "quota"),
]


@pytest.mark.parametrize(
    ("error", "kind"), CLASSES, ids=[f"{error.status}-{error.code}-{kind}" for error, kind in CLASSES]
)
def test_an_error_has_one_class(error: MaestroError, kind: str) -> None:
    failure = classify(error)
    assert failure.kind is FailureClass(kind)
    assert failure.error is error


def test_what_concerns_the_account_or_the_host_concerns_all_its_models() -> None:
    wide = [refused(401), refused(402), refused(429, "insufficient_quota"), HostUnknown("?")]
    own = [
        ModelQuotaSpent("premium requests are used up"),
        refused(403),
        refused(404),
        refused(429),
        refused(500),
        UpstreamUnreachable("?"),
        UpstreamBroken("?"),
    ]
    assert all(classify(error).wide for error in wide)
    assert not any(classify(error).wide for error in own)


def test_only_what_may_be_over_at_once_is_worth_a_second_try() -> None:
    again = [refused(500), refused(502), refused(503), refused(504), refused(529), ConnectionLost("?")]
    never = [
        *(refused(status) for status in (307, 400, 401, 402, 403, 404, 408, 409, 413, 422, 429, 501)),
        UpstreamUnreachable("?"),
        HostUnknown("?"),
        UpstreamBroken("?"),
        ProviderUnavailable("?"),
    ]
    assert all(classify(error).passing for error in again)
    assert not any(classify(error).passing for error in never)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 40.0),
        ({"retry-after": "Wed, 21 Oct 2015 07:20:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Wed, 99 Oct 99999 07:28:00 GMT"}, None),
        ({}, None),
    ],
)
def test_when_to_come_back_is_read_from_seconds_and_dates(
    headers: dict[str, str], seconds: float | None
) -> None:
    error = refusal(402, b"", provider="up", headers=headers)
    assert classify(error, wall_clock=lambda: 1445412440.0).retry_after == seconds
