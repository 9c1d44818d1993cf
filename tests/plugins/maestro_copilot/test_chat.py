"""Translated models through the whole house, against Copilot's own way with chat completions."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_copilot.catalogue import catalogue
from maestro_copilot.chat_ways import ChatWays
from tests.support.copilot.catalogues import CHAT, entry
from tests.support.copilot.served import Served
from tests.support.copilot.turns import Call, Say, Think

TOOLS = [{"type": "function", "name": "add", "parameters": {"type": "object"}}]
USER = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Add."}]}


def output_of(call: dict[str, Any], said: str = "3") -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call["call_id"], "output": said}


def kinds(response: dict[str, Any]) -> list[str]:
    return [item["type"] for item in response["output"]]


@pytest.mark.parametrize("finish", ["stop", "tool_calls"])
async def test_text_and_calls_of_several_choices_are_one_answer(served: Served, finish: str) -> None:
    """copilot.md §8: merge all choices; finish_reason stop although tools were called; choices null."""
    served.copilot.chat.finish = finish
    served.copilot.play((Say("So: ", "add."), Call("add", '{"a": 1}'), Call("add", '{"a": 2}')))
    final = await served.final("claude-chat", tools=TOOLS)
    assert kinds(final) == ["message", "function_call", "function_call"]
    assert [item["arguments"] for item in final["output"][1:]] == ['{"a": 1}', '{"a": 2}']
    assert final["status"] == "completed"
    assert final["usage"]["total_tokens"] == 18  # not the zeros that came before


async def test_a_whole_completion_in_two_choices_is_one_answer(served: Served) -> None:
    """copilot.md §8: merge all choices; models with supports.streaming = false are called without stream."""
    served.copilot.play((Say("So."), Call("add", '{"a": 1}')))
    final = await served.final("o1-preview", tools=TOOLS)
    assert kinds(final) == ["message", "function_call"]
    body = served.copilot.requests[0].body
    assert (body["stream"], "stream_options" in body) == (False, False)


@pytest.mark.parametrize("names", [("reasoning_text", "reasoning_opaque"), ("cot_summary", "cot_id")])
@pytest.mark.parametrize("asked", [{}, {"store": False, "include": ["reasoning.encrypted_content"]}])
async def test_reasoning_is_replayed_with_what_is_opaque(
    served: Served, asked: dict[str, Any], names: tuple[str, str]
) -> None:
    """copilot.md §8: reasoning_text + reasoning_opaque must be replayed; older names."""
    served.copilot.chat.names = names
    served.copilot.play((Think("Hm."), Call("add", "{}")), (Think("Ah."), Say("3")))
    first = await served.final("claude-chat", tools=TOOLS, input=[USER], **asked)
    history = [USER, *first["output"], output_of(first["output"][-1])]
    second = await served.final("claude-chat", tools=TOOLS, input=history, **asked)
    assert second["output"][-1]["content"][0]["text"] == "3"
    ((text, opaque),) = served.copilot.chat.replayed
    assert text == "Hm."
    assert opaque.startswith("opaque-")


async def test_reasoning_of_another_origin_is_not_shown(served: Served) -> None:
    """copilot.md §8: what is replayed is what Copilot gave."""
    thought = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Theirs."}]}
    said = {"type": "message", "role": "assistant", "content": "Hello."}
    await served.ask("claude-chat", input=[USER, thought, said, USER])
    assert "Theirs." not in json.dumps(served.copilot.requests[0].body)


async def test_thought_signatures_go_back_with_their_calls(served: Served) -> None:
    """copilot.md §8: thought_signature on Gemini's function calls."""
    served.copilot.chat.signs = True
    served.copilot.play((Think("Hm."), Call("add", "{}"), Call("add", '{"b": 1}')), (Say("3"),))
    first = await served.final("claude-chat", tools=TOOLS, input=[USER])
    calls = [item for item in first["output"] if item["type"] == "function_call"]
    history = [USER, *first["output"], *map(output_of, calls)]
    await served.final("claude-chat", tools=TOOLS, input=history)
    assert len(served.copilot.chat.signatures_seen) == 2
    assert [text for text, _ in served.copilot.chat.replayed] == ["Hm."]


