"""Tools, and the choice among them, as the API is asked with them."""

from __future__ import annotations

from typing import Any

import pytest

from message_requests import ALWAYS_ENTRY, SCHEMA, TOOL, told


@pytest.mark.parametrize(
    ("fields", "choice"),
    [
        ({}, None),
        ({"tool_choice": "auto"}, None),
        ({"tool_choice": "none"}, {"type": "none"}),
        ({"tool_choice": "required"}, {"type": "any"}),
        ({"tool_choice": {"type": "function", "name": "weather"}}, {"type": "tool", "name": "weather"}),
        ({"parallel_tool_calls": True}, None),
        ({"parallel_tool_calls": False}, {"type": "auto", "disable_parallel_tool_use": True}),
        (
            {"tool_choice": "required", "parallel_tool_calls": False},
            {"type": "any", "disable_parallel_tool_use": True},
        ),
        ({"tool_choice": "none", "parallel_tool_calls": False}, {"type": "none"}),
    ],
)
def test_the_choice_of_tools(fields: dict[str, Any], choice: Any) -> None:
    assert told(tools=[TOOL], **fields).body.get("tool_choice") == choice


def test_allowed_tools_narrow_the_tools() -> None:
    allowed = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "b"}]}
    body = told(tools=[TOOL, {**TOOL, "name": "b"}], tool_choice=allowed).body
    assert [tool["name"] for tool in body["tools"]] == ["b"]
    assert body["tool_choice"] == {"type": "any"}


def test_a_forced_tool_rules_thinking_out() -> None:
    body = told(tools=[TOOL], tool_choice="required", reasoning={"effort": "high"}).body
    assert body["thinking"] == {"type": "disabled"}
    assert "output_config" not in body


def test_a_model_that_always_thinks_is_asked_to_call_instead_of_forced() -> None:
    choice = {"type": "function", "name": "weather"}
    body = told(tools=[TOOL], tool_choice=choice, entry=ALWAYS_ENTRY).body
    assert "tool_choice" not in body
    assert "`weather`" in body["messages"][-1]["content"][-1]["text"]


def test_hosted_tools_are_dropped_by_name() -> None:
    call = told(tools=[{"type": "web_search"}, TOOL])
    assert [tool["name"] for tool in call.body["tools"]] == ["weather"]
    assert call.dropped == ["tools[0]: web_search"]


def test_a_schema_with_a_choice_at_its_top_becomes_one_object() -> None:
    parameters = {
        "type": "object",
        "anyOf": [{"properties": {"a": {"type": "string"}}}, {"properties": {"b": {"type": "string"}}}],
    }
    schema = told(tools=[{**TOOL, "parameters": parameters}]).body["tools"][0]["input_schema"]
    assert set(schema["properties"]) == {"a", "b"}
    assert "anyOf" in schema["description"]


def test_strict_tools_are_passed_on_where_that_is_wanted() -> None:
    tool = {**TOOL, "parameters": SCHEMA, "strict": True}
    assert "strict" not in told(tools=[tool]).body["tools"][0]
    strict = told(tools=[tool], settings={"strict_tools": True}).body["tools"][0]
    assert strict["strict"] is True
    assert strict["input_schema"]["properties"]["n"] == {"type": "integer", "description": '{"minimum": 3}'}
