"""Chat Completions chunks in, deltas out: one stream's chunks, from any server that speaks the dialect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from maestro_daemon.deltas import (
    AnnotationDelta,
    Delta,
    Finish,
    ReasoningDelta,
    RefusalDelta,
    ServedBy,
    TextDelta,
    ToolCallDelta,
)
from maestro_daemon.errors import UpstreamBroken
from maestro_daemon.protocol import json
from maestro_daemon.protocol.chat_calls import ChatCalls
from maestro_daemon.protocol.chat_facts import annotations_of, images_of, logprobs_of, table, usage_of
from maestro_daemon.protocol.error_body import stream_failure
from maestro_daemon.protocol.surrogates import PairJoiner, whole
from maestro_daemon.protocol.think_tags import ThinkTags

_REASONING_FIELDS: Final = ("reasoning_content", "reasoning", "reasoning_text")
"""Where servers put reasoning in clear; a server that sends it twice is read once."""

_USAGE_FIELDS: Final = frozenset({"usage", "timings", "x_groq"})

MOST_EMPTY_CHUNKS: Final = 100_000
"""Chunks in a row that say nothing; beyond is a runaway."""


class ChunkReader:
    """The chunks of one stream → deltas, incrementally.

    `think_tags` reads a leading ``<think>`` block as reasoning while the server has no field for it. Ids,
    indexes and names of tool calls may be missing, repeated or late; the halves of a pair of surrogates may
    lie in two chunks. A field of a wrong type counts as absent.
    """

    def __init__(self, *, think_tags: bool = True) -> None:
        self._tags = ThinkTags() if think_tags else None
        self._text = PairJoiner()
        self._reasoning = PairJoiner()
        self._refusal = PairJoiner()
        self._calls = ChatCalls()
        self._logprobs: list[dict[str, Any]] = []
        self._tier = ""
        self._usage_inside = False
        self._empty = 0

    def feed(self, chunk: Any) -> list[Delta]:
        """Read one chunk, any parsed JSON value.

        Raises what `error_body.stream_failure` makes of an error object (`UpstreamBroken`, or
        `UpstreamRefused` for a code that stands for a refusal), and `UpstreamBroken` for a value that is no
        object and for an upstream that runs on without saying anything.
        """
        if not isinstance(chunk, dict):
            raise UpstreamBroken(f"The upstream sent {type(chunk).__name__} where a chunk belongs.")
        _refuse_error(chunk)
        out: list[Delta] = []
        choices = chunk.get("choices")
        if isinstance(choices, list):
            # One answer was asked for: a server that sends several choices has split it (text, calls).
            for choice in choices:
                if isinstance(choice, dict):
                    self._choice(choice, out)
        said = bool(out)
        if (self._usage_inside or not chunk.keys().isdisjoint(_USAGE_FIELDS)) and (usage := usage_of(chunk)):
            out.append(usage)
        tier = chunk.get("service_tier")
        if isinstance(tier, str) and tier and tier != self._tier:
            self._tier = tier
            out.append(ServedBy({"service_tier": whole(tier)}))
        self._empty = 0 if said else self._empty + 1
        if self._empty > MOST_EMPTY_CHUNKS:
            raise UpstreamBroken(f"The upstream sent {MOST_EMPTY_CHUNKS} chunks in a row that say nothing.")
        return out

    def close(self) -> list[Delta]:
        """The stream is over, by ``[DONE]`` or EOF: whatever was held back."""
        out: list[Delta] = []
        self._end_reasoning(out)
        self._end_text(out)
        if rest := self._refusal.close():
            out.append(RefusalDelta(rest))
        rests = ((call.number, call.close()) for call in self._calls)
        out += [ToolCallDelta(number, arguments=rest) for number, rest in rests if rest]
        return out

    def _choice(self, choice: Mapping[str, Any], out: list[Delta]) -> None:
        _refuse_error(choice)
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            # A server that answers a streaming request with one whole completion.
            delta = table(choice.get("message"))
        if choice.get("logprobs"):
            self._logprobs += logprobs_of(choice)
        if choice.get("usage"):
            self._usage_inside = True
        self._read_reasoning(delta, out)
        content = delta.get("content")
        if content:
            self._content(content, out)
        refusal = delta.get("refusal")
        if isinstance(refusal, str) and refusal:
            self._end_text(out)
            if refusal := self._refusal.feed(refusal):
                out.append(RefusalDelta(refusal))
        if delta.get("annotations"):
            out += [AnnotationDelta(each) for each in annotations_of(delta)]
        if delta.get("images") and (images := images_of(delta)):
            self._end_reasoning(out)
            self._end_text(out)
            out += images
        calls = delta.get("tool_calls")
        if calls:
            for call in calls if isinstance(calls, list) else [calls]:
                if isinstance(call, dict):
                    self._call(call, out)
        if isinstance(delta.get("function_call"), dict):
            self._call({"function": delta["function_call"]}, out)
        finish = choice.get("finish_reason")
        if isinstance(finish, str) and finish:
            out.append(Finish(finish))

    def _content(self, content: Any, out: list[Delta]) -> None:
        if isinstance(content, str):
            self._say(content, out)
        elif isinstance(content, list):
            for part in content:
                self._part(table(part), out)

    def _part(self, part: Mapping[str, Any], out: list[Delta]) -> None:
        """One part of a content array, as Mistral sends its reasoning."""
        text = part.get("text")
        if isinstance(text, str):
            self._say(text, out)
        elif part.get("type") == "thinking":
            thinking = part.get("thinking")
            for thought in thinking if isinstance(thinking, list) else [{"text": thinking}]:
                text = table(thought).get("text")
                if isinstance(text, str):
                    self._think(text, out)

    def _say(self, text: str, out: list[Delta]) -> None:
        if not text:
            return
        self._end_reasoning(out)
        text = self._text.feed(text)
        if text:
            self._scan(text, out)

    def _scan(self, text: str, out: list[Delta]) -> None:
        tags = self._tags
        if tags is None:
            out.append(self._text_delta(text))
            return
        self._pass_on(tags.feed(text), out)
        if tags.settled:
            self._tags = None

    def _pass_on(self, pieces: list[TextDelta | ReasoningDelta], out: list[Delta]) -> None:
        out += [self._text_delta(each.text) if isinstance(each, TextDelta) else each for each in pieces]

    def _text_delta(self, text: str) -> TextDelta:
        logprobs = self._logprobs
        if not logprobs:
            return TextDelta(text)
        self._logprobs = []
        return TextDelta(text, tuple(logprobs))

    def _read_reasoning(self, delta: Mapping[str, Any], out: list[Delta]) -> None:
        opaque = delta.get("reasoning_opaque")
        if isinstance(opaque, str) and opaque:
            out.append(ReasoningDelta("", whole(opaque)))
        for name in _REASONING_FIELDS:
            value = delta.get(name)
            if isinstance(value, str) and value:
                self._think(value, out)
                return
        if delta.get("reasoning_details"):
            self._think(_details(delta["reasoning_details"]), out)

    def _think(self, text: str, out: list[Delta]) -> None:
        if not text:
            return
        # The head is over with it: the server has a field for reasoning, so a tag in its text is text.
        self._end_text(out)
        text = self._reasoning.feed(text)
        if text:
            out.append(ReasoningDelta(text))

    def _end_reasoning(self, out: list[Delta]) -> None:
        if rest := self._reasoning.close():
            out.append(ReasoningDelta(rest))

    def _end_text(self, out: list[Delta]) -> None:
        """Text is over for now: nothing of it is held any longer."""
        if rest := self._text.close():
            self._scan(rest, out)
        if self._tags is not None:
            self._pass_on(self._tags.interrupt(), out)
            if self._tags.settled:
                self._tags = None

    def _call(self, call: Mapping[str, Any], out: list[Delta]) -> None:
        self._end_reasoning(out)
        self._end_text(out)
        custom = call.get("custom")
        said = table(call.get("function")) if custom is None else table(custom)
        piece = _arguments(said.get("arguments" if custom is None else "input"))
        name = said.get("name")
        name = whole(name).strip() if isinstance(name, str) else ""
        id = _id(call.get("id"))
        known = self._calls.find(_index(call.get("index")), id, name, piece)
        late = "" if known.name else name
        known.name = known.name or name
        arguments = known.arguments(piece, raw=custom is not None)
        out.append(ToolCallDelta(known.number, known.id, late, arguments))


def _refuse_error(place: Mapping[str, Any]) -> None:
    error = place.get("error")
    told = error is not None and error is not False and error != ""
    if told or place.get("object") == "error" or (place.get("type") == "error" and "choices" not in place):
        raise stream_failure(place, provider="The upstream")


def _index(value: Any) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.isdecimal() and len(value) < 10:
        return int(value)
    return None


def _id(value: Any) -> str:
    if isinstance(value, str):
        return whole(value)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def _arguments(value: Any) -> str:
    """The arguments as JSON text: servers that send an object mean its serialisation."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value).decode()


def _details(details: Any) -> str:
    """The text of OpenRouter's ``reasoning_details``."""
    texts = []
    for detail in details if isinstance(details, list) else []:
        for name in ("text", "summary"):
            value = table(detail).get(name)
            if isinstance(value, str):
                texts.append(value)
                break
    return "".join(texts)
