"""A conversation that is to be replaced by its summary: how a chat upstream is asked for it."""

from __future__ import annotations

from typing import Any

import pytest

from maestro_daemon.protocol.compaction import INSTRUCTION, own_summary, sealed_summary
from tests.support.chat_items import USER, call, output, refused, shape, text
from tests.support.chat_oracle import translate

TRIGGER = {"type": "compaction_trigger"}
TOOLS = [
    {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}},
    {"type": "web_search"},
]


@pytest.mark.parametrize("choice", ["required", {"type": "web_search"}, {"type": "function", "name": "gone"}])
def test_the_model_is_asked_for_a_summary_without_tools_or_format(choice: Any) -> None:
    translated = translate(
        text("developer", "Be brief."),
        USER,
        call("a"),
        output("a"),
        text("assistant", "Seen."),
        TRIGGER,
        tools=TOOLS,
        tool_choice=choice,
        parallel_tool_calls=True,
        text={"format": {"type": "json_object"}},
    )
    said = translated.body["messages"]
    assert shape(said) == ["system", "user", "assistant(a)", "tool:a", "assistant", "user"]
    assert said[-1] == {"role": "user", "content": INSTRUCTION}
    assert not translated.body.keys() & {"tools", "tool_choice", "parallel_tool_calls", "response_format"}
    assert translated.compacts


def test_a_call_of_a_namespace_keeps_its_name_although_no_tools_are_sent() -> None:
    tools = [{"type": "namespace", "name": "mcp", "tools": [TOOLS[0]]}]
    translated = translate(USER, call("a", namespace="mcp"), output("a"), TRIGGER, tools=tools)
    assert translated.body["messages"][1]["tool_calls"][0]["function"]["name"] == "mcp__look"


def test_a_conversation_without_a_trigger_is_not_compacted() -> None:
    assert not translate(USER, text("assistant", "Seen."), USER).compacts


def test_a_summary_is_summed_up_again_with_what_followed_it() -> None:
    before = {"type": "compaction", "encrypted_content": sealed_summary("They said hi.")}
    said = translate(USER, before, {"role": "user", "content": "More."}, TRIGGER).body["messages"]
    assert [message["content"] for message in said] == [
        "Summary of the conversation up to here:\n\nThey said hi.",
        "More.",
        INSTRUCTION,
    ]


@pytest.mark.parametrize(
    ("items", "param"),
    [((USER, TRIGGER, USER), "input[1]"), ((TRIGGER,), "input"), ((TRIGGER, TRIGGER), "input[0]")],
)
def test_a_trigger_that_has_nothing_to_compact_is_refused(items: tuple[Any, ...], param: str) -> None:
    error = refused(*items)
    assert (error.status, error.param) == (400, param)


@pytest.mark.parametrize("blob", [None, 3, "gAAA", sealed_summary("x") + "y"])
def test_a_summary_that_is_not_ours_says_nothing(blob: Any) -> None:
    assert own_summary({"type": "compaction", "encrypted_content": blob}) == ""
