"""The judge of Responses streams, for every test that has the events of one at hand.

``check_stream(events)`` takes a whole stream, from ``response.created`` to its terminal event, and returns
the terminal Response; an `AssertionError` says which event is wrong and why. It holds the stream against

- the grammar: unbroken `sequence_number`s from 0, created and in_progress first, exactly one terminal event,
  last; one item open at a time, items numbered in order, each with one id, type and call_id; parts within
  items, deltas within parts; what the deltas add up to is the done text, the part, the item and the item of
  the final output; statuses and reasons that agree;
- the types of the openai package, strictly, each payload by the class of its event;
- the openai package's own ``.stream()`` accumulator, whose result must be the terminal Response.

`response_oracle` judges what is not a stream: a JSON answer, one event.

``keepalive`` events may stand anywhere between the preamble and the end, an ``error`` event only before
``response.failed``. Events of hosted tools are judged by type and place, not by content. An event type that
the openai package does not know is wrong unless `unknown` allows it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from typing import Any

from openai import omit
from openai._models import construct_type
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import ResponseStreamEvent

from maestro_daemon.events import ResponseEvent
from maestro_daemon.testing.response_oracle import check_item, check_response, check_types

LIFECYCLE = {
    "response.created": {"in_progress", "queued"},
    "response.queued": {"queued"},
    "response.in_progress": {"in_progress"},
    "response.completed": {"completed"},
    "response.failed": {"failed"},
    "response.incomplete": {"incomplete"},
}
TERMINAL = ("response.completed", "response.failed", "response.incomplete")


# delta type -> (the done type, the done event's field, the part's type or the item's member)
TEXTS = {
    "response.output_text.delta": ("response.output_text.done", "text", "output_text"),
    "response.refusal.delta": ("response.refusal.done", "refusal", "refusal"),
    "response.reasoning_text.delta": ("response.reasoning_text.done", "text", "reasoning_text"),
    "response.function_call_arguments.delta": (
        "response.function_call_arguments.done",
        "arguments",
        "function_call",
    ),
    "response.custom_tool_call_input.delta": (
        "response.custom_tool_call_input.done",
        "input",
        "custom_tool_call",
    ),
}
DONES = {done: (delta, field, kind) for delta, (done, field, kind) in TEXTS.items()}


def check_stream(events: Iterable[ResponseEvent], *, unknown: Collection[str] = ()) -> dict[str, Any]:
    """Judge a whole stream; return the terminal event's Response."""
    judge = _Judge(unknown)
    payloads: list[dict[str, Any]] = []
    for event in events:
        payload = json.loads(event.payload)
        try:
            judge.take(event, payload)
        except AssertionError as error:
            raise AssertionError(f"event {len(payloads)}, {event.payload[:400]!r}: {error}") from None
        payloads.append(payload)
    assert judge.ended, f"no terminal event; the last one is {payloads[-1] if payloads else None}"
    _accumulate(payloads, judge)
    return judge.response


