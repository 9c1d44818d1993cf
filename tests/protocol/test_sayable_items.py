"""Items that have no form in chat. Named after the rows of the mapping."""

from __future__ import annotations

from typing import Any

import pytest

from maestro_daemon.protocol.sealed_reasoning import COMPACTION, seal
from tests.support.chat_items import USER, call, output, refused, shape, text
from tests.support.chat_oracle import messages, translate

HOSTED = [
    "web_search_call",
    "file_search_call",
    "code_interpreter_call",
    "image_generation_call",
    "computer_call",
    "mcp_list_tools",
    "mcp_call",
    "mcp_approval_request",
    "mcp_approval_response",
    "program",
    "program_output",
]


@pytest.mark.parametrize("kind", HOSTED)
def test_hosted_calls_are_dropped_by_name(kind: str) -> None:
    translated = translate(USER, {"type": kind, "id": "x_1", "call_id": "x"}, text("assistant", "Yes."), USER)
    assert shape(translated.body["messages"]) == ["user", "assistant", "user"]
    assert translated.dropped == (f"input[1]: {kind}",)


def test_the_output_of_a_dropped_call_is_dropped_with_it() -> None:
    translated = translate(USER, {"type": "new_kind_of_call", "call_id": "x"}, output("x"))
    assert translated.body["messages"] == [USER]
    assert set(translated.dropped) == {
        "input[1]: new_kind_of_call",
        "input[2]: output of a call that is left out",
    }


@pytest.mark.parametrize(
    "item", [{"type": "item_reference", "id": "rs_1"}, {"id": "rs_1"}, {"type": None, "id": "rs_1"}]
)
def test_item_reference_that_is_left_is_dropped_by_name(item: dict[str, Any]) -> None:
    translated = translate(USER, item)
    assert translated.body["messages"] == [USER]
    assert translated.dropped == ("input[1]: item_reference",)


def test_additional_tools_and_configuration_updates_are_no_messages() -> None:
    translated = translate(
        {"type": "additional_tools", "role": "developer", "tools": []},
        {"type": "configuration_update", "reasoning": {"effort": "low"}},
        USER,
    )
    assert translated.body["messages"] == [USER]
    assert translated.dropped == ()


def test_compaction_of_ours_is_the_summary_and_only_what_follows_the_newest_counts() -> None:
    translated = translate(
        text("developer", "Be brief."),
        {"role": "user", "content": "old"},
        {"type": "compaction", "encrypted_content": seal("older", provider=COMPACTION)},
        call("a"),
        {"type": "compaction", "encrypted_content": seal("They said hi.", provider=COMPACTION)},
        output("a"),
        USER,
    )
    assert translated.body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Summary of the conversation up to here:\n\nThey said hi."},
        USER,
    ]


@pytest.mark.parametrize("blob", ["gAAAAAB", None, seal("thought", provider="home")])
def test_compaction_of_anybody_else_is_dropped_by_name(blob: str | None) -> None:
    translated = translate(USER, {"type": "compaction", "encrypted_content": blob}, USER)
    assert translated.body["messages"] == [USER, USER]
    assert translated.dropped == ("input[1]: compaction",)


def test_an_unknown_item_type_is_dropped_by_name() -> None:
    translated = translate(USER, {"type": "telepathy", "content": [1, 2]})
    assert translated.body["messages"] == [USER]
    assert translated.dropped == ("input[1]: telepathy",)


@pytest.mark.parametrize(
    ("item", "param"),
    [
        ({}, "input[0].type"),
        ({"type": 3}, "input[0].type"),
        ({"type": "message", "content": "hi"}, "input[0].role"),
        ({"role": "tool", "content": "hi"}, "input[0].role"),
        ({"role": ["user"], "content": "hi"}, "input[0].role"),
        ({"role": "user"}, "input[0].content"),
        ({"role": "user", "content": 3}, "input[0].content"),
        ({"role": "user", "content": [3]}, "input[0].content[0]"),
        ({"role": "user", "content": [{"type": "input_text"}]}, "input[0].content[0].text"),
        ({"role": "user", "content": [{"type": "input_image"}]}, "input[0].content[0].image_url"),
        ({"role": "user", "content": [{"type": "input_audio"}]}, "input[0].content[0].input_audio"),
        ({"type": "function_call", "call_id": 3, "name": "x"}, "input[0].call_id"),
        ("text", "input[0]"),
    ],
)
def test_a_malformed_item_is_refused_by_its_path(item: Any, param: str) -> None:
    assert refused(item).param == param


def test_an_empty_assistant_message_is_left_out() -> None:
    assert messages(
        USER, {"role": "assistant", "content": None}, {"role": "assistant", "content": []}, USER
    ) == [USER, USER]


def test_consecutive_assistant_messages_are_one() -> None:
    said = messages(USER, text("assistant", "Looking."), text("assistant", "Found."), USER)
    assert said[1] == {"role": "assistant", "content": "Looking.\n\nFound."}
