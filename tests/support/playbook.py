"""Playbooks of the translated path: chunks or deltas in, events out, the stream judged by the oracle.

``play(deltas)`` and ``play_chunks(chunks)`` run one answer and return a `Played`. The house's preamble stands
before the reducer's events, so that the oracle sees a whole stream.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from maestro_daemon.deltas import Delta, Finish, TextDelta, ToolCallDelta
from maestro_daemon.events import ResponseEvent
from maestro_daemon.protocol.chat_chunks import ChunkReader
from maestro_daemon.protocol.reducer import ResponseReducer
from maestro_daemon.protocol.response_object import response_object
from maestro_daemon.protocol.tool_names import ToolNames
from maestro_daemon.request import ResponseRequest
from tests.support.oracle import check_stream


@dataclass(frozen=True)
class Played:
    """One answer: its events with the preamble, and the terminal Response."""

    events: list[ResponseEvent]
    response: dict[str, Any]

    @property
    def output(self) -> list[dict[str, Any]]:
        """The items of the answer."""
        output: list[dict[str, Any]] = self.response["output"]
        return output

    @property
    def types(self) -> list[str]:
        """The event types after the preamble, without ``response.``."""
        return [event.type.removeprefix("response.") for event in self.events[2:]]

    def payloads(self, kind: str) -> list[dict[str, Any]]:
        """The payloads of one type, named without ``response.``."""
        return [json.loads(event.payload) for event in self.events if event.type == f"response.{kind}"]

    def deltas(self, kind: str) -> list[str]:
        """The deltas of one type, named without ``response.`` and ``.delta``."""
        return [payload["delta"] for payload in self.payloads(f"{kind}.delta")]


def a_request(**body: Any) -> ResponseRequest:
    """A small request with these body fields."""
    return ResponseRequest(
        body={"model": "m", "input": "hi", "stream": True, **body}, model="m", asked_model="m", stream=True
    )


def preamble(request: ResponseRequest) -> list[ResponseEvent]:
    """The house's two events before all output, numbers 0 and 1."""
    return [
        ResponseEvent(
            kind,
            json.dumps(
                {"type": kind, "sequence_number": number, "response": response_object(request, store=False)}
            ).encode(),
        )
        for number, kind in enumerate(("response.created", "response.in_progress"))
    ]


def play(
    deltas: Iterable[Delta],
    *,
    request: ResponseRequest | None = None,
    names: ToolNames | None = None,
    provider: str = "home",
    input_characters: int = 40,
) -> Played:
    """Reduce one answer's deltas and judge the stream."""
    request = a_request() if request is None else request
    reducer = ResponseReducer(request, names=names, provider=provider, input_characters=input_characters)
    events = preamble(request)
    for delta in deltas:
        events += reducer.feed(delta)
    events += reducer.finish()
    return Played(events, check_stream(events))


def read(chunks: Iterable[Any], *, think_tags: bool = True) -> list[Delta]:
    """The deltas of one stream's chunks, its end included."""
    reader = ChunkReader(think_tags=think_tags)
    deltas = [delta for chunk in chunks for delta in reader.feed(chunk)]
    return deltas + reader.close()


def play_chunks(chunks: Iterable[Any], **settings: Any) -> Played:
    """Read and reduce one answer's chunks and judge the stream."""
    return play(read(chunks), **settings)


def chunk(finish: str | None = None, **delta: Any) -> dict[str, Any]:
    """A chat chunk with one choice."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }


def call_chunk(finish: str | None = None, **call: Any) -> dict[str, Any]:
    """A chat chunk with one piece of a tool call: of `index`, `id`, `name`, `arguments` those given."""
    function = {name: call.pop(name) for name in ("name", "arguments") if name in call}
    return chunk(finish, tool_calls=[{**call, "function": function}])


def call(number: int = 0, arguments: str = "", *, id: str = "", name: str = "") -> ToolCallDelta:
    """A piece of a tool call as a delta."""
    return ToolCallDelta(number, id, name, arguments)


def texts(*pieces: str) -> list[Delta]:
    """Pieces of text as deltas."""
    return [TextDelta(piece) for piece in pieces]


STOP = Finish("stop")
CITATION: dict[str, Any] = {
    "type": "url_citation",
    "url": "https://a",
    "title": "A",
    "start_index": 0,
    "end_index": 2,
}


def feed(reducer: ResponseReducer, *deltas: Delta) -> list[ResponseEvent]:
    """The events that these deltas make."""
    return [event for delta in deltas for event in reducer.feed(delta)]


def shape(played: Played) -> list[tuple[str, str]]:
    """(type, what it says) of each item; several parts joined by ``|``."""
    shapes = []
    for item in played.output:
        parts = [part.get("text", part.get("refusal")) for part in item.get("content", ())]
        shapes.append(
            (item["type"], item.get("arguments", item.get("input", item.get("result", "|".join(parts)))))
        )
    return shapes
