"""Thinking as the API is asked for it: effort, budget, and what comes back of earlier turns."""

from __future__ import annotations

from typing import Any

import pytest

from maestro_anthropic.facts import NOTHING_KNOWN
from maestro_daemon.protocol.sealed_reasoning import seal
from message_requests import (
    ALWAYS_ENTRY,
    BUDGET_ENTRY,
    CALL,
    ENTRY,
    OUTPUT,
    PLAIN_ENTRY,
    TOOL,
    messages,
    sealed,
    told,
)
from messages_api import model_entry, thinking_of


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
