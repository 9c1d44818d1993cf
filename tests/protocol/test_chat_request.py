"""Fields → the chat request. Named after the rows of the mapping."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from maestro_daemon.protocol.chat_request import CHARACTERS_OF_AN_IMAGE, chat_call
from tests.support.chat_items import IMAGE, USER, refused
from tests.support.chat_oracle import LOCAL, OPENAI, request, translate

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}


def test_a_plain_request_says_nothing_that_was_not_set() -> None:
    assert translate(input="hi").body == {
        "model": "m",
        "messages": [USER],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_the_model_is_the_upstreams_own_id() -> None:
    aimed = request(USER, model="coder").aimed_at("qwen3")
    assert chat_call(aimed, LOCAL).body["model"] == "qwen3"


@pytest.mark.parametrize("stream", [True, False, None])
def test_stream_is_always_asked_for_with_usage(stream: bool | None) -> None:
    body = translate(USER, stream=stream, stream_options={"include_obfuscation": False}).body
    assert (body["stream"], body["stream_options"]) == (True, {"include_usage": True})


def test_usage_is_not_asked_of_a_server_that_refuses_the_field() -> None:
    assert "stream_options" not in translate(USER, dialect=replace(LOCAL, include_usage=False)).body


def test_max_output_tokens_is_max_tokens_or_max_completion_tokens_never_both() -> None:
    local = translate(USER, max_output_tokens=64).body
    openai = translate(USER, max_output_tokens=64, dialect=OPENAI).body
    assert (local["max_tokens"], openai["max_completion_tokens"]) == (64, 64)
    assert "max_completion_tokens" not in local
    assert "max_tokens" not in openai


@pytest.mark.parametrize("field", ["temperature", "top_p", "presence_penalty", "frequency_penalty"])
def test_sampling_fields_have_the_same_names_and_null_is_not_sent(field: str) -> None:
    assert translate(USER, **{field: 0}).body[field] == 0
    assert field not in translate(USER, **{field: None}).body


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, {}),
        ({"top_logprobs": 0}, {}),
        ({"top_logprobs": 3}, {"logprobs": True, "top_logprobs": 3}),
        ({"include": ["message.output_text.logprobs"]}, {"logprobs": True}),
        (
            {"include": ["message.output_text.logprobs"], "top_logprobs": 0},
            {"logprobs": True, "top_logprobs": 0},
        ),
        ({"include": ["reasoning.encrypted_content"]}, {}),
    ],
)
def test_include_logprobs_and_top_logprobs_are_logprobs(fields: dict[str, Any], said: dict[str, Any]) -> None:
    body = translate(USER, **fields).body
    assert {field: body[field] for field in ("logprobs", "top_logprobs") if field in body} == said


OPENAI_FIELDS = {
    "store": False,
    "metadata": {"a": "b"},
    "user": "u",
    "safety_identifier": "s",
    "prompt_cache_key": "k",
    "prompt_cache_retention": "24h",
    "service_tier": "priority",
}


def test_openais_own_fields_have_the_same_names_where_the_server_knows_them() -> None:
    call = translate(USER, dialect=OPENAI, **OPENAI_FIELDS)
    assert OPENAI_FIELDS.items() <= call.body.items()
    assert call.dropped == ()


def test_openais_own_fields_stay_away_from_other_servers() -> None:
    call = translate(USER, **OPENAI_FIELDS)
    assert not OPENAI_FIELDS.keys() & call.body.keys()
    assert call.dropped == ("service_tier",)


@pytest.mark.parametrize("tier", ["auto", "default"])
def test_the_usual_service_tier_is_nothing_to_miss(tier: str) -> None:
    assert translate(USER, service_tier=tier).dropped == ()


def test_parallel_tool_calls_is_sent_as_it_was_set() -> None:
    tools = [{"type": "function", "name": "look"}]
    assert translate(USER, tools=tools, parallel_tool_calls=False).body["parallel_tool_calls"] is False
    assert "parallel_tool_calls" not in translate(USER, tools=tools).body


# text.format


def test_text_format_text_is_nothing() -> None:
    assert "response_format" not in translate(USER, text={"format": {"type": "text"}}).body


def test_text_format_json_object_is_response_format() -> None:
    body = translate(USER, text={"format": {"type": "json_object"}}).body
    assert body["response_format"] == {"type": "json_object"}


@pytest.mark.parametrize("strict", [True, False])
def test_text_format_json_schema_is_nested(strict: bool) -> None:
    form = {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": strict, "description": "d"}
    assert translate(USER, text={"format": form}).body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "n", "schema": SCHEMA, "strict": strict, "description": "d"},
    }


@pytest.mark.parametrize(
    ("text", "param"),
    [
        ({"format": {"type": "json_schema", "name": "n"}}, "text.format.schema"),
        ({"format": {"type": "json_schema", "name": "n", "schema": None}}, "text.format.schema"),
        ({"format": {"type": "json_schema", "schema": SCHEMA}}, "text.format.name"),
        ({"format": {"type": "json_schema", "name": 3, "schema": SCHEMA}}, "text.format.name"),
        ({"format": {"type": "grammar"}}, "text.format.type"),
        ({"format": {"type": 3}}, "text.format.type"),
        ({"format": {}}, "text.format.type"),
        ({"format": "json"}, "text.format"),
        ("json", "text"),
    ],
)
def test_a_text_format_that_cannot_be_served_is_refused(text: Any, param: str) -> None:
    error = refused(USER, text=text)
    assert (error.status, error.param) == (400, param)


# verbosity, effort


def test_text_verbosity_is_verbosity_for_openai_and_dropped_by_name_elsewhere() -> None:
    assert translate(USER, text={"verbosity": "low"}, dialect=OPENAI).body["verbosity"] == "low"
    call = translate(USER, text={"verbosity": "low"})
    assert "verbosity" not in call.body
    assert call.dropped == ("text.verbosity",)


@pytest.mark.parametrize(
    ("wanted", "sent"),
    [
        ("low", "low"),
        ("high", "high"),
        ("xhigh", "high"),
        ("max", "high"),
        ("minimal", "low"),
        ("none", None),
        ("colossal", None),
    ],
)
def test_reasoning_effort_is_the_nearest_word_that_the_server_knows(wanted: str, sent: str | None) -> None:
    assert translate(USER, reasoning={"effort": wanted}).body.get("reasoning_effort") == sent


def test_reasoning_effort_is_any_word_where_the_server_says_so() -> None:
    body = translate(USER, reasoning={"effort": "xhigh"}, dialect=OPENAI).body
    assert body["reasoning_effort"] == "xhigh"
    assert "chat_template_kwargs" not in body


def test_reasoning_effort_is_left_out_where_the_server_knows_none() -> None:
    assert (
        "reasoning_effort"
        not in translate(USER, reasoning={"effort": "low"}, dialect=replace(LOCAL, efforts=())).body
    )


@pytest.mark.parametrize(
    ("effort", "switch", "dropped"),
    [
        ("colossal", True, ("reasoning.effort",)),
        ("none", False, ("reasoning.effort",)),
        ("none", True, ()),
        ("minimal", False, ()),
    ],
)
def test_an_effort_that_cannot_be_said_is_dropped_by_name(
    effort: str, switch: bool, dropped: tuple[str, ...]
) -> None:
    dialect = replace(LOCAL, thinking_switch=switch)
    assert translate(USER, reasoning={"effort": effort}, dialect=dialect).dropped == dropped


def test_truncation_that_nobody_will_do_is_dropped_by_name() -> None:
    call = translate(USER, truncation="auto")
    assert "truncation" not in call.body
    assert call.dropped == ("truncation",)
    assert translate(USER, truncation="disabled").dropped == ()


@pytest.mark.parametrize(("effort", "thinking"), [("none", False), ("low", True)])
def test_reasoning_effort_switches_thinking_of_local_templates(effort: str, thinking: bool) -> None:
    body = translate(USER, reasoning={"effort": effort}).body
    assert body["chat_template_kwargs"] == {"enable_thinking": thinking}


@pytest.mark.parametrize("reasoning", [{}, {"summary": "auto"}, {"context": "all_turns"}, {"effort": None}])
def test_the_reasoning_object_itself_is_never_forwarded(reasoning: dict[str, Any]) -> None:
    call = translate(USER, reasoning=reasoning)
    assert not {"reasoning", "reasoning_effort", "chat_template_kwargs"} & call.body.keys()
    assert call.dropped == ()


@pytest.mark.parametrize(("reasoning", "param"), [("low", "reasoning"), ({"effort": 3}, "reasoning.effort")])
def test_a_malformed_reasoning_is_refused(reasoning: Any, param: str) -> None:
    assert refused(USER, reasoning=reasoning).param == param


def test_configuration_update_applies_effort_and_format_and_the_last_one_holds() -> None:
    form = {"type": "json_schema", "name": "n", "schema": SCHEMA}
    body = translate(
        {"type": "configuration_update", "reasoning": {"effort": "low"}, "text": {"format": form}},
        USER,
        {"type": "configuration_update", "reasoning": {"effort": "medium"}},
        reasoning={"effort": "high"},
    ).body
    assert body["reasoning_effort"] == "medium"
    assert body["response_format"]["json_schema"]["name"] == "n"


def test_configuration_update_may_take_a_format_back() -> None:
    body = translate(
        USER,
        {"type": "configuration_update", "text": {"format": {"type": "text"}}},
        text={"format": {"type": "json_object"}},
    ).body
    assert "response_format" not in body


def test_configuration_update_is_refused_by_its_path() -> None:
    update = {"type": "configuration_update", "text": {"format": {"type": "json_schema", "name": "n"}}}
    assert refused(USER, update).param == "input[1].text.format.schema"


# what is the gateway's own


def test_truncation_max_tool_calls_and_the_like_are_the_gateways_own_work() -> None:
    call = translate(
        USER,
        truncation="disabled",
        max_tool_calls=3,
        previous_response_id=None,
        conversation=None,
        background=False,
        client_metadata={"session_id": "x"},
    )
    assert call.body.keys() == {"model", "messages", "stream", "stream_options"}
    assert call.dropped == ()


def test_a_stored_prompt_is_refused() -> None:
    error = refused(USER, prompt={"id": "pmpt_1"})
    assert (error.status, error.param, error.code) == (400, "prompt", "unsupported_parameter")


def test_unknown_fields_are_dropped_by_name_and_null_ones_are_nothing() -> None:
    call = translate(USER, context_management=[{"type": "compaction"}], seed=3, moderation=None)
    assert call.dropped == ("context_management", "seed")


def test_the_names_of_what_was_dropped_are_bounded() -> None:
    call = translate(USER, *({"type": "t" * 1000} for _ in range(100)))
    assert len(call.dropped) == 32
    assert call.dropped[-1] == "and 69 more"
    assert max(map(len, call.dropped)) < 100


def test_extra_body_is_sent_and_wins_and_objects_are_merged() -> None:
    extra = {"return_progress": True, "temperature": 0.5, "chat_template_kwargs": {"x": 1}}
    dialect = replace(LOCAL, extra_body=extra)
    body = translate(USER, temperature=1, reasoning={"effort": "low"}, dialect=dialect).body
    assert body["return_progress"] is True
    assert body["temperature"] == 0.5
    assert body["chat_template_kwargs"] == {"enable_thinking": True, "x": 1}


@pytest.mark.parametrize("given", [{}, {"input": []}, {"input": None}])
def test_a_request_without_anything_to_answer_is_refused(given: dict[str, Any]) -> None:
    assert refused(**given).param == "input"


@pytest.mark.parametrize(
    ("given", "param"), [({"input": 3}, "input"), ({"input": "x", "instructions": ["y"]}, "instructions")]
)
def test_input_and_instructions_of_another_type_are_refused(given: dict[str, Any], param: str) -> None:
    assert refused(**given).param == param


def test_input_characters_count_all_that_the_model_reads() -> None:
    assert translate(input="four", instructions="three").input_characters == 9
    image = {"role": "user", "content": [{"type": "input_image", "image_url": IMAGE * 100}]}
    assert translate(image).input_characters == CHARACTERS_OF_AN_IMAGE
    call = {"type": "function_call", "call_id": "a", "name": "look", "arguments": '{"a":1}'}
    output = {"type": "function_call_output", "call_id": "a", "output": "seen"}
    counted = translate(call, output).input_characters
    assert counted == len("look" + '{"a":1}' + "seen")
    with_tools = translate(input="four", tools=[{"type": "function", "name": "look"}])
    assert with_tools.input_characters > 4 + len("look")
