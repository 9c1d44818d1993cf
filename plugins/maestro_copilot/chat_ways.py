"""How Copilot's `/chat/completions` is spoken to: a dialect for each model, and what no dialect says."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from maestro_copilot.catalogue import CopilotModel
from maestro_copilot.quirks import (
    MAX_COMPLETION_TOKENS,
    NO_SYSTEM_ROLE,
    OLDER_REASONING,
    REFUSED_CHAT_FIELDS,
    THOUGHT_SIGNATURE,
    among,
)
from maestro_copilot.refusals import house_code
from maestro_daemon.plugin import ChatDialect

_TEXT: Final = "reasoning_text"
_OPAQUE: Final = "reasoning_opaque"
_SIGNED: Final = "copilot-signed-1."
_SIGNATURE: Final = THOUGHT_SIGNATURE.about


def dialect_for(id: str, model: CopilotModel | None, provider: str) -> ChatDialect:
    """The dialect of the model `id`, as far as it is known; reasoning is sealed for `provider`."""
    efforts: tuple[str, ...] | None = None
    if model is not None:
        efforts = model.model.reasoning_efforts
    return ChatDialect(
        provider=provider,
        images=model.model.vision if model is not None else None,
        tools=model.model.tools if model is not None else None,
        reasoning_field=_TEXT,
        opaque_field=_OPAQUE,
        max_tokens_field="max_completion_tokens" if MAX_COMPLETION_TOKENS.holds_for(id) else "max_tokens",
        efforts=efforts,
        thinking_switch=False,
        include_usage=model is None or model.streams,
    )


class ChatWays:
    """One chat request and its answer, for `ChatUpstream`. `model` is what is known of the model `id`."""

    def __init__(self, id: str, model: CopilotModel | None) -> None:
        self._id = id
        self._model = model
        self._most: int | None = None
        self._finished = False
        self._opaque = ""
        self._signatures: dict[str, str] = {}

    def body(self, body: dict[str, Any]) -> dict[str, Any]:
        """The request within what the model takes, with the signatures of its own calls in their places."""
        for name in among(REFUSED_CHAT_FIELDS, self._id):
            body.pop(name, None)
        if self._model is not None and not self._model.streams:
            body["stream"] = False
            body.pop("stream_options", None)
        most = None if self._model is None else self._model.model.max_output_tokens
        for name in ("max_tokens", "max_completion_tokens"):
            if most is not None and isinstance(body.get(name), int):
                body[name] = min(body[name], most)
            self._most = body.get(name, self._most)
        if self._most is None:
            self._most = most
        body["messages"] = [self._message(message) for message in body["messages"]]
        return body

    def chunk(self, chunk: Any) -> Any:
        """The chunk in the names that the house reads."""
        if not isinstance(chunk, dict):
            return chunk
        _translate(chunk.get("error"))
        choices = chunk.get("choices")
        told = [choice for choice in choices if isinstance(choice, dict)] if isinstance(choices, list) else []
        for choice in told:
            for name in ("delta", "message"):
                if isinstance(choice.get(name), dict):
                    self._read(choice[name])
            self._finished = self._finished or bool(choice.get("finish_reason"))
        if not told and not self._finished and self._is_spent(chunk.get("usage")):
            # Thinking filled all there was room for: the answer is over, and says nothing more.
            return {**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]}
        return chunk

    def _is_spent(self, usage: Any) -> bool:
        written = usage.get("completion_tokens") if isinstance(usage, dict) else None
        return isinstance(written, int) and self._most is not None and written >= self._most > 0

    def _read(self, delta: dict[str, Any]) -> None:
        for older, newer, _ in OLDER_REASONING:
            if isinstance(delta.get(older), str) and not delta.get(newer):
                delta[newer] = delta[older]
        if isinstance(delta.get(_OPAQUE), str) and delta[_OPAQUE]:
            self._opaque = delta[_OPAQUE]
        signed = dict(_signatures(delta.get("tool_calls")))
        if signed or (self._signatures and delta.get(_OPAQUE)):
            # Calls cannot carry it through a client; reasoning can.
            self._signatures |= signed
            delta[_OPAQUE] = _SIGNED + json.dumps({"opaque": self._opaque, "calls": self._signatures})

    def _message(self, message: dict[str, Any]) -> dict[str, Any]:
        if message.get("role") == "system" and NO_SYSTEM_ROLE.holds_for(self._id):
            return {**message, "role": "user"}
        opaque = message.get(_OPAQUE)
        if opaque is None and _TEXT not in message:
            return message
        told = dict(message)
        if isinstance(opaque, str) and opaque.startswith(_SIGNED):
            opaque, signatures = _unsigned(opaque)
            told[_OPAQUE] = opaque
            if "tool_calls" in told:
                told["tool_calls"] = [_with_signature(call, signatures) for call in told["tool_calls"]]
        if not opaque:
            # Reasoning that Copilot did not mint means nothing to its models.
            told.pop(_OPAQUE, None)
            told.pop(_TEXT, None)
        return told


def _signatures(calls: Any) -> Iterator[tuple[str, str]]:
    for call in calls if isinstance(calls, list) else ():
        if not isinstance(call, dict) or not isinstance(call.get("id"), str):
            continue
        function = call.get("function")
        for holder in (function, call):
            signature = holder.get(_SIGNATURE) if isinstance(holder, dict) else None
            if isinstance(signature, str) and signature:
                yield call["id"], signature
                break


def _unsigned(opaque: str) -> tuple[str, Mapping[str, Any]]:
    try:
        told = json.loads(opaque.removeprefix(_SIGNED))
    except ValueError:
        return "", {}
    match told:
        case {"opaque": str(raw), "calls": dict(calls)}:
            return raw, calls
    return "", {}


def _with_signature(call: dict[str, Any], signatures: Mapping[str, Any]) -> dict[str, Any]:
    signature = signatures.get(call.get("id", ""))
    if signature is None or "function" not in call:
        return call
    return {**call, "function": {**call["function"], _SIGNATURE: signature}}


def _translate(error: Any) -> None:
    code = error.get("code") if isinstance(error, dict) else None
    if isinstance(code, str) and (known := house_code(code)) is not None:
        error["code"] = known
