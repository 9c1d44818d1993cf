from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from maestro_daemon.errors import MaestroError, RequestInvalid
from maestro_daemon.protocol.exact_request import exact
from maestro_daemon.request import ResponseRequest
from maestro_daemon.server.validation import parse_request


def parse(body: Any) -> ResponseRequest:
    return parse_request(
        json.dumps(body).encode(), headers={"thread-id": "t"}, client="alice", request_id="r1"
    )


def refused(body: Any) -> RequestInvalid:
    with pytest.raises(RequestInvalid) as caught:
        parse(body)
    assert caught.value.status == 400
    return caught.value


def test_a_whole_request_is_carried_as_it_came() -> None:
    body = {
        "model": "coder",
        "input": [{"role": "user", "content": "hi"}],
        "stream": True,
        "temperature": "for the target to judge",
        "unknown_field": {"kept": None},
    }
    request = parse(body)
    assert request.body == body
    assert (request.model, request.asked_model, request.stream) == ("coder", "coder", True)
    assert (request.client, request.request_id, request.headers) == ("alice", "r1", {"thread-id": "t"})
    assert request.response_id.startswith("resp_")
    assert len(request.response_id) >= 29


@pytest.mark.parametrize(
    "field", ["stream", "store", "background", "previous_response_id", "tools", "conversation"]
)
def test_null_is_the_same_as_absent(field: str) -> None:
    request = parse({"model": "m", "input": "x", field: None})
    assert request.stream is False
    assert request.previous_response_id is None


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "invalid_json"),
        (b"{", "invalid_json"),
        (b"not json", "invalid_json"),
        (b'{"model": NaN}', "invalid_json"),
        (b"\xff\xfe\x00", "invalid_json"),
        (b"[" * 100_000, "invalid_json"),
        (b'{"model":"m","input":' + b"[" * 5000 + b"]" * 5000 + b"}", "invalid_json"),
        (b"[]", "invalid_type"),
        (b'"text"', "invalid_type"),
        (b"null", "invalid_type"),
        (b"12", "invalid_type"),
    ],
)
def test_what_is_no_json_object_is_refused(raw: bytes, code: str) -> None:
    with pytest.raises(MaestroError) as caught:
        parse_request(raw)
    assert (caught.value.status, caught.value.code) == (400, code)
    assert caught.value.type == "invalid_request_error"
    assert len(caught.value.message) < 300


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"model": None}, "model", "missing_required_parameter"),
        ({"model": 5}, "model", "invalid_type"),
        ({"model": ""}, "model", "invalid_value"),
        ({"model": " "}, "model", "invalid_value"),
        ({"model": "a\r\nx-evil: 1"}, "model", "invalid_value"),
        ({"model": "m" * 600}, "model", "string_above_max_length"),
        ({"stream": "true"}, "stream", "invalid_type"),
        ({"stream": 1}, "stream", "invalid_type"),
        ({"store": "no"}, "store", "invalid_type"),
        ({"tools": {}}, "tools", "invalid_type"),
        ({"tools": ["web_search"]}, "tools[0]", "invalid_type"),
        ({"tools": [{}, None]}, "tools[1]", "invalid_type"),
        ({"previous_response_id": 5}, "previous_response_id", "invalid_type"),
        ({"previous_response_id": ""}, "previous_response_id", "invalid_value"),
        ({"background": "yes"}, "background", "invalid_type"),
        ({"background": True}, "background", "unsupported_value"),
        ({"conversation": 5}, "conversation", "invalid_type"),
        ({"conversation": "conv_1"}, "conversation", "unsupported_parameter"),
        ({"conversation": {"id": "conv_1"}}, "conversation", "unsupported_parameter"),
        (
            {"conversation": "conv_1", "previous_response_id": "resp_1"},
            "conversation",
            "mutually_exclusive_parameters",
        ),
        ({"input": 5}, "input", "invalid_type"),
        ({"input": {"role": "user", "content": "x"}}, "input", "invalid_type"),
        ({"input": ["hi"]}, "input[0]", "invalid_type"),
        ({"input": [{"role": "user", "content": "x"}, None]}, "input[1]", "invalid_type"),
        ({"input": [{}]}, "input[0]", "invalid_value"),
        ({"input": [{"content": "x"}]}, "input[0]", "invalid_value"),
        ({"input": [{"type": None, "role": None, "text": "x"}]}, "input[0]", "invalid_value"),
        ({"input": [{"type": 5}]}, "input[0].type", "invalid_type"),
        (
            {"input": [{"type": "new_call"}, {"type": ["message"], "content": []}]},
            "input[1].type",
            "invalid_type",
        ),
        ({"input": [{"type": "new_call"}, {"type": {}, "output": []}]}, "input[1].type", "invalid_type"),
        ({"input": [{"type": ""}]}, "input[0].type", "invalid_value"),
        ({"input": [{"role": ["user"]}]}, "input[0].role", "invalid_type"),
        ({"input": [{"id": 7}]}, "input[0].id", "invalid_type"),
    ],
)
def test_a_fault_is_named_by_param_and_code(change: dict[str, Any], param: str, code: str) -> None:
    error = refused({"model": "m", "input": "x", **change})
    assert (error.param, error.code) == (param, code)


