"""All other fields of what the API is asked with, and where its cache ends."""

from __future__ import annotations

from typing import Any

import pytest

from maestro_daemon.plugin import RequestInvalid
from message_requests import CALL, FORMAT, OUTPUT, TOOL, told
from messages_api import model_entry

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
