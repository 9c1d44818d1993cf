"""Frames as a native Responses upstream sends them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

Event = dict[str, Any]


def frame(event: Event) -> bytes:
    """One SSE record of `event`."""
    return f"event: {event['type']}\ndata: {json.dumps(event, separators=(',', ':'))}\n\n".encode()


def frames(events: Iterable[Event]) -> list[bytes]:
    """One SSE record each."""
    return [frame(event) for event in events]


def numbered(events: Iterable[Event]) -> list[Event]:
    """The events with `sequence_number` from 0, right behind the type, as OpenAI writes it."""
    return [
        {"type": event["type"], "sequence_number": number, **event} for number, event in enumerate(events)
    ]


def response(
    id: str = "resp_upstream", status: str = "in_progress", output: Sequence[Event] = (), **more: Any
) -> Event:
    """An upstream's Response object."""
    usage = None
    if status in ("completed", "incomplete"):
        usage = {
            "input_tokens": 11,
            "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 0},
            "output_tokens": 7,
            "output_tokens_details": {"reasoning_tokens": 2},
            "total_tokens": 18,
        }
    return {
        "id": id,
        "object": "response",
        "created_at": 1700000000,
        "status": status,
        "background": False,
        "completed_at": 1700000001 if status == "completed" else None,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "max_tool_calls": None,
        "model": "gpt-test-2026-01-01",
        "output": list(output),
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "prompt_cache_key": None,
        "reasoning": {"effort": None, "summary": None},
        "safety_identifier": None,
        "service_tier": "default",
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_logprobs": 0,
        "top_p": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "truncation": "disabled",
        "usage": usage,
        "metadata": {},
        **more,
    }


def message(text: str, id: str = "msg_upstream", status: str = "completed") -> Event:
    """A message item of one output_text part."""
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {"id": id, "type": "message", "role": "assistant", "status": status, "content": [part]}


def message_events(deltas: Sequence[str], index: int = 0, id: str = "msg_upstream") -> list[Event]:
    """The events of one message item."""
    place = {"item_id": id, "output_index": index, "content_index": 0}
    part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    text = "".join(deltas)
    whole = message(text, id)
    return [
        {
            "type": "response.output_item.added",
            "output_index": index,
            "item": {**whole, "status": "in_progress", "content": []},
        },
        {"type": "response.content_part.added", **place, "part": part},
        *(
            {
                "type": "response.output_text.delta",
                **place,
                "delta": delta,
                "logprobs": [],
                "obfuscation": "x7Qp",
            }
            for delta in deltas
        ),
        {"type": "response.output_text.done", **place, "text": text, "logprobs": []},
        {"type": "response.content_part.done", **place, "part": {**part, "text": text}},
        {"type": "response.output_item.done", "output_index": index, "item": whole},
    ]


def call(name: str, arguments: str, id: str = "fc_upstream", call_id: str = "call_1", **more: Any) -> Event:
    """A complete function_call item."""
    return {
        "id": id,
        "type": "function_call",
        "status": "completed",
        "call_id": call_id,
        "name": name,
        "arguments": arguments,
        **more,
    }


def call_events(name: str, pieces: Sequence[str], index: int = 0, **more: Any) -> list[Event]:
    """The events of one function_call item."""
    whole = call(name, "".join(pieces), **more)
    place = {"item_id": whole["id"], "output_index": index}
    return [
        {
            "type": "response.output_item.added",
            "output_index": index,
            "item": {**whole, "status": "in_progress", "arguments": ""},
        },
        *({"type": "response.function_call_arguments.delta", **place, "delta": piece} for piece in pieces),
        {
            "type": "response.function_call_arguments.done",
            **place,
            "arguments": whole["arguments"],
            "name": name,
        },
        {"type": "response.output_item.done", "output_index": index, "item": whole},
    ]


def thought_events(summary: str, index: int = 0, id: str = "rs_upstream") -> list[Event]:
    """The events of one reasoning item with a summary of one part."""
    part = {"type": "summary_text", "text": summary}
    whole = {"id": id, "type": "reasoning", "status": "completed", "summary": [part]}
    place = {"item_id": id, "output_index": index, "summary_index": 0}
    kind = "response.reasoning_summary"
    return [
        {
            "type": "response.output_item.added",
            "output_index": index,
            "item": {**whole, "status": "in_progress", "summary": []},
        },
        {"type": f"{kind}_part.added", **place, "part": {**part, "text": ""}},
        {"type": f"{kind}_text.delta", **place, "delta": summary},
        {"type": f"{kind}_text.done", **place, "text": summary},
        {"type": f"{kind}_part.done", **place, "part": part},
        {"type": "response.output_item.done", "output_index": index, "item": whole},
    ]


def events(*items: Sequence[Event], status: str = "completed", **more: Any) -> list[Event]:
    """A whole stream around the items' events (see `message_events`, `call_events`)."""
    output = [each[-1]["item"] for each in items]
    return numbered(
        [
            {"type": "response.created", "response": response(**more)},
            {"type": "response.in_progress", "response": response(**more)},
            *(event for item in items for event in item),
            {"type": f"response.{status}", "response": response(status=status, output=output, **more)},
        ]
    )


def text(*deltas: str) -> list[bytes]:
    """The frames of an answer of one message."""
    return frames(events(message_events(deltas)))
