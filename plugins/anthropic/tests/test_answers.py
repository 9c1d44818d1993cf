"""Answers of the API as clients of the house get them, over real sockets."""

from __future__ import annotations

import json
from typing import Any

import pytest

from messages_api import MessagesAPI
from scripted_answers import Answer, call, redacted, signature_of, text, thinking
from serving_claude import MODEL, answer, answer_of_json, back, claude_house, client_of

TOOL = {
    "type": "function",
    "name": "weather",
    "description": "Tells the weather.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
SEALED = {"include": ["reasoning.encrypted_content"], "store": False}


def without_identity(response: dict[str, Any]) -> Any:
    """What must not depend on how the answer was asked for: all but ids and times."""
    response = json.loads(json.dumps(response))
    for name in ("id", "created_at", "completed_at"):
        response.pop(name)
    for item in response["output"]:
        item.pop("id")
        item.pop("encrypted_content", None)
    return response


async def test_text_streams_and_adds_up(api: MessagesAPI) -> None:
    api.play(Answer(text("Hello, wörld 🌍"), pieces=4))
    async with (
        claude_house(api) as running,
        client_of(running) as client,
        client.responses.stream(model=MODEL, input="Hi") as stream,
    ):
        deltas = [event.delta async for event in stream if event.type == "response.output_text.delta"]
        final = await stream.get_final_response()
    assert len(deltas) == 4
    assert "".join(deltas) == final.output_text == "Hello, wörld 🌍"
    assert final.status == "completed"


async def test_json_is_what_the_stream_adds_up_to(api: MessagesAPI) -> None:
    api.play(Answer(thinking("Hm."), text("So: "), call("weather", {"city": "Bern"})))
    async with claude_house(api) as running:
        streamed = await answer(running, tools=[TOOL], **SEALED)
        whole = await answer_of_json(running, tools=[TOOL], **SEALED)
    assert without_identity(streamed) == without_identity(whole)
    assert [item["type"] for item in whole["output"]] == ["reasoning", "message", "function_call"]
    assert api.bodies[0] == api.bodies[1]
    assert api.bodies[0]["stream"] is True


async def test_usage_counts_the_cache_and_the_last_word(api: MessagesAPI) -> None:
    usage = {"output_tokens": 42, "output_tokens_details": {"thinking_tokens": 30}}
    api.play(Answer(text("Hello"), usage=usage))
    async with claude_house(api) as running:
        response = await answer(running)
    assert response["usage"] == {
        "input_tokens": 125,
        "input_tokens_details": {"cached_tokens": 100, "cache_write_tokens": 20},
        "output_tokens": 42,
        "output_tokens_details": {"reasoning_tokens": 30},
        "total_tokens": 167,
    }
    assert response["service_tier"] == "default"


async def test_parallel_calls_and_their_outputs_make_the_round(api: MessagesAPI) -> None:
    calls = (call("weather", {"city": "Bern"}, "toolu_a"), call("weather", {"city": "Ulm"}, "toolu_b"))
    api.play(Answer(text("Let me look."), *calls), Answer(text("Fine in both.")))
    async with claude_house(api) as running:
        first = await answer(running, tools=[TOOL])
        found = [item for item in first["output"] if item["type"] == "function_call"]
        assert [(item["call_id"], json.loads(item["arguments"])) for item in found] == [
            ("toolu_a", {"city": "Bern"}),
            ("toolu_b", {"city": "Ulm"}),
        ]
        outputs = [
            {"type": "function_call_output", "call_id": item["call_id"], "output": "sunny"} for item in found
        ]
        history = [{"role": "user", "content": "How is it?"}, *back(first), *outputs]
        second = await answer(running, input=history, tools=[TOOL])
    assert second["output"][0]["content"][0]["text"] == "Fine in both."
    roles = [message["role"] for message in api.bodies[1]["messages"]]
    assert roles == ["user", "assistant", "user"]
    said, results = api.bodies[1]["messages"][1]["content"], api.bodies[1]["messages"][2]["content"]
    assert [block["type"] for block in said] == ["text", "tool_use", "tool_use"]
    assert [block["tool_use_id"] for block in results] == ["toolu_a", "toolu_b"]


async def test_a_call_without_arguments_has_an_empty_object(api: MessagesAPI) -> None:
    api.play(Answer(call("weather", {})))
    async with claude_house(api) as running:
        response = await answer(running, tools=[TOOL])
    assert response["output"][0]["arguments"] == "{}"


async def test_signed_thinking_makes_the_round_byte_for_byte(api: MessagesAPI) -> None:
    api.play(
        Answer(thinking("First 🌍"), redacted(), thinking("then"), call("weather", {"city": "Bern"})),
        Answer(thinking("Now."), text("Sunny.")),
        Answer(text("Bye.")),
    )
    async with claude_house(api) as running:
        asked = {"tools": [TOOL], "reasoning": {"effort": "high", "summary": "auto"}, **SEALED}
        first = await answer(running, **asked)
        assert first["output"][0]["content"] == [{"type": "reasoning_text", "text": "First 🌍then"}]
        history: list[Any] = [{"role": "user", "content": "How is it?"}, *back(first)]
        history.append({"type": "function_call_output", "call_id": "toolu_01", "output": "sunny"})
        second = await answer(running, input=history, **asked)
        history += [*back(second), {"role": "user", "content": "Thanks"}]
        await answer(running, input=history, **asked)
    blocks = api.bodies[1]["messages"][1]["content"]
    assert blocks[:3] == [
        {"type": "thinking", "thinking": "First 🌍", "signature": signature_of("First 🌍")},
        {"type": "redacted_thinking", "data": "opaque=="},
        {"type": "thinking", "thinking": "then", "signature": signature_of("then")},
    ]
    assert api.bodies[2]["messages"][3]["content"][0]["signature"] == signature_of("Now.")
    assert len(api.requests) == 3


async def test_thinking_without_text_makes_the_round_by_its_signature(api: MessagesAPI) -> None:
    api.play(Answer(thinking(""), call("weather", {"city": "Bern"})), Answer(text("Sunny.")))
    async with claude_house(api) as running:
        asked = {"tools": [TOOL], "reasoning": {"effort": "low"}, **SEALED}
        first = await answer(running, **asked)
        assert [item["type"] for item in first["output"]] == ["reasoning", "function_call"]
        output = {"type": "function_call_output", "call_id": "toolu_01", "output": "sunny"}
        await answer(running, input=[{"role": "user", "content": "?"}, *back(first), output], **asked)
    assert api.bodies[1]["messages"][1]["content"][0] == {
        "type": "thinking",
        "thinking": "",
        "signature": signature_of(""),
    }


async def test_thinking_that_does_not_verify_is_left_out_in_a_second_try(
    api: MessagesAPI, logged: list[dict[str, Any]]
) -> None:
    forged = {**thinking("Hm."), "signature": "sig+of-another-conversation"}
    api.play(Answer(forged, call("weather", {"city": "Bern"})), Answer(text("Sunny.")))
    async with claude_house(api) as running:
        asked = {"tools": [TOOL], "reasoning": {"effort": "high"}, **SEALED}
        first = await answer(running, **asked)
        output = {"type": "function_call_output", "call_id": "toolu_01", "output": "sunny"}
        history = [{"role": "user", "content": "?"}, *back(first), output]
        second = await answer(running, input=history, **asked)
    assert second["status"] == "completed"
    kinds = [[block["type"] for block in body["messages"][1]["content"]] for body in api.bodies[1:]]
    assert kinds == [["thinking", "tool_use"], ["tool_use"]]
    assert "earlier thinking was refused and is left out" in [line["event"] for line in logged]


async def test_a_custom_tool_is_called_with_raw_text(api: MessagesAPI) -> None:
    patch = "*** Begin Patch\n+é\n*** End Patch"
    api.play(Answer(call("apply_patch", {"input": patch}), pieces=7), Answer(text("Done.")))
    tool = {"type": "custom", "name": "apply_patch", "description": "Patches.", "format": {"type": "text"}}
    async with claude_house(api) as running:
        first = await answer(running, tools=[tool])
        item = first["output"][0]
        assert (item["type"], item["input"]) == ("custom_tool_call", patch)
        output = {"type": "custom_tool_call_output", "call_id": item["call_id"], "output": "ok"}
        await answer(running, input=[{"role": "user", "content": "?"}, *back(first), output], tools=[tool])
    assert api.bodies[0]["tools"][0]["input_schema"]["required"] == ["input"]
    assert api.bodies[1]["messages"][1]["content"][0]["input"] == {"input": patch}


async def test_a_function_of_a_namespace_comes_back_under_it(api: MessagesAPI) -> None:
    api.play(Answer(call("mcp__calc__add", {"a": 1})))
    namespace = {
        "type": "namespace",
        "name": "mcp__calc",
        "description": "Sums.",
        "tools": [{"type": "function", "name": "add", "parameters": {"type": "object", "properties": {}}}],
    }
    async with claude_house(api) as running:
        response = await answer(running, tools=[namespace])
    item = response["output"][0]
    assert (item["namespace"], item["name"]) == ("mcp__calc", "add")


@pytest.mark.parametrize(
    ("word", "status", "reason"),
    [
        ("end_turn", "completed", None),
        ("stop_sequence", "completed", None),
        ("max_tokens", "incomplete", "max_output_tokens"),
        ("model_context_window_exceeded", "incomplete", "max_output_tokens"),
        ("pause_turn", "incomplete", "max_output_tokens"),
        ("refusal", "incomplete", "content_filter"),
        ("a_word_of_next_year", "completed", None),
    ],
)
async def test_the_reason_to_stop_makes_the_status(
    api: MessagesAPI, word: str, status: str, reason: str | None
) -> None:
    api.play(Answer(text("Hello"), stop_reason=word))
    async with claude_house(api) as running:
        response = await answer(running)
    assert response["status"] == status
    assert response["incomplete_details"] == (None if reason is None else {"reason": reason})


async def test_a_refusal_is_explained(api: MessagesAPI) -> None:
    details = {"type": "refusal", "category": "cyber", "explanation": "This might enable harm."}
    api.play(Answer(text("I "), stop_reason="refusal", stop_details=details))
    async with claude_house(api) as running:
        response = await answer(running)
    assert response["output"][0]["content"][1] == {"type": "refusal", "refusal": "This might enable harm."}


async def test_half_a_call_is_incomplete(api: MessagesAPI) -> None:
    api.play(Answer(text("So"), call("weather", {"city": "Bern"}), stop_reason="max_tokens"))
    async with claude_house(api) as running:
        response = await answer(running, tools=[TOOL])
    assert response["status"] == "incomplete"
    assert [item["status"] for item in response["output"]] == ["completed", "incomplete"]


async def test_an_answer_that_was_not_streamed_is_told_all_the_same(api: MessagesAPI) -> None:
    api.play(Answer(thinking("Hm."), text("So: "), call("weather", {"city": "Bern"}), whole=True))
    async with claude_house(api) as running:
        response = await answer(running, tools=[TOOL], **SEALED)
    assert [item["type"] for item in response["output"]] == ["reasoning", "message", "function_call"]
    assert json.loads(response["output"][2]["arguments"]) == {"city": "Bern"}
    assert response["usage"]["output_tokens"] == 42


@pytest.mark.parametrize("size", [1, 2, 3, 7])
async def test_any_split_of_the_bytes_says_the_same(api: MessagesAPI, size: int) -> None:
    api.play(Answer(thinking("Hm 🌍"), text("é🌍ß"), call("weather", {"city": "Zürich 🌍"}), size=size))
    async with claude_house(api) as running:
        response = await answer(running, tools=[TOOL])
    assert response["output"][1]["content"][0]["text"] == "é🌍ß"
    assert json.loads(response["output"][2]["arguments"]) == {"city": "Zürich 🌍"}


async def test_pings_say_nothing(api: MessagesAPI) -> None:
    api.play(Answer(text("Hello"), pings=500))
    async with claude_house(api) as running:
        response = await answer(running)
    assert response["output"][0]["content"][0]["text"] == "Hello"


async def test_a_client_that_leaves_ends_the_request(api: MessagesAPI) -> None:
    api.play(Answer(text("Hel"), stall=True))
    async with claude_house(api) as running:
        body = {"model": MODEL, "input": "Hi", "stream": True}
        async with running.session.post(f"{running.url}/v1/responses", json=body) as streamed:
            while b"output_text.delta" not in await streamed.content.readany():
                pass
        assert await api.left.get() == "/v1/messages"


async def test_a_conversation_is_compacted_into_one_item(api: MessagesAPI) -> None:
    api.play(Answer(text("They said hi.")), Answer(text("Hello again.")))
    async with claude_house(api) as running:
        history = [{"role": "user", "content": "Hi"}, {"type": "compaction_trigger"}]
        first = await answer(running, input=history, tools=[TOOL])
        assert [item["type"] for item in first["output"]] == ["compaction"]
        await answer(running, input=[*back(first), {"role": "user", "content": "Hi again"}])
    assert api.bodies[0]["tool_choice"] == {"type": "none"}
    assert "They said hi." in api.bodies[1]["messages"][0]["content"][0]["text"]