class _Judge:
    def __init__(self, unknown: Collection[str]) -> None:
        self._unknown = unknown
        self._count = 0
        self._created: dict[str, Any] | None = None
        self._began = False
        self._error = False
        self._items: list[dict[str, Any]] = []
        self._item: dict[str, Any] | None = None
        self._part: dict[str, Any] | None = None
        self._parts: list[dict[str, Any]] = []
        self._said: str = ""
        self._logprobs: list[Any] = []
        self._annotations: list[Any] = []
        self._text_done = False
        self.ended = False
        self.response: dict[str, Any] = {}

    def take(self, event: ResponseEvent, payload: dict[str, Any]) -> None:
        kind = payload["type"]
        assert not self.ended, "an event after the terminal one"
        assert kind == event.type, f"the event is named {event.type}"
        assert b"\n" not in event.payload
        assert b"\r" not in event.payload
        assert payload["sequence_number"] == self._count, f"sequence_number should be {self._count}"
        self._count += 1
        check_types(payload, unknown=self._unknown)
        if kind in LIFECYCLE:
            self._lifecycle(kind, payload["response"])
            return
        assert self._began, "an event before response.in_progress"
        if kind == "keepalive":
            return
        assert not self._error, "an error event is followed by response.failed"
        if kind == "error":
            assert payload["error"].keys() >= {"type", "code", "message", "param"}
            self._error = True
        elif kind == "response.output_item.added":
            self._added(payload)
        elif kind == "response.output_item.done":
            self._done(payload)
        else:
            self._within(kind, payload)

    def _lifecycle(self, kind: str, response: dict[str, Any]) -> None:
        check_response(response)
        assert response["status"] in LIFECYCLE[kind]
        if self._created is None:
            assert kind == "response.created", "response.created comes first"
            self._created = response
        else:
            assert kind != "response.created"
            for name in ("id", "created_at", "model", "previous_response_id"):
                assert response[name] == self._created[name], f"{name} changed within the stream"
        if kind == "response.in_progress":
            assert not self._began
            self._began = True
        if kind in TERMINAL:
            assert self._began
            assert self._item is None, f"the item {self._item} is still open"
            assert not self._error or kind == "response.failed"
            assert response["output"] == self._items, "the output differs from the items that were sent"
            self.ended = True
            self.response = response
        else:
            assert response["output"] == []
            assert response["usage"] is None

    def _added(self, payload: dict[str, Any]) -> None:
        item = payload["item"]
        assert self._item is None, "an item is still open"
        assert payload["output_index"] == len(self._items)
        check_item(item)
        assert item["status"] == "in_progress"
        empty: dict[str, tuple[str, Any]] = {"message": ("content", []), "reasoning": ("summary", [])}
        empty |= {"function_call": ("arguments", ""), "custom_tool_call": ("input", "")}
        if item["type"] in empty:
            name, nothing = empty[item["type"]]
            assert item[name] == nothing, f"an item begins with empty {name}"
        self._item = item
        self._part = None
        self._parts = []
        self._said = ""
        self._text_done = False

    def _done(self, payload: dict[str, Any]) -> None:
        item, added = payload["item"], self._item
        assert added is not None, "no item is open"
        assert self._part is None, "a part is still open"
        assert payload["output_index"] == len(self._items)
        check_item(item)
        assert item["status"] in ("completed", "incomplete")
        for name in ("id", "type", "call_id", "name", "namespace", "execution"):
            assert item.get(name) == added.get(name), f"{name} differs from that of output_item.added"
        kind = item["type"]
        if kind in ("message", "reasoning"):
            assert item.get("content", []) == self._parts, "the content differs from the parts that were sent"
        elif kind in ("function_call", "custom_tool_call"):
            assert self._text_done, "an item is done before its text"
            assert item["arguments" if kind == "function_call" else "input"] == self._said
        self._items.append(item)
        self._item = None

    def _within(self, kind: str, payload: dict[str, Any]) -> None:
        item = self._item
        assert item is not None, "no item is open"
        assert payload["output_index"] == len(self._items)
        if "item_id" in payload or not kind.startswith("response.shell_call_command."):
            assert payload["item_id"] == item["id"]
        if kind == "response.content_part.added":
            self._part_added(payload)
        elif kind == "response.content_part.done":
            self._part_done(payload)
        elif kind == "response.output_text.annotation.added":
            self._in_part("output_text", payload)
            assert payload["annotation_index"] == len(self._annotations)
            self._annotations.append(payload["annotation"])
        elif kind in TEXTS:
            self._in_part(TEXTS[kind][2], payload)
            assert payload["delta"], "an empty delta"
            self._said += payload["delta"]
            self._logprobs += payload.get("logprobs", [])
        elif kind in DONES:
            _, field, where = DONES[kind]
            self._in_part(where, payload)
            assert payload[field] == self._said, f"{field} is not what the deltas add up to"
            assert payload.get("logprobs", self._logprobs) == self._logprobs
            if kind == "response.function_call_arguments.done":
                assert payload["name"] == item["name"]
            self._text_done = True

    def _in_part(self, where: str, payload: dict[str, Any]) -> None:
        assert not self._text_done, "more text after it was done"
        if self._item is not None and self._item["type"] == where:
            return
        assert self._part is not None, "no part is open"
        assert self._part["type"] == where
        assert payload["content_index"] == len(self._parts)

    def _part_added(self, payload: dict[str, Any]) -> None:
        part = payload["part"]
        assert self._part is None, "a part is still open"
        assert payload["content_index"] == len(self._parts)
        assert part["refusal" if part["type"] == "refusal" else "text"] == "", "a part begins empty"
        if part["type"] == "output_text":
            assert part["annotations"] == []
        self._part = part
        self._said = ""
        self._logprobs = []
        self._annotations = []
        self._text_done = False

    def _part_done(self, payload: dict[str, Any]) -> None:
        part = payload["part"]
        assert self._part is not None, "no part is open"
        assert self._text_done, "a part is done before its text"
        assert part["type"] == self._part["type"]
        assert payload["content_index"] == len(self._parts)
        assert part["refusal" if part["type"] == "refusal" else "text"] == self._said
        if part["type"] == "output_text":
            assert part["annotations"] == self._annotations
            assert part.get("logprobs", []) == self._logprobs
        self._parts.append(part)
        self._part = None
        self._text_done = False


def _accumulate(payloads: list[dict[str, Any]], judge: _Judge) -> None:
    """Feed the openai package's accumulator, which raises by itself; compare what it makes."""
    state: ResponseStreamState[Any] = ResponseStreamState(input_tools=[], text_format=omit)
    texts: dict[tuple[int, int], str] = {}
    for payload in payloads:
        try:
            made = state.handle_event(construct_type(type_=ResponseStreamEvent, value=payload))  # type: ignore[arg-type]
        except (RuntimeError, AssertionError, IndexError, TypeError) as error:
            raise AssertionError(f"openai's accumulator refuses {payload}: {error!r}") from error
        for event in made:
            if event.type in ("response.output_text.delta", "response.function_call_arguments.delta"):
                place = (event.output_index, getattr(event, "content_index", 0))
                texts[place] = event.snapshot
    for (index, part), text in texts.items():
        item = judge.response["output"][index]
        whole = item["arguments"] if item["type"] == "function_call" else item["content"][part]["text"]
        assert text == whole
    if judge.response["status"] == "completed":
        final = state._completed_response
        assert final is not None
        assert _plain(final.output) == judge.response["output"], "openai's final output differs"
        assert final.id == judge.response["id"]


def _plain(output: Any) -> list[Any]:
    plain = [item.to_dict(mode="json", exclude_unset=True) for item in output]
    for item in plain:
        for holder in (item, *item.get("content", [])):
            for added in ("parsed", "parsed_arguments"):
                holder.pop(added, None)
    return plain
