from __future__ import annotations

import json
from typing import Any

import pytest
from aiohttp import web

from maestro_daemon.errors import (
    AttemptsExhausted,
    CatalogueUnread,
    MaestroError,
    ModelUnknown,
    NotAuthenticated,
    RequestInvalid,
    UpstreamRefused,
)
from maestro_daemon.server.error_answers import error_response


def envelope(response: web.Response) -> dict[str, Any]:
    assert isinstance(response.body, bytes)
    document: dict[str, Any] = json.loads(response.body)
    assert set(document) == {"error"}
    return dict(document["error"])


def test_the_envelope_is_openais_with_all_four_fields() -> None:
    response = error_response(RequestInvalid("No.", param="input[0]", code="invalid_type"))
    assert response.status == 400
    assert response.content_type == "application/json"
    assert envelope(response) == {
        "message": "No.",
        "type": "invalid_request_error",
        "param": "input[0]",
        "code": "invalid_type",
    }
    assert envelope(error_response(UpstreamRefused("No.", status=400))) == {
        "message": "No.",
        "type": "server_error",
        "param": None,
        "code": None,
    }


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ModelUnknown("x"), 404),
        (NotAuthenticated("x"), 401),
        (CatalogueUnread("x"), 503),
        (AttemptsExhausted("x"), 502),
        (UpstreamRefused("x", status=418), 418),
        (UpstreamRefused("x", status=302), 502),
        (UpstreamRefused("x", status=999), 502),
    ],
)
def test_the_status_is_the_errors_own_when_it_is_one(error: MaestroError, status: int) -> None:
    assert error_response(error).status == status


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (AttemptsExhausted("x", status=429), "1"),
        (AttemptsExhausted("x", status=429, headers={"retry-after": "7"}), "7"),
        (AttemptsExhausted("x", status=429, headers={"retry-after": "0"}), "1"),
        (AttemptsExhausted("x", status=429, headers={"retry-after": "0.2"}), "1"),
        (AttemptsExhausted("x", status=429, headers={"retry-after": "2.5"}), "3"),
        (AttemptsExhausted("x", status=429, headers={"retry-after-ms": "1500"}), "2"),
        (AttemptsExhausted("x", status=429, headers={"retry-after-ms": "junk"}), "1"),
        (UpstreamRefused("x", status=429, retry_after=12.1), "13"),
        (CatalogueUnread("x"), "1"),
        (CatalogueUnread("x", headers={"retry-after": "5"}), "5"),
    ],
)
def test_a_429_and_a_503_say_when_to_come_back(error: MaestroError, seconds: str) -> None:
    assert error_response(error).headers["retry-after"] == seconds


def test_a_date_as_retry_after_is_left_alone() -> None:
    date = "Wed, 21 Oct 2026 07:28:00 GMT"
    error = UpstreamRefused("x", status=429, headers={"retry-after": date})
    assert error_response(error).headers["retry-after"] == date


def test_only_headers_that_a_client_may_see_go_out() -> None:
    error = UpstreamRefused(
        "x",
        status=400,
        headers={
            "set-cookie": "a=b",
            "content-length": "5",
            "transfer-encoding": "chunked",
            "x-ratelimit-remaining-requests": "3",
            "openai-model": "other",
        },
    )
    headers = error_response(error, headers={"x-maestro-attempts": "2"}).headers
    assert headers["x-ratelimit-remaining-requests"] == "3"
    assert headers["x-maestro-attempts"] == "2"
    for name in ("set-cookie", "transfer-encoding", "openai-model"):
        assert name not in headers
