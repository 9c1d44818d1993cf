"""What upstreams say when they refuse, in every shape that is known, as the fields of the envelope."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_daemon.errors import CredentialsRefused, UpstreamBroken, UpstreamRefused
from maestro_daemon.protocol.error_body import (
    ErrorFields,
    body_fields,
    error_fields,
    refusal,
    retry_after_seconds,
    stream_failure,
)


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (
            {"error": {"message": "No.", "type": "t", "param": "p", "code": "c"}},
            ErrorFields("No.", "t", "p", "c"),
        ),
        ({"error": {"message": "No.", "code": 400}}, ErrorFields("No.", None, None, None, 400)),
        ({"error": {"message": "No.", "code": "429"}}, ErrorFields("No.", None, None, "429", 429)),
        ({"error": {"message": "No.", "code": 7}}, ErrorFields("No.", None, None, None)),
        ({"error": "No."}, ErrorFields("No.", None, None, None)),
        ({"error": "bad", "message": "No."}, ErrorFields("No.", None, None, None)),
        ({"message": "No.", "code": "c"}, ErrorFields("No.", None, None, "c")),
        ({"detail": "No."}, ErrorFields("No.", None, None, None)),
        ({"detail": {"message": "No.", "code": "c"}}, ErrorFields("No.", None, None, "c")),
        (
            {"detail": [{"loc": ["body", "input", 0], "msg": "field required"}, {"msg": "also"}]},
            ErrorFields("input.0: field required; also", None, None, None),
        ),
        ({"errors": [{"message": "No."}]}, ErrorFields("No.", None, None, None)),
        ([{"error": {"message": "No."}}], ErrorFields("No.", None, None, None)),
        ({"title": "No."}, ErrorFields("No.", None, None, None)),
        (
            {"type": "error", "error": {"type": "overloaded_error", "message": "Full."}},
            ErrorFields("Full.", "overloaded_error", None, "server_is_overloaded"),
        ),
        ({"type": "error", "message": "No.", "code": "c", "param": "p"}, ErrorFields("No.", None, "p", "c")),
        (
            {"error": {"code": 400, "message": "the request exceeds", "type": "exceed_context_size_error"}},
            ErrorFields(
                "the request exceeds", "exceed_context_size_error", None, "context_length_exceeded", 400
            ),
        ),
        ({}, ErrorFields("", None, None, None)),
        ([], ErrorFields("", None, None, None)),
        (None, ErrorFields("", None, None, None)),
        (7, ErrorFields("", None, None, None)),
        ("No.", ErrorFields("No.", None, None, None)),
        ({"error": {"message": {"nested": 1}}}, ErrorFields("", None, None, None)),
    ],
)
def test_every_shape_of_an_error_body_is_read(body: Any, fields: ErrorFields) -> None:
    assert error_fields(body) == fields
    assert body_fields(json.dumps(body).encode()) == fields


@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens.",
        "the request exceeds the available context size, try increasing it",
        "prompt is too long: 210000 tokens > 200000 maximum",
        "input length exceeds the context window",
        "The number of tokens to keep from the initial prompt is greater than the context length",
        "Context size has been exceeded: context length exceeded",
    ],
)
def test_overflow_is_known_by_its_words_where_no_code_is_said(message: str) -> None:
    assert error_fields({"error": {"message": message}}).code == "context_length_exceeded"


def test_a_code_that_is_said_counts_above_the_words() -> None:
    said = error_fields({"error": {"message": "maximum context length", "code": "rate_limit_exceeded"}})
    assert said.code == "rate_limit_exceeded"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"upstream connect error", "upstream connect error"),
        (b"  Forbidden\n", "Forbidden"),
        (b"", ""),
        (b"<html><h1>502 Bad Gateway</h1></html>", ""),
        (b"<!DOCTYPE html>", ""),
        (b"x" * 10_000, ""),
        (b"\xff\xfe\xfd", "\ufffd\ufffd\ufffd"),
    ],
)
def test_a_body_that_is_no_json_is_told_only_if_it_is_a_short_text(body: bytes, message: str) -> None:
    assert body_fields(body) == ErrorFields(message, None, None, None)


def test_a_message_is_cut_to_a_bound() -> None:
    assert len(error_fields({"error": {"message": "x" * 1_000_000}}).message) == 4000


@given(st.binary(max_size=60))
def test_no_body_is_too_strange(body: bytes) -> None:
    assert isinstance(body_fields(body), ErrorFields)
    assert refusal(500, body, provider="first").message


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["error", "errors", "detail", "message", "code", "type", "response", "loc", "msg"]
                ),
                inner,
                max_size=4,
            )
        ),
    )
)
def test_no_json_is_too_strange(body: Any) -> None:
    assert isinstance(error_fields(body), ErrorFields)
    assert stream_failure(body, provider="first").message


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "1e12"}, None),
        ({"retry-after-ms": "soon", "retry-after": "3"}, 3.0),
    ],
)
def test_how_long_to_wait_is_read_from_the_headers(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_seconds(headers) == seconds


def test_a_refusal_bears_what_the_upstream_said() -> None:
    body = json.dumps({"error": {"message": "Bad.", "type": "t", "param": "input", "code": "invalid_value"}})
    error = refusal(400, body.encode(), provider="first", headers={"retry-after": "3"})
    assert type(error) is UpstreamRefused
    assert (error.status, error.message, error.type, error.param, error.code, error.retry_after) == (
        400,
        "Bad.",
        "t",
        "input",
        "invalid_value",
        3.0,
    )


@pytest.mark.parametrize("status", [401, 403])
def test_401_and_403_are_the_credentials(status: int) -> None:
    assert isinstance(refusal(status, b"", provider="first"), CredentialsRefused)


def test_a_refusal_without_words_names_provider_and_status() -> None:
    assert refusal(502, b"<html>", provider="first").message == "first answered HTTP 502 without saying why."


@pytest.mark.parametrize(
    ("code", "kind", "status"),
    [
        ("rate_limit_exceeded", UpstreamRefused, 429),
        ("insufficient_quota", UpstreamRefused, 429),
        ("context_length_exceeded", UpstreamRefused, 400),
        ("invalid_prompt", UpstreamRefused, 400),
        ("server_is_overloaded", UpstreamRefused, 503),
        ("model_not_found", UpstreamRefused, 404),
        ("server_error", UpstreamBroken, 502),
        ("whatever", UpstreamBroken, 502),
        (None, UpstreamBroken, 502),
    ],
)
def test_an_error_within_a_stream_stands_for_a_status(code: str | None, kind: type, status: int) -> None:
    for payload in (
        {"type": "error", "code": code, "message": "No."},
        {"type": "error", "error": {"code": code, "message": "No."}},
        {"type": "response.failed", "response": {"error": {"code": code, "message": "No."}}},
    ):
        error = stream_failure(payload, provider="first")
        assert type(error) is kind
        assert (error.status, error.code or None) == (status, code or error.default_code)
        assert error.message == "No."


@pytest.mark.parametrize(
    ("error", "kind", "status", "code"),
    [
        ({"code": 429}, UpstreamRefused, 429, None),
        ({"code": "429"}, UpstreamRefused, 429, "429"),
        ({"code": 400, "type": "invalid_request_error"}, UpstreamRefused, 400, None),
        (
            {"code": 500, "type": "exceed_context_size_error"},
            UpstreamRefused,
            400,
            "context_length_exceeded",
        ),
        ({"code": "whatever", "status": 503}, UpstreamRefused, 503, "whatever"),
        ({"code": 401}, CredentialsRefused, 401, None),
        ({"code": 502}, UpstreamBroken, 502, "upstream_broken"),
        ({"code": 200}, UpstreamBroken, 502, "upstream_broken"),
        ({"code": True}, UpstreamBroken, 502, "upstream_broken"),
        ({"code": "²²²"}, UpstreamBroken, 502, "²²²"),
    ],
)
def test_a_number_within_an_error_is_its_status_where_no_code_says_one(
    error: dict[str, Any], kind: type, status: int, code: str | None
) -> None:
    told = {**error, "message": "No."}
    for payload in ({"error": told}, {"object": "error", **told}, {"response": {"error": told}}):
        failure = stream_failure(payload, provider="first")
        assert type(failure) is kind
        assert (failure.status, failure.code, failure.message) == (status, code, "No.")