def test_what_is_not_served_yet_says_so() -> None:
    assert "not served yet" in refused({"model": "m", "background": True}).message
    assert "not served yet" in refused({"model": "m", "conversation": "c"}).message


@pytest.mark.parametrize(
    "item",
    [
        {"role": "user", "content": "x"},
        {"role": "a_role_to_come", "content": "x"},
        {"type": "item_of_the_future", "payload": {"a": [1]}},
        {"type": "compaction_trigger"},
        {"type": "reasoning", "summary": [], "content": None, "encrypted_content": None},
        {"id": "rs_1"},
        {"id": "rs_1", "type": None},
        {"type": "item_reference", "id": "rs_1"},
        {"type": "web_search_call", "id": "ws_1", "action": {"type": "other"}},
    ],
)
def test_items_of_every_kind_pass(item: dict[str, Any]) -> None:
    assert parse({"model": "m", "input": [item]}).body["input"] == [item]


def test_tools_of_every_type_pass() -> None:
    tools = [
        {"type": "web_search", "external_web_access": False},
        {"type": "namespace", "name": "n", "tools": []},
        {"type": "tool_of_the_future"},
        {"type": "custom", "name": "apply_patch", "format": {"type": "grammar"}},
        {},
    ]
    assert parse({"model": "m", "input": "x", "tools": tools}).body["tools"] == tools


def test_a_lone_surrogate_arrives_as_the_replacement_character() -> None:
    request = parse_request(b'{"model":"m","input":"a\\ud800b"}')
    assert request.body["input"] == "a\ufffdb"


def test_big_integers_stay_exact() -> None:
    request = parse_request(b'{"model":"m","input":"x","metadata":{"n":18446744073709551617}}')
    assert exact(request).body["metadata"]["n"] == 2**64 + 1
    assert request.text is not None
    assert b"18446744073709551617" in request.text


def test_no_message_echoes_what_was_sent_at_length() -> None:
    error = refused({"model": "m", "input": [{"type": ["s3cret" * 1000]}]})
    assert "s3cret" not in error.message


def tried(raw: bytes) -> tuple[ResponseRequest | None, MaestroError | None]:
    try:
        return parse_request(raw), None
    except MaestroError as error:
        return None, error


any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
field_names = st.sampled_from(
    [
        "model",
        "input",
        "stream",
        "store",
        "tools",
        "background",
        "conversation",
        "previous_response_id",
        "text",
    ]
)
items = st.dictionaries(st.sampled_from(["type", "role", "id", "content", "x"]), any_json, max_size=4)
bodies = st.one_of(
    any_json,
    st.dictionaries(field_names, any_json),
    st.fixed_dictionaries(
        {
            "model": st.text(min_size=1, max_size=8) | any_json,
            "input": st.lists(items | any_json, max_size=4) | any_json,
        },
        optional={"stream": st.booleans() | any_json, "tools": st.lists(items, max_size=3) | any_json},
    ),
)


@given(bodies)
@example({"model": "m", "input": [{"id": None}]})
def test_any_json_value_gives_a_request_or_a_400(body: Any) -> None:
    request, refusal = tried(json.dumps(body).encode())
    if request is not None:
        assert request.body == body
        assert request.model == body["model"]
    else:
        assert isinstance(refusal, RequestInvalid)
        assert refusal.status == 400
        assert refusal.code
        assert refusal.param or not isinstance(body, dict)
        assert len(refusal.message) < 500


@given(st.binary(max_size=200))
def test_any_bytes_give_a_request_or_a_400(raw: bytes) -> None:
    _, refusal = tried(raw)
    assert refusal is None or refusal.status == 400
