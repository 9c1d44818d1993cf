"""`/chat/completions` as Copilot serves it: what it refuses, and chunks cut up in its own ways."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from typing import Any

from tests.support.copilot.refusing import Refused
from tests.support.copilot.turns import Call, Say, Think, Turn

Chunk = dict[str, Any]

USAGE = {
    "prompt_tokens": 11,
    "completion_tokens": 7,
    "total_tokens": 18,
    "prompt_tokens_details": {"cached_tokens": 3},
    "completion_tokens_details": {"reasoning_tokens": 2},
}
ZEROS = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}


class ChatHalf:
    """What Copilot knows of the answers that it gave.

    `finish` is what an answer with calls ends with. `signs` gives calls a thought signature, as Gemini's.
    `names` are those of a delta's reasoning. `done` ends a stream by ``[DONE]``.
    """

    def __init__(self) -> None:
        self.finish = "stop"
        self.signs = False
        self.names = ("reasoning_text", "reasoning_opaque")
        self.done = True
        self.thought_of_call: dict[str, tuple[str, str]] = {}
        self.signatures: dict[str, str] = {}
        self.replayed: list[tuple[str, str]] = []
        self.signatures_seen: list[str] = []

    def check(self, body: Mapping[str, Any], model: Mapping[str, Any]) -> None:
        """Raise `Refused` for what `/chat/completions` does not take."""
        id = model["id"]
        new = id.startswith(("gpt-5", "o1", "o3", "o4"))
        if new and "max_tokens" in body:
            raise Refused(
                400,
                "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
                "'max_completion_tokens' instead.",
                code="invalid_request_body",
            )
        for field in ("temperature", "stop"):
            if new and field in body:
                raise Refused(400, f"'{field}' is not supported", code="invalid_request_body")
        supports = model["capabilities"]["supports"]
        if body.get("stream") and not supports.get("streaming", True):
            raise Refused(400, "streaming is not supported", code="invalid_request_body")
        limit = model["capabilities"]["limits"]["max_output_tokens"]
        if max(body.get("max_tokens", 0), body.get("max_completion_tokens", 0)) > limit:
            raise Refused(400, "max_tokens is too large", code="invalid_request_body")
        effort = body.get("reasoning_effort")
        if effort is not None and effort not in supports.get("reasoning_effort", ()):
            raise Refused(400, f"effort {effort} is not supported", code="invalid_reasoning_effort")
        for message in body["messages"]:
            if message["role"] == "system" and id.startswith("o1"):
                raise Refused(400, "role system is not supported", code="invalid_request_body")
            self._check_thoughts(message)

    def _check_thoughts(self, message: Mapping[str, Any]) -> None:
        told = (message.get("reasoning_text", ""), message.get("reasoning_opaque", ""))
        for call in message.get("tool_calls", ()):
            wanted = self.thought_of_call.get(call["id"])
            if wanted is not None and told != wanted:
                raise Refused(400, "Invalid signature in thinking block", code="invalid_request_body")
            signature = self.signatures.get(call["id"])
            if signature is not None:
                if call["function"].get("thought_signature") != signature:
                    raise Refused(400, "Function call is missing a thought_signature", code="bad_request")
                self.signatures_seen.append(signature)
        if told[1]:
            self.replayed.append(told)

    def chunks(self, turn: Turn, *, whole: bool) -> list[Chunk]:
        """The chunks of one answer; with `whole` one completion."""
        choices = [[choice] for choice in self._choices(turn)]
        calls = any(isinstance(doing, Call) for doing in turn)
        finish = self.finish if calls else "stop"
        if whole:
            return [self._whole(choices, finish)]
        return [
            _chunk(choices=[], prompt_filter_results=[{"prompt_index": 0}]),
            _chunk(choices=None, copilot_references=[]),
            _chunk(
                choices=[{"index": 0, "delta": {"role": "assistant"}, "content_filter_results": {}}],
                usage=ZEROS,
            ),
            *(_chunk(choices=each) for each in choices),
            _chunk(choices=[{"index": 0, "delta": {}, "finish_reason": finish}]),
            _chunk(choices=[], usage=USAGE),
        ]

    def _whole(self, choices: list[list[Chunk]], finish: str) -> Chunk:
        """As Copilot does it for Claude: what was thought and said in one choice, the calls in another."""
        message: Chunk = {"role": "assistant", "content": ""}
        calls: list[Chunk] = []
        for (choice,) in choices:
            delta = choice["delta"]
            message["content"] += delta.get("content", "")
            for name in self.names:
                if name in delta:
                    message[name] = message.get(name, "") + delta[name]
            for call in delta.get("tool_calls", ()):
                if "id" in call:
                    calls.append({**call, "function": dict(call["function"])})
                else:
                    calls[-1]["function"]["arguments"] += call["function"]["arguments"]
        told = [{"index": 0, "message": message, "finish_reason": finish}]
        if calls:
            told.append(
                {"index": 1, "message": {"role": "assistant", "tool_calls": calls}, "finish_reason": finish}
            )
        return {**_chunk(choices=told, usage=USAGE), "object": "chat.completion"}

    def _choices(self, turn: Turn) -> Iterator[Chunk]:
        text, opaque = "", ""
        number = 0
        for doing in turn:
            match doing:
                case Think(thought):
                    text += thought
                    opaque = f"opaque-{secrets.token_hex(12)}"
                    yield {"index": 0, "delta": {self.names[0]: thought}}
                    yield {"index": 0, "delta": {"content": "", self.names[1]: opaque}}
                case Say(pieces):
                    for piece in pieces:
                        yield {"index": 0, "delta": {"content": piece}}
                case Call(name, arguments, _, call_id):
                    if opaque:
                        self.thought_of_call[call_id] = (text, opaque)
                    function: Chunk = {"name": name, "arguments": arguments[:1]}
                    if self.signs:
                        signature = f"signature-{secrets.token_hex(12)}"
                        self.signatures[call_id] = function["thought_signature"] = signature
                    call = {"index": number, "id": call_id, "type": "function", "function": function}
                    yield {"index": 1, "delta": {"tool_calls": [call]}}
                    rest = {"index": number, "function": {"arguments": arguments[1:]}}
                    yield {"index": 1, "delta": {"tool_calls": [rest]}}
                    number += 1

    def frames(self, turn: Turn) -> list[bytes]:
        """The same as SSE records."""
        told = [f"data: {json.dumps(chunk)}\n\n".encode() for chunk in self.chunks(turn, whole=False)]
        return [*told, b"data: [DONE]\n\n"] if self.done else told


def _chunk(**fields: Any) -> Chunk:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1700000000, "model": "up"}
    return {**head, **fields}
