"""Chunks as a chat-completions upstream sends them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

Delta = dict[str, Any]

USAGE: Final = {
    "prompt_tokens": 11,
    "completion_tokens": 7,
    "total_tokens": 18,
    "prompt_tokens_details": {"cached_tokens": 3},
    "completion_tokens_details": {"reasoning_tokens": 2},
}
DONE: Final = b"data: [DONE]\n\n"


def frame(data: Any) -> bytes:
    """One SSE record of `data`."""
    return f"data: {json.dumps(data)}\n\n".encode()


def chunk(delta: Delta, finish: str | None = None) -> bytes:
    """One chunk of the only choice."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return frame(_chunk(choices=[choice]))


def chunks(*deltas: Delta, finish: str = "stop") -> list[bytes]:
    """A whole stream: the role, the deltas, the finish, the usage, ``[DONE]``."""
    begun = [chunk({"role": "assistant", "content": None}), *map(chunk, deltas)]
    return [*begun, chunk({}, finish), frame(_chunk(choices=[], usage=USAGE)), DONE]


def text(*pieces: str, finish: str = "stop") -> list[bytes]:
    """A whole stream that says something."""
    return chunks(*({"content": piece} for piece in pieces), finish=finish)


def call(name: str, pieces: Sequence[str], index: int = 0, call_id: str = "call_1") -> list[Delta]:
    """The deltas of one tool call: its header, then its arguments."""
    header = {"index": index, "id": call_id, "type": "function", "function": {"name": name, "arguments": ""}}
    return [
        {"tool_calls": [header]},
        *({"tool_calls": [{"index": index, "function": {"arguments": piece}}]} for piece in pieces),
    ]


def calls(*deltas: Sequence[Delta]) -> list[bytes]:
    """A whole stream of tool calls (see `call`)."""
    return chunks(*(delta for each in deltas for delta in each), finish="tool_calls")


def usage(given: int, made: int) -> bytes:
    """The chunk that tells the tokens of input and output."""
    told = {"prompt_tokens": given, "completion_tokens": made, "total_tokens": given + made}
    return frame(_chunk(choices=[], usage=told))


def _chunk(**fields: Any) -> dict[str, Any]:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1700000000, "model": "up"}
    return {**head, **fields}