async def test_thought_signatures_without_any_thought_go_back(served: Served) -> None:
    """copilot.md §8: thought_signature on Gemini's function calls."""
    served.copilot.chat.signs = True
    served.copilot.play((Call("add", "{}"),), (Say("3"),))
    first = await served.final("claude-chat", tools=TOOLS, input=[USER])
    await served.final("claude-chat", input=[USER, *first["output"], output_of(first["output"][-1])])
    assert len(served.copilot.chat.signatures_seen) == 1
    assert "reasoning_opaque" not in json.dumps(served.copilot.requests[1].body)


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("gpt-5-mini", "max_completion_tokens"),
        ("o1-preview", "max_completion_tokens"),
        ("claude-chat", "max_tokens"),
    ],
)
async def test_each_model_is_told_its_bound_by_the_name_that_it_knows(
    served: Served, model: str, name: str
) -> None:
    """copilot.md §8: gpt-5* and o-series want max_completion_tokens; temperature is refused there."""
    await served.ask(model, max_output_tokens=128000, temperature=0.2, reasoning={"effort": "xhigh"})
    body = served.copilot.requests[0].body
    assert {key: value for key, value in body.items() if key.startswith("max_")} == {name: 64000}
    assert ("temperature" in body) == (model == "claude-chat")
    assert body["reasoning_effort"] == "high"


async def test_a_model_without_efforts_is_asked_for_none(served: Served) -> None:
    """copilot.md §6 GET /models: reasoning_effort[]."""
    await served.ask("old-chat", reasoning={"effort": "low"})
    assert "reasoning_effort" not in served.copilot.requests[0].body


async def test_a_model_without_a_system_role_gets_the_users(served: Served) -> None:
    """copilot.md §8: o1 has no system role."""
    await served.ask("o1-preview", instructions="Be brief.")
    assert [each["role"] for each in served.copilot.requests[0].body["messages"]] == ["user", "user"]


async def test_a_stream_without_done_is_whole(served: Served) -> None:
    """copilot.md §8: [DONE] may be missing."""
    served.copilot.chat.done = False
    assert (await served.final("claude-chat"))["status"] == "completed"


def ways(id: str = "claude-chat") -> ChatWays:
    return ChatWays(id, catalogue({"data": [entry(id, CHAT)]}).models[id])


def test_thinking_cut_by_length_is_an_end() -> None:
    """copilot.md §8: choices [] with completion_tokens at the cap, on Claude."""
    one = ways()
    one.body({"messages": [], "max_tokens": 100})
    early = {"choices": [], "usage": {"completion_tokens": 99}}
    assert one.chunk(dict(early)) == early
    (choice,) = one.chunk({"choices": [], "usage": {"completion_tokens": 100}})["choices"]
    assert choice["finish_reason"] == "length"


def test_an_end_that_was_told_is_not_made_another() -> None:
    """copilot.md §8: choices [] with completion_tokens at the cap, on Claude."""
    one = ways()
    one.body({"messages": [], "max_tokens": 100})
    one.chunk({"choices": [{"delta": {}, "finish_reason": "stop"}]})
    last = {"choices": [], "usage": {"completion_tokens": 100}}
    assert one.chunk(dict(last)) == last


@pytest.mark.parametrize("chunk", [None, 3, [], {}, {"choices": None}, {"choices": [None, {"delta": 3}]}])
def test_chunks_of_any_shape_pass(chunk: Any) -> None:
    """copilot.md §8: choices null."""
    assert ways().chunk(chunk) == chunk


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
NAMES = ("content", "tool_calls", "reasoning_text", "reasoning_opaque", "cot_id", "thinking", "signature")
CALLS = st.lists(
    st.fixed_dictionaries({}, optional={"id": JSON, "function": JSON, "thought_signature": JSON}), max_size=2
)
DELTA = st.fixed_dictionaries({}, optional={**dict.fromkeys(NAMES, JSON), "tool_calls": JSON | CALLS})
CHOICE = st.fixed_dictionaries({}, optional={"delta": DELTA | JSON, "message": DELTA, "finish_reason": JSON})
CHUNK = st.fixed_dictionaries(
    {},
    optional={
        "choices": st.lists(CHOICE | JSON, max_size=3) | JSON,
        "usage": JSON | st.fixed_dictionaries({"completion_tokens": JSON}),
        "error": JSON | st.fixed_dictionaries({"code": JSON}),
    },
)


@given(st.lists(CHUNK | JSON, max_size=4))
def test_any_chunks_are_left_to_the_house(chunks: list[Any]) -> None:
    """copilot.md §8: read every answer leniently."""
    one = ways()
    one.body({"messages": []})
    for chunk in chunks:
        one.chunk(chunk)


def test_codes_of_copilots_are_told_in_the_houses() -> None:
    """copilot.md §7 WebSocket: the code's prefix before ':'."""
    assert ways().chunk({"error": {"code": "rate_limited:x"}})["error"]["code"] == "rate_limit_exceeded"
