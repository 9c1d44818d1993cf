"""The events of one ``POST /messages`` → deltas."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from maestro_anthropic.refusals import stream_refusal
from maestro_anthropic.thinking import ThinkingRun
from maestro_daemon.plugin import (
    Delta,
    Finish,
    ReasoningDelta,
    RefusalDelta,
    ServedBy,
    TextDelta,
    ToolCallDelta,
    UpstreamBroken,
    Usage,
)

_FINISHES: Final[Mapping[str, str]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    # The turn is not over, and nobody here can go on with it.
    "pause_turn": "length",
    "refusal": "content_filter",
}
_TIERS: Final[Mapping[str, str]] = {"standard": "default", "priority": "priority"}
_MOST_IDLE_RECORDS: Final = 100_000


class _Block:
    """One content block while it is open."""

    __slots__ = ("call", "kind", "said", "signature", "thought", "whole")

    def __init__(self, kind: str, call: int = -1) -> None:
        self.kind = kind
        self.call = call
        self.said = False
        self.thought = 0
        self.signature = ""
        self.whole: Any = None


class MessageReader:
    """One answer's events in, deltas out: a `DeltaReader`.

    `answer_tool` is the tool whose input is the answer's text. A field of a wrong type counts as absent, an
    event or block of a kind not known here says nothing.
    """

    def __init__(self, *, provider: str, answer_tool: str | None = None) -> None:
        self.ended = False
        self._provider = provider
        self._answer_tool = answer_tool
        self._blocks: dict[int, _Block] = {}
        self._calls = 0
        self._run = ThinkingRun()
        self._usage: dict[str, int] = {}
        self._idle = 0

    def feed(self, name: str, record: Any) -> Iterator[Delta]:
        """Read one event. Raises `UpstreamRefused` or `UpstreamBroken` for one that tells of an error."""
        if not isinstance(record, dict):
            raise UpstreamBroken(f"{self._provider} sent {type(record).__name__} where an event belongs.")
        kind = record.get("type")
        if kind == "error" or name == "error" or (kind is None and "error" in record):
            raise stream_refusal(record, provider=self._provider)
        said = False
        for delta in self._read(kind, record):
            said = True
            yield delta
        self._idle = 0 if said else self._idle + 1
        if self._idle > _MOST_IDLE_RECORDS:
            raise UpstreamBroken(f"{self._provider} sent {_MOST_IDLE_RECORDS} events that say nothing.")

    def close(self) -> Iterator[Delta]:
        """Nothing is held back."""
        return iter(())

    def _read(self, kind: Any, record: Mapping[str, Any]) -> Iterator[Delta]:
        match kind:
            case "content_block_delta":
                yield from self._delta(_index(record), _table(record.get("delta")))
            case "content_block_start":
                yield from self._start(_index(record), _table(record.get("content_block")))
            case "content_block_stop":
                yield from self._stop(_index(record))
            case "message_start":
                yield from self._message(_table(record.get("message")))
            case "message_delta":
                yield from self._count(_table(record.get("usage")))
                yield from self._finish(_table(record.get("delta")))
            case "message_stop":
                self.ended = True
            case "message":
                yield from self._whole(record)

    def _whole(self, message: Mapping[str, Any]) -> Iterator[Delta]:
        """An answer that was not streamed, as some gateways send it."""
        yield from self._message(message)
        content = message.get("content")
        for index, block in enumerate(content if isinstance(content, list) else ()):
            yield from self._start(index, _table(block))
            yield from self._stop(index)
        yield from self._finish(message)
        self.ended = True

    def _message(self, message: Mapping[str, Any]) -> Iterator[Delta]:
        usage = _table(message.get("usage"))
        tier = _TIERS.get(str(usage.get("service_tier")))
        if tier is not None:
            yield ServedBy({"service_tier": tier})
        yield from self._count(usage)

    def _start(self, index: int, said: Mapping[str, Any]) -> Iterator[Delta]:
        kind = said.get("type")
        block = self._blocks[index] = _Block(kind if isinstance(kind, str) else "")
        match kind:
            case "text":
                yield from self._text(_string(said.get("text")))
            case "thinking":
                block.signature = _string(said.get("signature"))
                yield from self._think(block, _string(said.get("thinking")))
            case "redacted_thinking":
                if data := _string(said.get("data")):
                    yield ReasoningDelta("", self._run.add_redacted(data))
            case "tool_use":
                yield from self._call(block, said)

    def _call(self, block: _Block, said: Mapping[str, Any]) -> Iterator[Delta]:
        self._run = ThinkingRun()
        if said.get("input"):
            block.whole = said["input"]
        name = _string(said.get("name"))
        if name == self._answer_tool:
            block.kind = "answer"
            return
        block.call = self._calls
        self._calls += 1
        yield ToolCallDelta(block.call, id=_string(said.get("id")), name=name)

    def _delta(self, index: int, delta: Mapping[str, Any]) -> Iterator[Delta]:
        match delta.get("type"):
            case "text_delta":
                yield from self._text(_string(delta.get("text")))
            case "thinking_delta":
                yield from self._think(self._block(index, "thinking"), _string(delta.get("thinking")))
            case "signature_delta":
                self._block(index, "thinking").signature += _string(delta.get("signature"))
            case "input_json_delta":
                yield from self._argue(self._block(index, ""), _string(delta.get("partial_json")))

    def _stop(self, index: int) -> Iterator[Delta]:
        block = self._blocks.pop(index, None)
        if block is None:
            return
        if block.kind == "thinking" and (block.signature or block.thought):
            opaque = self._run.add_thinking(block.thought, block.signature)
            if block.signature:
                yield ReasoningDelta("", opaque)
        elif block.kind in ("tool_use", "answer") and not block.said:
            yield from self._argue(block, "{}" if block.whole is None else json.dumps(block.whole))

    def _argue(self, block: _Block, piece: str) -> Iterator[Delta]:
        if not piece:
            return
        block.said = True
        if block.kind == "answer":
            yield TextDelta(piece)
        elif block.kind == "tool_use":
            yield ToolCallDelta(block.call, arguments=piece)

    def _text(self, text: str) -> Iterator[Delta]:
        # Beside a tool that gives the answer, words are talk about it.
        if text and self._answer_tool is None:
            if not text.isspace():
                self._run = ThinkingRun()
            yield TextDelta(text)

    def _think(self, block: _Block, text: str) -> Iterator[Delta]:
        if text:
            block.thought += len(text)
            yield ReasoningDelta(text)

    def _block(self, index: int, kind: str) -> _Block:
        return self._blocks.setdefault(index, _Block(kind))

    def _finish(self, said: Mapping[str, Any]) -> Iterator[Delta]:
        reason = said.get("stop_reason")
        if not isinstance(reason, str) or not reason:
            return
        explanation = _string(_table(said.get("stop_details")).get("explanation"))
        if reason == "refusal" and explanation:
            yield RefusalDelta(explanation)
        yield Finish(_FINISHES.get(reason, reason))

    def _count(self, usage: Mapping[str, Any]) -> Iterator[Delta]:
        """What a record tells of the tokens; counts are totals, and what is not told again still holds."""
        told = {
            name: value
            for name, value in {**usage, **_table(usage.get("output_tokens_details"))}.items()
            if type(value) is int and value >= 0
        }
        if not told:
            return
        self._usage.update(told)
        count = self._usage.get
        read, written = count("cache_read_input_tokens", 0), count("cache_creation_input_tokens", 0)
        yield Usage(
            input_tokens=count("input_tokens", 0) + read + written,
            output_tokens=count("output_tokens", 0),
            cached_tokens=read,
            cache_write_tokens=written,
            reasoning_tokens=count("thinking_tokens", 0),
        )


def _index(record: Mapping[str, Any]) -> int:
    index = record.get("index")
    return index if type(index) is int else -1


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
