"""Input items → messages. Named after the rows of the mapping."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from maestro_daemon.protocol.sealed_reasoning import seal
from tests.support.chat_items import ELSEWHERE, IMAGE, THOUGHT, USER, call, output, reasoning, shape, text
from tests.support.chat_oracle import LOCAL, OPENAI, messages, translate


def test_instructions_are_the_first_system_message() -> None:
    assert messages(USER, instructions="Be brief.") == [{"role": "system", "content": "Be brief."}, USER]


def test_instructions_are_a_developer_message_where_the_server_knows_the_role() -> None:
    said = messages(USER, instructions="Be brief.", dialect=OPENAI)
    assert said[0] == {"role": "developer", "content": "Be brief."}


def test_developer_role_is_system_for_servers_that_are_not_openais() -> None:
    assert messages(text("developer", "Be brief."), USER)[0] == {"role": "system", "content": "Be brief."}
    assert messages(text("developer", "Be brief."), USER, dialect=ELSEWHERE)[0]["role"] == "system"
    assert messages(text("developer", "Be brief."), USER, dialect=OPENAI)[0]["role"] == "developer"
    assert messages(text("system", "Be brief."), USER, dialect=OPENAI)[0]["role"] == "system"


def test_all_system_and_developer_messages_join_into_one_that_leads() -> None:
    said = messages(
        text("developer", "one", "more"),
        text("system", "two"),
        USER,
        text("developer", "three"),
        instructions="zero",
    )
    assert said == [{"role": "system", "content": "zero\n\none\nmore\n\ntwo\n\nthree"}, USER]


def test_system_messages_keep_their_places_for_servers_that_take_several() -> None:
    said = messages(
        text("developer", "one"), USER, text("developer", "two"), instructions="zero", dialect=OPENAI
    )
    assert [(each["role"], each["content"]) for each in said] == [
        ("developer", "zero"),
        ("developer", "one"),
        ("user", "hi"),
        ("developer", "two"),
    ]


def test_an_image_in_a_developer_message_becomes_a_user_message() -> None:
    item = {
        "role": "developer",
        "content": [{"type": "input_image", "image_url": IMAGE}, {"type": "input_text", "text": "t"}],
    }
    assert shape(messages(item, USER)) == ["system", "user", "user"]


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning_is_a_field_of_the_next_assistant_message(field: str) -> None:
    said = messages(USER, THOUGHT, call("a"), output("a"), dialect=replace(LOCAL, reasoning_field=field))
    assert shape(said) == ["user", "assistant(a)", "tool:a"]
    assert said[1][field] == "Hm."


def test_reasoning_content_comes_first_else_the_summary() -> None:
    summary = [{"type": "summary_text", "text": "Short"}, {"type": "summary_text", "text": "and sweet"}]
    both = {**THOUGHT, "summary": summary}
    assert messages(USER, both, text("assistant", "Yes."), USER)[1]["reasoning_content"] == "Hm."
    only = reasoning(summary=summary, content=None)
    assert (
        messages(USER, only, text("assistant", "Yes."), USER)[1]["reasoning_content"] == "Short\n\nand sweet"
    )


def test_reasoning_between_calls_joins_their_one_message() -> None:
    said = messages(USER, THOUGHT, call("a"), THOUGHT, call("b"), output("a"), output("b"))
    assert shape(said) == ["user", "assistant(a,b)", "tool:a", "tool:b"]
    assert said[1]["reasoning_content"] == "Hm.\n\nHm."


def test_reasoning_after_an_output_belongs_to_the_next_turn() -> None:
    said = messages(USER, call("a"), output("a"), THOUGHT, call("b"), output("b"))
    assert "reasoning_content" not in said[1]
    assert said[3]["reasoning_content"] == "Hm."


def test_reasoning_stands_alone_when_a_user_message_follows() -> None:
    said = messages(USER, THOUGHT, USER)
    assert said[1] == {"role": "assistant", "content": "", "reasoning_content": "Hm."}


def test_reasoning_at_the_very_end_is_dropped_by_name() -> None:
    translated = translate(USER, THOUGHT)
    assert translated.body["messages"] == [USER]
    assert translated.dropped == ("input[1]: reasoning",)


def test_reasoning_is_left_out_where_the_server_has_no_field_for_it() -> None:
    translated = translate(USER, THOUGHT, text("assistant", "Yes."), USER, dialect=OPENAI)
    assert translated.body["messages"][1] == {"role": "assistant", "content": "Yes."}
    assert translated.dropped == ("input[1]: reasoning",)


def test_foreign_reasoning_is_skipped_and_its_visible_text_used() -> None:
    blob = reasoning(encrypted_content="gAAAAABo", content=None)
    translated = translate(USER, blob, text("assistant", "Yes."), USER)
    assert translated.body["messages"][1] == {"role": "assistant", "content": "Yes."}
    assert translated.dropped == ("input[1]: reasoning",)
    said = messages(USER, {**THOUGHT, "encrypted_content": "gAAAAABo"}, text("assistant", "Yes."), USER)
    assert said[1]["reasoning_content"] == "Hm."


def test_empty_reasoning_loses_nothing_and_is_not_named() -> None:
    translated = translate(
        USER, reasoning(content=None, encrypted_content=None), text("assistant", "Yes."), USER
    )
    assert translated.dropped == ()


def test_our_own_round_trip_of_reasoning_gives_the_upstream_its_own_words_back() -> None:
    blob = seal("The long thought.", provider="home", opaque="sig==")
    item = reasoning(summary=[{"type": "summary_text", "text": "Short"}], encrypted_content=blob)
    dialect = replace(LOCAL, opaque_field="reasoning_opaque")
    said = messages(USER, item, call("a"), output("a"), dialect=dialect)
    assert said[1]["reasoning_content"] == "The long thought."
    assert said[1]["reasoning_opaque"] == "sig=="


def test_our_own_seal_for_another_provider_gives_the_visible_text() -> None:
    blob = seal("The long thought.", provider="copilot", opaque="sig==")
    item = reasoning(summary=[{"type": "summary_text", "text": "Short"}], encrypted_content=blob)
    dialect = replace(LOCAL, opaque_field="reasoning_opaque")
    said = messages(USER, item, call("a"), output("a"), dialect=dialect)
    assert said[1]["reasoning_content"] == "Short"
    assert "reasoning_opaque" not in said[1]


def test_custom_tool_call_is_a_function_call_with_one_input() -> None:
    said = messages(
        {
            "type": "custom_tool_call",
            "id": "ctc_1",
            "call_id": "a",
            "name": "apply_patch",
            "input": "*** Begin\n",
        },
        {"type": "custom_tool_call_output", "id": "ctco_1", "call_id": "a", "output": "Done!"},
    )
    assert json.loads(said[0]["tool_calls"][0]["function"]["arguments"]) == {"input": "*** Begin\n"}
    assert said[1]["content"] == "Done!"


def test_custom_tool_call_is_itself_where_the_server_knows_it() -> None:
    said = messages(
        {"type": "custom_tool_call", "call_id": "a", "name": "apply_patch", "input": "*** Begin\n"},
        {"type": "custom_tool_call_output", "call_id": "a", "output": [{"type": "input_text", "text": "ok"}]},
        dialect=OPENAI,
    )
    assert said[0]["tool_calls"] == [
        {"id": "a", "type": "custom", "custom": {"name": "apply_patch", "input": "*** Begin\n"}}
    ]
    assert said[1]["content"] == "ok"


def search_output(**fields: Any) -> dict[str, Any]:
    found = {
        "type": "namespace",
        "name": "mcp__calc",
        "description": "Sums.",
        "tools": [{"type": "function", "name": "add", "defer_loading": True}],
    }
    return {
        "type": "tool_search_output",
        "status": "completed",
        "execution": "client",
        "tools": [found],
        **fields,
    }


def test_tool_search_call_is_a_function_call_and_its_output_a_tool_message_whose_tools_count() -> None:
    translated = translate(
        {"type": "tool_search_call", "call_id": "a", "execution": "client", "arguments": {"query": "sum"}},
        search_output(call_id="a"),
        call("b", "add", namespace="mcp__calc"),
        output("b"),
    )
    said = translated.body["messages"]
    assert said[0]["tool_calls"][0]["function"] == {"name": "tool_search", "arguments": '{"query":"sum"}'}
    assert "mcp__calc__add" in said[1]["content"]
    assert said[2]["tool_calls"][0]["function"]["name"] == "mcp__calc__add"
    assert [tool["function"]["name"] for tool in translated.body["tools"]] == ["mcp__calc__add"]


def test_tool_search_without_ids_is_paired_and_without_a_call_only_its_tools_count() -> None:
    said = messages(
        {"type": "tool_search_call", "arguments": {}, "call_id": None}, search_output(call_id=None)
    )
    assert shape(said) == ["assistant(call_0)", "tool:call_0"]
    alone = translate(USER, search_output(call_id=None))
    assert alone.body["messages"] == [USER]
    assert alone.body["tools"][0]["function"]["name"] == "mcp__calc__add"
    assert messages(USER, search_output(call_id="nowhere")) == [USER]
