"""Native events that do not say where they belong, as llama.cpp sends them (b11549)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from maestro_daemon.events import ResponseEvent
from maestro_daemon.protocol.placing import Placing
from tests.support import native
from tests.support.core import named, passed
from tests.support.oracle import check_stream

Event = dict[str, Any]
ADDED = "response.output_item.added"
DONE = "response.output_item.done"
MESSAGE = {"id": "msg_12345678", "type": "message", "role": "assistant"}
CALL = {"type": "function_call", "call_id": "fc_aaaaaaaa", "name": "look"}
PART = {"type": "output_text", "annotations": [], "logprobs": [], "text": "Hello"}
SAID = {**MESSAGE, "status": "completed", "content": [PART]}
CALLED = [
    {**CALL, "call_id": id, "status": "completed", "arguments": "{}"} for id in ("fc_aaaaaaaa", "fc_bbbbbbbb")
]


def call_events(item: Event) -> list[Event]:
    id = item["call_id"]
    return [
        {"type": ADDED, "item": {**item, "arguments": "", "status": "in_progress"}},
        {"type": "response.function_call_arguments.delta", "item_id": id, "delta": "{"},
        {"type": "response.function_call_arguments.delta", "item_id": id, "delta": "}"},
        {"type": "response.function_call_arguments.done", "item_id": id, "name": "look", "arguments": "{}"},
        {"type": DONE, "item": item},
    ]


EVENTS: list[Event] = [
    {"type": ADDED, "item": {**MESSAGE, "status": "in_progress", "content": []}},
    {
        "type": "response.content_part.added",
        "item_id": "msg_12345678",
        "part": {"type": "output_text", "text": ""},
    },
    {"type": "response.output_text.delta", "item_id": "msg_12345678", "delta": "Hel"},
    {"type": "response.output_text.delta", "item_id": "msg_12345678", "delta": "lo"},
    {"type": "response.output_text.done", "item_id": "msg_12345678", "text": "Hello"},
    {"type": "response.content_part.done", "item_id": "msg_12345678", "part": PART},
    {"type": DONE, "item": SAID},
    *call_events(CALLED[0]),
    *call_events(CALLED[1]),
    {
        "type": "response.completed",
        "response": native.response(status="completed", output=[SAID, *CALLED]),
    },
]


def placed(events: list[Event]) -> list[ResponseEvent]:
    placing = Placing()
    return [placing.take(named(event)) for event in events]


def needed() -> Placing:
    placing = Placing()
    placing.take(named(EVENTS[0]))
    assert placing.needed
    return placing


def test_a_stream_without_places_is_told_once_and_well() -> None:
    response = check_stream(passed(placed(EVENTS)))
    assert [item["type"] for item in response["output"]] == ["message", "function_call", "function_call"]
    assert [item["call_id"] for item in response["output"][1:]] == ["fc_aaaaaaaa", "fc_bbbbbbbb"]


def test_parts_and_summaries_are_counted_within_their_item() -> None:
    reasoning = {"id": "rs_1", "type": "reasoning", "summary": []}
    part = {"item_id": "rs_1", "part": {"type": "summary_text", "text": ""}}
    events = [
        {"type": ADDED, "item": reasoning},
        {"type": "response.reasoning_text.delta", "item_id": "rs_1", "delta": "a"},
        {"type": "response.reasoning_summary_part.added", **part},
        {"type": "response.reasoning_summary_text.delta", "item_id": "rs_1", "delta": "b"},
        {"type": "response.reasoning_summary_part.done", **part},
        {"type": "response.reasoning_summary_part.added", **part},
        {"type": "response.reasoning_summary_text.delta", "item_id": "rs_1", "delta": "c"},
    ]
    told = [json.loads(event.payload) for event in placed(events)]
    assert {each["output_index"] for each in told} == {0}
    assert told[1]["content_index"] == 0
    assert [each["summary_index"] for each in told[2:]] == [0, 0, 0, 1, 1]


@pytest.mark.parametrize(
    "event",
    [
        {"type": "response.completed", "response": {}},
        {"type": "response.x", "item_id": "msg_12345678"},
        {"type": "error", "message": "No."},
        {"type": ADDED, "item": 3},
    ],
)
def test_what_has_no_place_passes_as_it_is(event: Event) -> None:
    placing, before = needed(), named(event)
    assert placing.take(before) is before


@pytest.mark.parametrize("payload", [b"{", b"[1]", b"null"])
def test_what_is_no_event_passes_as_it_is(payload: bytes) -> None:
    event = ResponseEvent("response.output_text.delta", payload)
    assert needed().take(event) is event


def test_an_event_belongs_to_the_item_that_it_names_not_to_the_latest() -> None:
    first, second = (call_events(item) for item in CALLED)
    told = [json.loads(event.payload) for event in placed([first[0], second[0], *first[1:], *second[1:]])]
    assert [each["output_index"] for each in told] == [0, 1, 0, 0, 0, 0, 1, 1, 1, 1]


def test_a_place_that_is_said_stays() -> None:
    event = {"type": "response.output_text.delta", "output_index": 7, "content_index": 3, "logprobs": [1]}
    assert json.loads(needed().take(named(event)).payload) == event


def test_a_stream_with_places_passes_as_it_is() -> None:
    placing = Placing()
    for event in native.events(native.message_events(["Hel", "lo"])):
        before = named(event)
        assert placing.take(before) is before
    assert not placing.needed
