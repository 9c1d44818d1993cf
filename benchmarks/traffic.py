"""What goes over the wire in the benchmark: the clients' requests and the upstream's answers, as bytes.

A request's model names the answer that it gets: ``bench-SHAPE`` or ``bench-SHAPE-N`` with N events (see
`Shape`), so that the same upstream serves the daemon, the bare proxy and every scenario.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

RESPONSE_ID = "resp_" + "5a" * 24
MESSAGE_ID = "msg_" + "5a" * 24
WORDS = ("The", " proxy", " adds", " little", " to", " what", " the", " model", " takes", ".")

_MODEL = re.compile(rb'"model"\s*:\s*"bench-([a-z]+)(?:-(\d+))?(?:-([a-z0-9]+))?"')


@dataclass(frozen=True, slots=True)
class Shape:
    """How the upstream answers.

    `name` is one of: ``json`` (one JSON body), ``burst`` (`count` deltas in one write), ``paced`` (`count`
    deltas, one each 10 ms), ``silent`` (the answer begins and then nothing), ``mute`` (no answer at all).
    `tag` marks one connection, so that its close can be asked for.
    """

    name: str
    count: int
    tag: str

    @classmethod
    def of(cls, body: bytes | bytearray) -> Shape:
        found = _MODEL.search(body)
        if found is None:
            raise ValueError("a benchmark request names a model bench-SHAPE")
        return cls(found[1].decode(), int(found[2] or 0), (found[3] or b"").decode())


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def response(model: str, status: str, text: str | None) -> dict[str, Any]:
    """A Response object as OpenAI sends it; `text` is that of its one message, None before there is one."""
    part: dict[str, Any] = {"type": "output_text", "annotations": [], "logprobs": [], "text": text}
    message = {
        "id": MESSAGE_ID,
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [part],
    }
    usage = {
        "input_tokens": 36,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 87,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 123,
    }
    return {
        "id": RESPONSE_ID,
        "object": "response",
        "created_at": 1794000000,
        "status": status,
        "background": False,
        "completed_at": 1794000004 if status == "completed" else None,
        "error": None,
        "frequency_penalty": 0.0,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "max_tool_calls": None,
        "model": model,
        "output": [] if text is None else [message],
        "parallel_tool_calls": True,
        "presence_penalty": 0.0,
        "previous_response_id": None,
        "prompt_cache_key": None,
        "reasoning": {"effort": None, "summary": None},
        "safety_identifier": None,
        "service_tier": "default",
        "store": False,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tool_choice": "auto",
        "tools": [],
        "top_logprobs": 0,
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": usage if status == "completed" else None,
        "metadata": {},
    }


@dataclass(frozen=True, slots=True)
class Script:
    """One streamed answer as frames: `opening` at once, then `deltas` at some pace, then `closing`."""

    opening: bytes
    deltas: list[bytes]
    closing: bytes


def native_script(model: str, count: int) -> Script:
    """The events of one message in `count` text deltas, in the shape that OpenAI streams them."""
    numbers = iter(range(count + 100))
    place = {"item_id": MESSAGE_ID, "output_index": 0, "content_index": 0}
    pieces = [WORDS[number % len(WORDS)] for number in range(count)]
    done = response(model, "completed", "".join(pieces))
    (message,) = done["output"]

    def event(kind: str, **fields: Any) -> bytes:
        payload = {"type": kind, "sequence_number": next(numbers), **fields}
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), compact(payload))

    opening = b"".join(
        [
            event("response.created", response=response(model, "in_progress", None)),
            event("response.in_progress", response=response(model, "in_progress", None)),
            event(
                "response.output_item.added",
                output_index=0,
                item={**message, "status": "in_progress", "content": []},
            ),
            event(
                "response.content_part.added",
                **place,
                part={"type": "output_text", "annotations": [], "logprobs": [], "text": ""},
            ),
        ]
    )
    deltas = [
        event(
            "response.output_text.delta",
            **place,
            delta=piece,
            logprobs=[],
            obfuscation="x" * (16 - len(piece)),
        )
        for piece in pieces
    ]
    closing = b"".join(
        [
            event("response.output_text.done", **place, text="".join(pieces), logprobs=[]),
            event("response.content_part.done", **place, part=message["content"][0]),
            event("response.output_item.done", output_index=0, item=message),
            event("response.completed", response=done),
        ]
    )
    return Script(opening, deltas, closing)


def chat_script(model: str, count: int) -> Script:
    """The chunks of one chat completion in `count` content deltas, usage and ``[DONE]`` at the end."""
    shared = {
        "id": "chatcmpl-" + "5a" * 12,
        "object": "chat.completion.chunk",
        "created": 1794000000,
        "model": model,
        "system_fingerprint": "fp_5a5a5a5a",
    }

    def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return b"data: %b\n\n" % compact({**shared, "choices": [choice]})

    usage = {"prompt_tokens": 36, "completion_tokens": count, "total_tokens": 36 + count}
    return Script(
        opening=chunk({"role": "assistant", "content": ""}),
        deltas=[chunk({"content": WORDS[number % len(WORDS)]}) for number in range(count)],
        closing=chunk({}, "stop")
        + b"data: %b\n\n" % compact({**shared, "choices": [], "usage": usage})
        + b"data: [DONE]\n\n",
    )


def small_request(model: str, *, stream: bool) -> bytes:
    """The body of a Responses request with one short question."""
    return compact({"model": model, "input": "What does a proxy add to a model's answer?", "stream": stream})


def chat_request(model: str) -> bytes:
    """The body of a chat-completions request with the same question, for the bare proxy."""
    return compact(
        {
            "model": model,
            "messages": [{"role": "user", "content": "What does a proxy add to a model's answer?"}],
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    )


def agent_request(model: str, size: int = 48 * 1024) -> bytes:
    """The body of a coding agent's request of about `size` bytes: prompt, history with calls, tools."""
    prose = "Read a file before you change it, keep changes small and run the tests. "
    tools = [
        {
            "type": "function",
            "name": f"tool_{number}",
            "description": prose * 8,
            "strict": False,
            "parameters": {
                "type": "object",
                "properties": {
                    name: {"type": "string", "description": prose} for name in ("cmd", "workdir", "shell")
                },
                "required": ["cmd"],
                "additionalProperties": False,
            },
        }
        for number in range(8)
    ]

    def message(role: str, kind: str, text: str) -> dict[str, Any]:
        return {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}

    items: list[dict[str, Any]] = [
        message("developer", "input_text", prose * 200),
        message("user", "input_text", "Make the failing test pass."),
    ]
    body = {
        "model": model,
        "input": items,
        "tools": tools,
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "reasoning": {"effort": "medium", "summary": "auto"},
        "store": False,
        "stream": True,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "019a5a5a-5a5a-7000-8000-5a5a5a5a5a5a",
        "text": {"verbosity": "low"},
        "client_metadata": {"session_id": "019a5a5a-5a5a-7000-8000-5a5a5a5a5a5a"},
    }
    turn = 0
    while len(compact(body)) < size:
        turn += 1
        # As upstreams make them: digits and letters, nothing that compresses or looks like a number.
        unique = hashlib.sha256(str(turn).encode()).hexdigest()[:48]
        call_id = f"call_{unique[:24]}"
        arguments = json.dumps({"cmd": f"sed -n {turn},{turn + 20}p package/module_{turn}.py"})
        output = "".join(f'{line:4}  value_{line} = read("{turn}")  # kept\n' for line in range(16))
        items += [
            {
                "type": "reasoning",
                "id": f"rs_{unique}",
                "summary": [],
                "content": None,
                "encrypted_content": "gAAAAAB" + unique * 6,
            },
            {
                "type": "function_call",
                "id": f"fc_{unique}",
                "status": "completed",
                "name": "tool_0",
                "arguments": arguments,
                "call_id": call_id,
            },
            {"type": "function_call_output", "call_id": call_id, "output": output},
        ]
    return compact(body)
