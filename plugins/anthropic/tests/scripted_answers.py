"""Answers of the Messages API, scripted in blocks, and the events and bytes that they are on the wire.

    Answer(thinking("Hm."), text("Hello"))                   # a whole answer
    Answer(text("Hel"), cut=True)                            # cut in the middle
    Refused(529, "overloaded_error", "Overloaded")
    Answer(text("Hel"), error=("overloaded_error", "Overloaded"))

Signatures of thinking are made from its text, so that they can be checked when they come back.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

USAGE: Final = {
    "input_tokens": 5,
    "cache_read_input_tokens": 100,
    "cache_creation_input_tokens": 20,
    "output_tokens": 1,
    "service_tier": "standard",
}
_SECRET: Final = b"signs thinking"

Block = dict[str, Any]


def signature_of(thinking: str) -> str:
    """The signature that the server gives to a text of thinking, and takes back with that text alone."""
    return "sig+" + hmac.new(_SECRET, thinking.encode(), hashlib.sha256).hexdigest()


def text(said: str) -> Block:
    """A block of text."""
    return {"type": "text", "text": said}


def thinking(said: str) -> Block:
    """A block of thinking, rightly signed."""
    return {"type": "thinking", "thinking": said, "signature": signature_of(said)}


def redacted(data: str = "opaque==") -> Block:
    """A block of thinking that nobody may read."""
    return {"type": "redacted_thinking", "data": data}


def call(name: str, arguments: Any, id: str = "toolu_01") -> Block:
    """A call of a tool."""
    return {"type": "tool_use", "id": id, "name": name, "input": arguments}


@dataclass(frozen=True)
class Answer:
    """A streamed answer of `blocks`.

    `pieces` is how many deltas a block comes in; `size` cuts the whole body into writes of so many bytes.
    `error` is an error event after the blocks, `cut` breaks the connection there, `stall` says nothing more
    until the client leaves, `unfinished` ends the body in good order without the end of the message. `whole`
    answers with JSON though a stream was asked for.
    """

    blocks: tuple[Block, ...]
    stop_reason: str | None = None
    stop_details: Mapping[str, Any] | None = None
    usage: Mapping[str, Any] = field(default_factory=lambda: {"output_tokens": 42})
    start_usage: Mapping[str, Any] = field(default_factory=lambda: dict(USAGE))
    pieces: int = 2
    size: int | None = None
    error: tuple[str, str] | None = None
    cut: bool = False
    stall: bool = False
    unfinished: bool = False
    whole: bool = False
    pings: int = 1
    headers: Mapping[str, str] = field(default_factory=dict)

    def __init__(self, *blocks: Block, **more: Any) -> None:
        object.__setattr__(self, "blocks", blocks)
        for name, each in self.__dataclass_fields__.items():
            if name != "blocks":
                default = each.default_factory() if callable(each.default_factory) else each.default
                object.__setattr__(self, name, more.pop(name, default))
        assert not more

    @property
    def stopped(self) -> str:
        """The reason to stop, by what the answer holds unless it was scripted."""
        called = any(block["type"] == "tool_use" for block in self.blocks)
        return self.stop_reason or ("tool_use" if called else "end_turn")


@dataclass(frozen=True)
class Refused:
    """An error answer in the API's envelope."""

    status: int
    type: str
    message: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Page:
    """An answer of raw bytes, as a proxy in between would give."""

    body: bytes
    content_type: str = "text/html"
    status: int = 200


Script = Answer | Refused | Page


def record(event: Mapping[str, Any]) -> bytes:
    """One SSE record as the API writes it."""
    return f"event: {event['type']}\ndata: {json.dumps(event, ensure_ascii=False)}\n\n".encode()


def message_of(answer: Answer, model: str = "claude-test") -> dict[str, Any]:
    """The whole message, as an answer that is not streamed."""
    usage = {**answer.start_usage, **answer.usage}
    return {
        "id": "msg_01",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [dict(block) for block in answer.blocks],
        "stop_reason": answer.stopped,
        "stop_sequence": None,
        "stop_details": answer.stop_details,
        "usage": usage,
    }


def events_of(answer: Answer, model: str = "claude-test") -> Iterator[dict[str, Any]]:
    """The events of the answer, up to where its fault strikes."""
    begun = {
        **message_of(answer, model),
        "content": [],
        "stop_reason": None,
        "stop_details": None,
        "usage": dict(answer.start_usage),
    }
    yield {"type": "message_start", "message": begun}
    for _ in range(answer.pings):
        yield {"type": "ping"}
    faulty = bool(answer.error or answer.cut or answer.stall or answer.unfinished)
    for index, block in enumerate(answer.blocks):
        last = faulty and index == len(answer.blocks) - 1
        yield from _block_events(index, block, answer.pieces, ends=not last)
    if answer.error is not None:
        yield {"type": "error", "error": {"type": answer.error[0], "message": answer.error[1]}}
    if faulty:
        return
    delta = {"stop_reason": answer.stopped, "stop_sequence": None, "stop_details": answer.stop_details}
    yield {"type": "message_delta", "delta": delta, "usage": dict(answer.usage)}
    yield {"type": "message_stop"}


def _block_events(index: int, block: Block, pieces: int, *, ends: bool) -> Iterator[dict[str, Any]]:
    begun: Block
    deltas: list[dict[str, Any]]
    match block["type"]:
        case "text":
            begun = {"type": "text", "text": ""}
            deltas = [{"type": "text_delta", "text": piece} for piece in cut_up(block["text"], pieces)]
        case "thinking":
            begun = {"type": "thinking", "thinking": "", "signature": ""}
            said = cut_up(block["thinking"], pieces)
            deltas = [{"type": "thinking_delta", "thinking": piece} for piece in said]
            if block["signature"]:
                deltas.append({"type": "signature_delta", "signature": block["signature"]})
        case "tool_use":
            begun = {**block, "input": {}}
            said = ["", *cut_up(json.dumps(block["input"]), pieces)] if block["input"] else [""]
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in said]
        case _:
            begun, deltas = block, []
    yield {"type": "content_block_start", "index": index, "content_block": begun}
    for delta in deltas:
        yield {"type": "content_block_delta", "index": index, "delta": delta}
    if ends:
        yield {"type": "content_block_stop", "index": index}


def cut_up(said: str, pieces: int) -> list[str]:
    """The text in about so many pieces, none of them empty."""
    length = max(1, -(-len(said) // max(1, pieces)))
    return [said[at : at + length] for at in range(0, len(said), length)]


def stream_of(answer: Answer, model: str = "claude-test") -> bytes:
    """The body of the streamed answer."""
    return b"".join(record(event) for event in events_of(answer, model))
