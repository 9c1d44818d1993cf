"""What is asked of the API, by what the client asked for; each request is held against the API's rules."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from maestro_anthropic.facts import NOTHING_KNOWN, ModelFacts, facts_of
from maestro_anthropic.message_request import MessageCall, message_call
from maestro_daemon.plugin import RequestInvalid, ResponseRequest, retell
from maestro_daemon.protocol.sealed_reasoning import seal
from messages_api import model_entry, thinking_of
from request_rules import check_request
from scripted_answers import signature_of
from serving_claude import options

ENTRY = model_entry("claude-test")
ADAPTIVE = facts_of(ENTRY)
BUDGET_ENTRY = model_entry(
    "claude-test", **thinking_of(adaptive=False, enabled=True, disabled=True), effort={"supported": False}
)
ALWAYS_ENTRY = model_entry("claude-test", **thinking_of(adaptive=True, enabled=False, disabled=False))
PLAIN_ENTRY = model_entry("claude-test", **thinking_of(adaptive=False, enabled=False, disabled=True))
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n rest").decode()
PDF = base64.b64encode(b"%PDF-1.7 rest").decode()
TOOL = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}}
CALL = {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "call_1", "output": "sunny"}
SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer", "minimum": 3}},
    "required": ["n"],
    "additionalProperties": False,
}
FORMAT = {"format": {"type": "json_schema", "name": "answer", "schema": SCHEMA, "strict": True}}


def user(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


def sealed(*blocks: Any) -> dict[str, Any]:
    """A reasoning item as a client sends it back; a block is a text of thinking."""
    import json

    opaque = json.dumps([[len(each), signature_of(each)] for each in blocks])
    return {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [],
        "content": None,
        "encrypted_content": seal("".join(blocks), provider="claude", opaque=opaque),
    }


def told(
    *items: Any,
    facts: ModelFacts | None = None,
    entry: dict[str, Any] = ENTRY,
    settings: dict[str, Any] | None = None,
    thoughts: bool = True,
    **fields: Any,
) -> MessageCall:
    """The translation, checked by the rules of the API for the model of `entry`."""
    body = {"model": "claude-test", "input": list(items) or "Hi", **fields}
    request = ResponseRequest(body=body, model="claude-test", asked_model="claude-test")
    configured = options(**(settings or {}))
    call = message_call(
        retell(request, provider="claude"),
        facts_of(entry) if facts is None else facts,
        configured,
        thoughts=thoughts,
    )
    check_request(call.body, version=configured.version, facts=entry, signature_of=signature_of)
    return call


def messages(*items: Any, **more: Any) -> list[Any]:
    """The messages without their cache breakpoints."""
    return list(told(*items, settings={"cache": "off"}, **more).body["messages"])


# Messages


def test_a_string_is_a_user_message() -> None:
    assert told(settings={"cache": "off"}).body == {
        "model": "claude-test",
        "max_tokens": 32_000,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
        "stream": True,
    }


def test_what_leads_is_the_system_prompt_and_what_comes_later_stays_in_its_place() -> None:
    body = told(
        {"role": "developer", "content": "Be brief."},
        {"role": "system", "content": [{"type": "input_text", "text": "Be kind."}]},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "developer", "content": "Be loud."},
        {"role": "user", "content": "Bye"},
        instructions="Be good.",
        settings={"cache": "off"},
    ).body
    assert [block["text"] for block in body["system"]] == ["Be good.", "Be brief.", "Be kind."]
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]
    assert [block["text"] for block in body["messages"][2]["content"]] == [
        "<system_message>\nBe loud.\n</system_message>",
        "Bye",
    ]


@pytest.mark.parametrize("said", ["", " \n"])
def test_blank_text_is_left_out(said: str) -> None:
    assert messages(user(), {"role": "assistant", "content": said}, {"role": "user", "content": "Hi"}) == [
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]}
    ]


@pytest.mark.parametrize(
    "items", [[{"role": "user", "content": " "}], [{"role": "assistant", "content": "I"}]]
)
def test_the_user_has_the_last_word(items: list[Any]) -> None:
    assert messages(*items)[-1] == {"role": "user", "content": [{"type": "text", "text": "[Go on.]"}]}


def test_instructions_alone_are_a_request() -> None:
    body = told(input=None, instructions="Greet.").body
    assert body["messages"][0]["role"] == "user"


def test_outputs_follow_their_calls_whatever_stood_between() -> None:
    found = messages(
        user({"type": "input_text", "text": "?"}),
        {**CALL, "call_id": "a"},
        {"role": "assistant", "content": "And"},
        {**CALL, "call_id": "b"},
        {"role": "user", "content": "Hurry"},
        {**OUTPUT, "call_id": "b", "output": "2"},
        {**OUTPUT, "call_id": "a", "output": "1"},
        tools=[TOOL],
    )
    assert [block["type"] for block in found[1]["content"]] == ["tool_use", "text", "tool_use"]
    assert [(block.get("tool_use_id"), block["type"]) for block in found[2]["content"]] == [
        ("a", "tool_result"),
        ("b", "tool_result"),
        (None, "text"),
    ]


def test_what_the_assistant_does_after_an_output_is_another_turn() -> None:
    found = messages(CALL, OUTPUT, {**CALL, "call_id": "b"}, {**OUTPUT, "call_id": "b"}, tools=[TOOL])
    assert [message["role"] for message in found] == ["assistant", "user", "assistant", "user"]


def test_a_call_that_was_never_answered_has_an_error_for_output() -> None:
    result = messages(CALL, {"role": "user", "content": "Stop"}, tools=[TOOL])[1]["content"][0]
    assert result["is_error"] is True
    assert "not run" in result["content"]


def test_an_output_without_its_call_is_refused() -> None:
    with pytest.raises(RequestInvalid, match="No tool call found"):
        told(OUTPUT)


def test_ids_of_calls_are_legal_and_unique() -> None:
    odd = "call:1/é"
    found = messages(
        {**CALL, "call_id": odd},
        {**OUTPUT, "call_id": odd},
        {**CALL, "call_id": "call_1__"},
        {**OUTPUT, "call_id": "call_1__"},
        CALL,
        OUTPUT,
        CALL,
        OUTPUT,
        tools=[TOOL],
    )
    assert len(found) == 8


def test_arguments_that_are_no_object_stand_in_one() -> None:
    items = [
        {**CALL, "arguments": "[1]"},
        OUTPUT,
        {**CALL, "call_id": "b", "arguments": ""},
        {**OUTPUT, "call_id": "b"},
    ]
    found = messages(*items, tools=[TOOL])
    assert found[0]["content"][0]["input"] == {"arguments": "[1]"}
    assert found[2]["content"][0]["input"] == {}


def test_calls_of_a_conversation_without_tools_declare_them() -> None:
    body = told(CALL, OUTPUT).body
    assert [tool["name"] for tool in body["tools"]] == ["weather"]
    assert body["tool_choice"] == {"type": "none"}


# Parts


def test_images_go_as_they_are_or_by_address() -> None:
    found = messages(
        user(
            {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"},
            {"type": "input_image", "image_url": "https://example.com/a.png", "detail": "high"},
            {"type": "input_image", "image_url": f"data:image/x-unknown;base64,{PNG}"},
        )
    )[0]["content"]
    inline = {"type": "base64", "media_type": "image/png", "data": PNG}
    assert [block["source"] for block in found] == [
        inline,
        {"type": "url", "url": "https://example.com/a.png"},
        inline,
    ]


def test_documents_go_as_pdf_as_text_or_by_address() -> None:
    text = base64.b64encode("Zürich".encode()).decode()
    found = messages(
        user(
            {"type": "input_file", "filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"},
            {"type": "input_file", "file_data": PDF},
            {"type": "input_file", "filename": "a.txt", "file_data": text},
            {"type": "input_file", "file_url": "https://example.com/a.pdf"},
        )
    )[0]["content"]
    assert found[0]["title"] == "a.pdf"
    assert [block["source"]["type"] for block in found] == ["base64", "base64", "text", "url"]
    assert found[2]["source"]["data"] == "Zürich"


@pytest.mark.parametrize(
    "part",
    [
        {"type": "input_image", "file_id": "file_1"},
        {"type": "input_file", "file_id": "file_1"},
        {"type": "input_image", "image_url": "data:image/tiff;base64,SUkqAA=="},
        {"type": "input_image", "image_url": "ftp://example.com/a.png"},
        {"type": "input_file", "file_data": base64.b64encode(b"PK\x03\x04\x00\xff").decode()},
        {"type": "input_file", "file_data": "no base64!"},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
    ],
)
def test_what_no_block_can_say_is_refused_by_its_place(part: dict[str, Any]) -> None:
    with pytest.raises(RequestInvalid) as refused:
        told(user(part))
    assert (refused.value.param or "").startswith("input[0].content[0]")


def test_in_a_tools_output_a_note_stands_for_it() -> None:
    output = [{"type": "input_text", "text": "see"}, {"type": "input_image", "file_id": "file_1"}]
    call = told(CALL, {**OUTPUT, "output": output}, tools=[TOOL])
    result = call.body["messages"][1]["content"][0]["content"]
    assert result[0]["text"] == "see"
    assert "cannot be shown" in result[1]["text"]
    assert call.dropped == ["input[1].output[1]: input_image"]


def test_images_of_a_tools_output_stay_in_it() -> None:
    output = [{"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"}]
    result = messages(CALL, {**OUTPUT, "output": output}, tools=[TOOL])[1]["content"][0]
    assert result["content"][0]["source"]["data"] == PNG


def test_a_model_that_sees_no_images_is_told_so() -> None:
    entry = model_entry("claude-test", image_input={"supported": False})
    call = told(user({"type": "input_image", "image_url": "https://example.com/a.png"}), entry=entry)
    assert "takes no images" in call.body["messages"][0]["content"][0]["text"]
    assert call.dropped == ["input[0].content[0]: input_image"]


# Tools


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


# Thinking


@pytest.mark.parametrize(
    ("effort", "said"),
    [("minimal", "low"), ("low", "low"), ("high", "high"), ("xhigh", "high"), ("max", "max")],
)
def test_an_effort_is_said_in_the_models_words(effort: str, said: str) -> None:
    body = told(reasoning={"effort": effort}).body
    assert body["thinking"] == {"type": "adaptive", "display": "summarized"}
    assert body["output_config"] == {"effort": said}


@pytest.mark.parametrize(
    ("effort", "max_tokens", "budget"),
    [("low", None, 4096), ("medium", None, 10_000), ("max", None, 31_000), ("high", 5000, 4999)],
)
def test_an_effort_is_a_budget_where_the_model_wants_one(effort: str, max_tokens: Any, budget: int) -> None:
    body = told(reasoning={"effort": effort}, max_output_tokens=max_tokens, entry=BUDGET_ENTRY).body
    assert body["thinking"] == {"type": "enabled", "budget_tokens": budget}
    assert "output_config" not in body


def test_too_short_an_answer_has_no_room_for_a_budget() -> None:
    call = told(reasoning={"effort": "high"}, max_output_tokens=1024, entry=BUDGET_ENTRY)
    assert "thinking" not in call.body
    assert call.dropped == ["reasoning.effort"]


@pytest.mark.parametrize(
    ("entry", "effort", "thinking", "said"),
    [
        (ENTRY, None, None, None),
        (ENTRY, "none", {"type": "disabled"}, None),
        (BUDGET_ENTRY, None, None, None),
        (BUDGET_ENTRY, "none", {"type": "disabled"}, None),
        (ALWAYS_ENTRY, None, {"type": "adaptive", "display": "summarized"}, None),
        (ALWAYS_ENTRY, "none", {"type": "adaptive", "display": "summarized"}, "low"),
        (PLAIN_ENTRY, "high", None, None),
        (PLAIN_ENTRY, "none", None, None),
    ],
)
def test_thinking_is_what_the_model_can_do(entry: Any, effort: Any, thinking: Any, said: Any) -> None:
    body = told(reasoning={"effort": effort}, entry=entry).body
    assert body.get("thinking") == thinking
    assert body.get("output_config", {}).get("effort") == said


def test_of_an_unknown_model_the_newest_ways_are_expected() -> None:
    body = told(reasoning={"effort": "high"}, facts=NOTHING_KNOWN).body
    assert body["thinking"]["type"] == "adaptive"
    assert body["output_config"] == {"effort": "high"}


@pytest.mark.parametrize(
    ("settings", "thinking"),
    [
        ({"thinking": "off"}, None),
        ({"thinking": "budget", "budgets": {"high": 2048}}, {"type": "enabled", "budget_tokens": 2048}),
        ({"thinking_display": "omitted", "thinking": "adaptive"}, {"type": "adaptive", "display": "omitted"}),
    ],
)
def test_options_say_how_thinking_is_asked_for(settings: dict[str, Any], thinking: Any) -> None:
    entry = model_entry("claude-test", **thinking_of(adaptive=True, enabled=True, disabled=True))
    assert told(reasoning={"effort": "high"}, settings=settings, entry=entry).body.get("thinking") == thinking


def test_an_effort_may_be_configured() -> None:
    assert told(settings={"effort": "low"}).body["output_config"] == {"effort": "low"}
    assert told(settings={"effort": "low"}, reasoning={"effort": "high"}).body["output_config"] == {
        "effort": "high"
    }


def test_thinking_of_a_running_loop_goes_on_where_the_client_says_no_effort() -> None:
    body = told({"role": "user", "content": "?"}, sealed("Hm."), CALL, OUTPUT, tools=[TOOL]).body
    assert body["thinking"]["type"] == "adaptive"
    assert body["messages"][1]["content"][0]["type"] == "thinking"


def test_without_thinking_none_comes_back() -> None:
    items = ({"role": "user", "content": "?"}, sealed("Hm."), CALL, OUTPUT)
    for fields in (
        {"reasoning": {"effort": "none"}},
        {"entry": BUDGET_ENTRY},
        {"settings": {"thinking": "off"}},
    ):
        found = told(*items, tools=[TOOL], **fields).body["messages"][1]["content"]
        assert [block["type"] for block in found] == ["tool_use"]


def test_a_loop_that_began_without_thinking_goes_on_without_a_budget() -> None:
    call = told(CALL, OUTPUT, tools=[TOOL], reasoning={"effort": "high"}, entry=BUDGET_ENTRY)
    assert "thinking" not in call.body
    assert "reasoning.effort" in call.dropped


def test_reasoning_of_others_is_dropped_by_name() -> None:
    foreign = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]}
    other = {**sealed("Hm."), "encrypted_content": seal("Hm.", provider="other", opaque="[]")}
    call = told(foreign, other, CALL, OUTPUT, tools=[TOOL], reasoning={"effort": "low"})
    assert call.dropped == ["input[1]: reasoning", "input[0]: reasoning"]


def test_a_seal_whose_parts_disagree_is_dropped() -> None:
    broken = {**sealed("Hm."), "encrypted_content": seal("H", provider="claude", opaque='[[3,"sig"]]')}
    call = told(broken, CALL, OUTPUT, tools=[TOOL], reasoning={"effort": "low"})
    assert call.dropped == ["input[0]: reasoning"]


def test_thinking_alone_is_no_message() -> None:
    found = messages({"role": "user", "content": "?"}, sealed("Hm."), reasoning={"effort": "low"})
    assert [message["role"] for message in found] == ["user"]


# Other fields


def test_a_json_schema_is_enforced_by_the_api() -> None:
    body = told(text=FORMAT).body
    assert body["output_config"]["format"] == {
        "type": "json_schema",
        "schema": {
            "type": "object",
            "properties": {"n": {"type": "integer", "description": '{"minimum": 3}'}},
            "required": ["n"],
            "additionalProperties": False,
        },
    }


@pytest.mark.parametrize("tools", [[], [TOOL]])
def test_a_json_schema_may_be_the_input_of_a_tool(tools: list[Any]) -> None:
    entry = model_entry("claude-test", structured_outputs={"supported": False})
    for call in (
        told(text=FORMAT, tools=tools, entry=entry),
        told(text=FORMAT, tools=tools, settings={"structured_output": "tool"}),
    ):
        assert call.answer_tool == "give_answer"
        assert call.body["tools"][-1]["input_schema"]["required"] == ["n"]
        assert call.body["tool_choice"]["type"] == ("any" if tools else "tool")


def test_any_json_is_asked_for_in_words() -> None:
    system = told(text={"format": {"type": "json_object"}}).body["system"]
    assert "JSON object" in system[0]["text"]


def test_the_length_of_the_answer_is_what_client_model_and_options_allow() -> None:
    assert told(max_output_tokens=100).body["max_tokens"] == 100
    assert told(max_output_tokens=128_000).body["max_tokens"] == 64_000
    assert told(settings={"max_tokens": 99}).body["max_tokens"] == 99


def test_sampling_is_said_under_the_old_version_alone() -> None:
    call = told(temperature=0.2, top_p=0.5)
    assert call.body.keys().isdisjoint({"temperature", "top_p"})
    assert call.dropped == ["temperature", "top_p"]
    assert told(temperature=1, top_p=1.0).dropped == []
    old = {"version": "2023-06-01"}
    call = told(temperature=1.7, top_p=0.5, settings=old)
    assert call.body["temperature"] == 1.0
    assert call.dropped == ["top_p"]
    assert told(top_p=0.5, settings=old).body["top_p"] == 0.5
    assert "temperature" not in told(temperature=0.2, settings=old, reasoning={"effort": "low"}).body


@pytest.mark.parametrize(
    ("tier", "said"), [("auto", "auto"), ("priority", "auto"), ("default", "standard_only"), ("scale", None)]
)
def test_service_tiers(tier: str, said: str | None) -> None:
    assert told(service_tier=tier).body.get("service_tier") == said


def test_who_asks_goes_along() -> None:
    assert told(user="u").body["metadata"] == {"user_id": "u"}
    assert told(user="u", safety_identifier="s").body["metadata"] == {"user_id": "s"}


def test_fields_without_a_form_are_dropped_by_name() -> None:
    call = told(
        metadata={"a": "b"},
        top_logprobs=3,
        text={"verbosity": "low"},
        presence_penalty=0,
        frequency_penalty=1.0,
        a_field_of_next_year=True,
        prompt_cache_key="k",
        store=False,
        truncation="auto",
    )
    assert set(call.dropped) == {
        *("metadata", "top_logprobs", "text.verbosity", "frequency_penalty", "a_field_of_next_year"),
    }


def test_a_stored_prompt_is_refused() -> None:
    with pytest.raises(RequestInvalid) as refused:
        told(prompt={"id": "pmpt_1"})
    assert refused.value.param == "prompt"


def test_more_may_be_configured() -> None:
    body = told(
        settings={"extra_body": {"inference_geo": "us", "output_config": {"effort": "max"}}}, text=FORMAT
    ).body
    assert body["inference_geo"] == "us"
    assert body["output_config"].keys() == {"effort", "format"}


# Caching


def marked(body: dict[str, Any]) -> list[str]:
    """Where the breakpoints are."""
    places = [f"tools.{n}" for n, tool in enumerate(body.get("tools", [])) if "cache_control" in tool]
    places += [f"system.{n}" for n, block in enumerate(body.get("system", [])) if "cache_control" in block]
    for number, message in enumerate(body["messages"]):
        places += [
            f"messages.{number}.{n}" for n, block in enumerate(message["content"]) if "cache_control" in block
        ]
    return places


LONG = (
    {"role": "user", "content": "1"},
    CALL,
    OUTPUT,
    {**CALL, "call_id": "b"},
    {**OUTPUT, "call_id": "b"},
    {"role": "user", "content": "2"},
)


def test_the_cache_ends_behind_tools_system_and_the_last_two_user_turns() -> None:
    body = told(*LONG, tools=[TOOL, {**TOOL, "name": "b"}], instructions="Be good.").body
    assert marked(body) == ["tools.1", "system.0", "messages.2.0", "messages.4.1"]
    assert body["tools"][1]["cache_control"] == {"type": "ephemeral"}


def test_the_next_request_reads_what_this_one_wrote() -> None:
    this = told(*LONG, tools=[TOOL]).body
    after = told(
        *LONG, {"role": "assistant", "content": "So."}, {"role": "user", "content": "3"}, tools=[TOOL]
    ).body
    assert marked(this)[-1] in marked(after)


def test_the_cache_may_last_longer_or_be_off() -> None:
    assert told(settings={"cache": "1h"}).body["messages"][0]["content"][0]["cache_control"] == {
        "type": "ephemeral",
        "ttl": "1h",
    }
    assert marked(told(*LONG, tools=[TOOL], settings={"cache": "off"}).body) == []
