"""Answers that make Codex work: a tool call first, and words once the tool's output came back.

Each function gives the body of one streamed answer as frames, for `fake_upstream.Stream`.
"""

from __future__ import annotations

import json
from typing import Any

from tests.support import native

CALL_ID = "call_5a5a5a5a"


def halves(text: str) -> tuple[str, str]:
    """The text in two fragments, as a model's tokens would cut it."""
    middle = len(text) // 2
    return text[:middle], text[middle:]


def native_call(name: str, arguments: dict[str, Any]) -> list[bytes]:
    """A Responses stream that calls a function tool."""
    return native.frames(
        native.events(native.call_events(name, halves(json.dumps(arguments)), call_id=CALL_ID))
    )


def native_custom_call(name: str, text: str) -> list[bytes]:
    """A Responses stream that calls a custom tool with the raw input `text`."""
    item = {
        "id": "ctc_upstream",
        "type": "custom_tool_call",
        "status": "completed",
        "call_id": CALL_ID,
        "name": name,
        "input": text,
    }
    place = {"item_id": item["id"], "output_index": 0}
    events: list[native.Event] = [
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": {**item, "status": "in_progress", "input": ""},
        },
        *(
            {"type": "response.custom_tool_call_input.delta", **place, "delta": piece}
            for piece in halves(text)
        ),
        {"type": "response.custom_tool_call_input.done", **place, "input": text},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
    ]
    return native.frames(native.events(events))


def _chat(*deltas: dict[str, Any], finish: str) -> list[bytes]:
    shared = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": "gpt-test",
    }
    chunks: list[dict[str, Any]] = [
        *({**shared, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas),
        {**shared, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]},
        {
            **shared,
            "choices": [],
            "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
        },
    ]
    return [*(f"data: {json.dumps(chunk)}\n\n".encode() for chunk in chunks), b"data: [DONE]\n\n"]


def chat_call(name: str, arguments: dict[str, Any]) -> list[bytes]:
    """A chat-completions stream that calls a function: a header delta, then fragments of its arguments."""
    call = {"index": 0, "id": CALL_ID, "type": "function", "function": {"name": name, "arguments": ""}}
    fragments = (
        {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}
        for piece in halves(json.dumps(arguments))
    )
    return _chat(
        {"role": "assistant", "content": None}, {"tool_calls": [call]}, *fragments, finish="tool_calls"
    )


def chat_text(*deltas: str) -> list[bytes]:
    """A chat-completions stream that says something."""
    return _chat(
        {"role": "assistant", "content": ""}, *({"content": piece} for piece in deltas), finish="stop"
    )
