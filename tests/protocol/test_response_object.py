"""The Response object that the house writes: every required field, the request echoed."""

from __future__ import annotations

from typing import Any

import pytest

from maestro_daemon.deltas import Usage
from maestro_daemon.protocol.response_object import response_object, usage_object
from tests.support.core import wanted
from tests.support.response_oracle import REQUIRED_FIELDS, check_response


def test_a_request_that_says_nothing_gets_what_openai_answers_with() -> None:
    request = wanted()
    response = response_object(request, store=True)
    check_response(response)
    assert response.keys() == REQUIRED_FIELDS
    expected = {
        "id": request.response_id,
        "created_at": request.created_at,
        "temperature": 1,
        "top_p": 1,
        "presence_penalty": 0,
        "frequency_penalty": 0,
        "top_logprobs": 0,
        "truncation": "disabled",
        "service_tier": "default",
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "tools": [],
        "store": True,
        "background": False,
        "metadata": {},
        "text": {"format": {"type": "text"}},
        "reasoning": {"effort": None, "summary": None},
        "usage": None,
        "error": None,
        "output": [],
    }
    assert {field: response[field] for field in expected} == expected


@pytest.mark.parametrize(
    ("field", "sent", "echoed"),
    [
        ("temperature", 0, 0),
        ("top_p", 0.5, 0.5),
        ("parallel_tool_calls", False, False),
        ("tool_choice", {"type": "function", "name": "f"}, {"type": "function", "name": "f"}),
        ("instructions", "Be brief.", "Be brief."),
        ("max_output_tokens", 16, 16),
        ("metadata", {"a": "b"}, {"a": "b"}),
        ("metadata", None, {}),
        ("temperature", None, 1),
        ("service_tier", "auto", "default"),
        ("service_tier", "flex", "flex"),
        ("reasoning", {"effort": "low"}, {"effort": "low", "summary": None}),
        ("reasoning", None, {"effort": None, "summary": None}),
        ("text", {"verbosity": "low"}, {"verbosity": "low", "format": {"type": "text"}}),
        ("text", {"format": {"type": "json_object"}}, {"format": {"type": "json_object"}}),
        ("prompt_cache_key", "k", "k"),
        ("safety_identifier", "s", "s"),
        ("previous_response_id", "resp_1", "resp_1"),
        ("user", "u", "u"),
        (
            "tools",
            [{"type": "function", "name": "f"}],
            [{"type": "function", "name": "f", "description": None, "parameters": None, "strict": None}],
        ),
        ("tools", [{"type": "custom", "name": "f"}], [{"type": "custom", "name": "f"}]),
        ("tools", None, []),
    ],
)
def test_what_the_request_said_is_echoed(field: str, sent: Any, echoed: Any) -> None:
    response = response_object(wanted(**{field: sent}), store=True)
    check_response(response)
    assert response[field] == echoed


@pytest.mark.parametrize(
    ("field", "sent"), [("moderation", {"model": "m"}), ("prompt_cache_options", {"mode": "explicit"})]
)
def test_what_means_something_else_in_an_answer_is_not_echoed(field: str, sent: Any) -> None:
    response = response_object(wanted(**{field: sent}), store=False)
    check_response(response)
    assert field not in response


@pytest.mark.parametrize(
    "ending",
    [
        {"status": "completed", "completed_at": 5, "usage": Usage(3, 2)},
        {"status": "incomplete", "incomplete_reason": "max_output_tokens", "usage": Usage(3, 2)},
        {"status": "failed", "error": {"code": "server_error", "message": "No."}},
    ],
)
def test_every_ending_is_well_formed(ending: dict[str, Any]) -> None:
    check_response(response_object(wanted(), store=False, **ending))


def test_the_model_is_the_one_that_was_asked_for() -> None:
    request = wanted().aimed_at("upstreams-own")
    assert response_object(request, store=False)["model"] == request.asked_model


def test_facts_of_the_answer_count_above_the_echo() -> None:
    response = response_object(wanted(service_tier="flex"), store=False, fields={"service_tier": "default"})
    assert response["service_tier"] == "default"


def test_usage_has_every_detail_as_an_integer() -> None:
    usage = usage_object(Usage(input_tokens=3, output_tokens=2, cached_tokens=1))
    assert usage == {
        "input_tokens": 3,
        "input_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 0},
        "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 5,
    }
