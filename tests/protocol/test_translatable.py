from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_daemon.errors import RequestInvalid
from maestro_daemon.protocol.translatable import check_translated
from maestro_daemon.request import ResponseRequest


def check(body: dict[str, Any]) -> None:
    check_translated(ResponseRequest(body=body, model="m", asked_model="m"))


def refused(change: dict[str, Any]) -> tuple[str | None, str | None]:
    with pytest.raises(RequestInvalid) as caught:
        check({"model": "m", "input": "x", **change})
    assert caught.value.status == 400
    return caught.value.param, caught.value.code


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"temperature": "hot"}, "temperature", "invalid_type"),
        ({"temperature": True}, "temperature", "invalid_type"),
        ({"temperature": 2.1}, "temperature", "decimal_above_max_value"),
        ({"temperature": -0.1}, "temperature", "decimal_below_min_value"),
        ({"temperature": float("inf")}, "temperature", "decimal_above_max_value"),
        ({"top_p": 1.5}, "top_p", "decimal_above_max_value"),
        ({"top_logprobs": 21}, "top_logprobs", "integer_above_max_value"),
        ({"top_logprobs": 1.5}, "top_logprobs", "invalid_type"),
        ({"max_output_tokens": 15}, "max_output_tokens", "integer_below_min_value"),
        ({"max_output_tokens": 0}, "max_output_tokens", "integer_below_min_value"),
        ({"max_output_tokens": "many"}, "max_output_tokens", "invalid_type"),
        ({"max_tool_calls": 0}, "max_tool_calls", "integer_below_min_value"),
        ({"parallel_tool_calls": "no"}, "parallel_tool_calls", "invalid_type"),
        ({"truncation": "some"}, "truncation", "invalid_value"),
        ({"instructions": ["x"]}, "instructions", "invalid_type"),
        ({"include": "x"}, "include", "invalid_type"),
        ({"include": [5]}, "include[0]", "invalid_type"),
        ({"metadata": []}, "metadata", "invalid_type"),
        ({"metadata": {"k": 5}}, "metadata.k", "invalid_type"),
        ({"metadata": {"k": "v" * 513}}, "metadata.k", "string_above_max_length"),
        ({"metadata": {"k" * 65: "v"}}, "metadata", "invalid_value"),
        ({"metadata": {str(n): "v" for n in range(17)}}, "metadata", "object_above_max_properties"),
        ({"text": "json"}, "text", "invalid_type"),
        ({"text": {"format": {}}}, "text.format.type", "missing_required_parameter"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type", "invalid_value"),
        (
            {"text": {"format": {"type": "json_schema", "name": "n"}}},
            "text.format.schema",
            "missing_required_parameter",
        ),
        (
            {"text": {"format": {"type": "json_schema", "name": "a b", "schema": {}}}},
            "text.format.name",
            "invalid_value",
        ),
        ({"reasoning": "high"}, "reasoning", "invalid_type"),
        ({"reasoning": {"effort": 5}}, "reasoning.effort", "invalid_type"),
        ({"tools": [{}]}, "tools[0].type", "missing_required_parameter"),
        ({"tools": [{"type": "function"}]}, "tools[0].name", "missing_required_parameter"),
        (
            {"tools": [{"type": "function", "name": "f", "parameters": "x"}]},
            "tools[0].parameters",
            "invalid_type",
        ),
        (
            {"tools": [{"type": "namespace", "name": "n", "tools": [{"type": "function"}]}]},
            "tools[0].tools[0].name",
            "missing_required_parameter",
        ),
        ({"tool_choice": "maybe"}, "tool_choice", "invalid_value"),
        ({"tool_choice": 5}, "tool_choice", "invalid_type"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.name", "missing_required_parameter"),
        ({"prompt": {"id": "p"}}, "prompt", "unsupported_parameter"),
        ({"input": None}, "input", "missing_required_parameter"),
        ({"input": []}, "input", "missing_required_parameter"),
        ({"input": [{"type": "message", "content": "x"}]}, "input[0].role", "missing_required_parameter"),
        ({"input": [{"role": "wizard", "content": "x"}]}, "input[0].role", "invalid_value"),
        ({"input": [{"role": "user", "content": 5}]}, "input[0].content", "invalid_type"),
        ({"input": [{"role": "user", "content": ["x"]}]}, "input[0].content[0]", "invalid_type"),
        (
            {"input": [{"role": "user", "content": [{"text": "x"}]}]},
            "input[0].content[0].type",
            "missing_required_parameter",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_text"}]}]},
            "input[0].content[0].text",
            "missing_required_parameter",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": 5}]}]},
            "input[0].content[0].image_url",
            "invalid_type",
        ),
        (
            {"input": [{"type": "function_call", "arguments": "{}"}]},
            "input[0].name",
            "missing_required_parameter",
        ),
        (
            {"input": [{"type": "function_call", "name": "f", "arguments": {}}]},
            "input[0].arguments",
            "invalid_type",
        ),
        (
            {"input": [{"type": "function_call_output", "call_id": "c"}]},
            "input[0].output",
            "missing_required_parameter",
        ),
        (
            {"input": [{"type": "local_shell_call", "call_id": "c", "action": "ls"}]},
            "input[0].action",
            "invalid_type",
        ),
        (
            {"input": [{"type": "local_shell_call", "call_id": "c", "action": {"command": ["ls", 5]}}]},
            "input[0].action.command[1]",
            "invalid_type",
        ),
        (
            {"input": [{"type": "shell_call", "call_id": "c", "action": {"commands": "ls"}}]},
            "input[0].action.commands",
            "invalid_type",
        ),
        (
            {"input": [{"type": "apply_patch_call", "call_id": "c", "operation": {"path": 5}}]},
            "input[0].operation.path",
            "invalid_type",
        ),
        (
            {"input": [{"type": "apply_patch_call_output", "call_id": "c", "status": 5}]},
            "input[0].status",
            "invalid_type",
        ),
        (
            {"tool_choice": {"type": "allowed_tools", "tools": [{"type": 5}]}},
            "tool_choice.tools[0].type",
            "invalid_type",
        ),
        (
            {"tool_choice": {"type": "allowed_tools", "tools": [{"name": "f"}]}},
            "tool_choice.tools[0].type",
            "missing_required_parameter",
        ),
    ],
)
def test_a_fault_is_named_by_param_and_code(change: dict[str, Any], param: str, code: str) -> None:
    assert refused(change) == (param, code)


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": 0, "top_p": 1, "top_logprobs": 20, "max_output_tokens": 16, "max_tool_calls": 1},
        {"temperature": None, "text": None, "tools": None, "metadata": None, "reasoning": None},
        {"input": "", "instructions": None},
        {"input": None, "instructions": "Say hello."},
        {"reasoning": {"effort": "an_effort_to_come", "context": "all_turns"}},
        {"text": {"format": {"type": "json_schema", "name": "n", "schema": {}, "strict": None}}},
        {"tools": [{"type": "tool_of_the_future", "name": 5}, {"type": "web_search"}]},
        {"tools": [{"type": "function", "name": "f", "description": None, "parameters": None}]},
        {"tool_choice": {"type": "allowed_tools", "tools": [{"type": "function", "name": "f"}]}},
        {"tool_choice": {"type": "choice_of_the_future"}},
        {"tool_choice": {"type": "allowed_tools", "tools": [{"type": "mcp", "server_label": "s"}]}},
        {"input": [{"type": "local_shell_call", "call_id": "c", "action": {"command": ["ls"], "env": {}}}]},
        {"input": [{"type": "shell_call", "call_id": "c"}, {"type": "apply_patch_call", "call_id": "c"}]},
        {"input": [{"type": "item_of_the_future", "content": 5}]},
        {"input": [{"role": "user", "content": [{"type": "part_of_the_future", "text": 5}]}]},
        {"input": [{"id": "rs_1"}, {"role": "assistant", "content": "plain"}]},
        {"input": [{"type": "reasoning", "summary": [], "content": None, "encrypted_content": None}]},
        {
            "input": [
                {
                    "type": "function_call_output",
                    "call_id": None,
                    "output": [{"type": "input_text", "text": ""}],
                }
            ]
        },
        {"client_metadata": {"a": 1}, "unknown": [None]},
    ],
)
def test_what_can_be_translated_passes(change: dict[str, Any]) -> None:
    check({"model": "m", "input": "x", **change})


any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "name", "tools", "text", "content", "role", "format", "schema", "output", "url"]
            ),
            inner
            | st.sampled_from(
                ["function", "custom", "namespace", "message", "input_text", "json_schema", "user"]
            ),
            max_size=4,
        )
    ),
    max_leaves=12,
)
items = st.lists(
    st.dictionaries(
        st.sampled_from(["type", "role", "content", "name", "arguments", "output", "tools", "summary", "id"]),
        any_json,
    ).filter(lambda item: isinstance(item.get("type", ""), str) or item.get("type") is None),
    max_size=3,
)


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "temperature",
                "top_logprobs",
                "tools",
                "tool_choice",
                "text",
                "metadata",
                "reasoning",
                "include",
                "prompt",
            ]
        ),
        any_json,
    ),
    items,
)
def test_any_values_pass_or_are_a_400_with_a_param(fields: dict[str, Any], given_items: list[Any]) -> None:
    refusal: RequestInvalid | None = None
    try:
        check({"model": "m", "input": given_items, **fields})
    except RequestInvalid as error:
        refusal = error
    assert refusal is None or (refusal.status == 400 and refusal.param and refusal.code)
