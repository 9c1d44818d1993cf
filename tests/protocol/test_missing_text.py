"""Text that an upstream told only when it was over reaches the client as deltas, once."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import native
from tests.support.core import check_ending, named, passed, wanted
from tests.support.oracle import check_stream

Event = native.Event

DELTA_TYPES = {
    "response.output_text.delta",
    "response.refusal.delta",
    "response.reasoning_summary_text.delta",
    "response.reasoning_text.delta",
    "response.function_call_arguments.delta",
    "response.custom_tool_call_input.delta",
}


def client_gets(events: list[Event]) -> list[dict[str, Any]]:
    sent = passed([named(event) for event in native.numbered(events)], wanted())
    check_ending(sent)
    return [json.loads(event.payload) for event in sent]


def said(events: list[dict[str, Any]]) -> str:
    return "".join(event["delta"] for event in events if event["type"] in DELTA_TYPES)


def types(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events[2:]]


def without(events: list[Event], *kinds: str) -> list[Event]:
    return [event for event in events if not event["type"].endswith(kinds)]


def test_text_that_came_only_in_its_done_event_becomes_a_delta() -> None:
    got = client_gets(without(native.events(native.message_events(["Hello"])), ".delta"))
    assert said(got) == "Hello"
    assert types(got) == types(client_gets(native.events(native.message_events(["Hello"]))))


def test_only_the_missing_end_of_a_text_is_supplied() -> None:
    events = native.events(native.message_events(["Hel", "lo ", "you"]))
    last = max(place for place, event in enumerate(events) if event["type"].endswith("output_text.delta"))
    del events[last]
    got = client_gets(events)
    assert [event["delta"] for event in got if event["type"].endswith(".delta")] == ["Hel", "lo ", "you"]


def test_text_that_came_only_in_the_finished_item_is_told_whole() -> None:
    events = native.events(native.message_events(["Hello"]))
    told = client_gets(without(events, ".delta", "output_text.done", "_part.added", "_part.done"))
    assert said(told) == "Hello"
    assert types(told) == types(client_gets(events))
    assert next(event for event in told if event["type"].endswith("part.done"))["part"]["text"] == "Hello"


def test_a_part_that_ends_without_its_text_is_told_first() -> None:
    events = native.events(native.message_events(["Hello"]))
    told = client_gets(without(events, ".delta", "output_text.done"))
    assert said(told) == "Hello"
    assert types(told) == types(client_gets(events))


def test_a_reasoning_summary_that_only_the_finished_item_holds_is_told_once() -> None:
    thought = native.thought_events("I think.")
    told = client_gets(native.events([thought[0], thought[-1]], native.message_events(["Hi"], 1)))
    assert [event["delta"] for event in told if "summary_text.delta" in event["type"]] == ["I think."]
    assert types(told)[:6] == types(client_gets(native.events(thought)))[:6]


@pytest.mark.parametrize("kept", [".done", "output_item.done"])
def test_arguments_without_deltas_are_told_once(kept: str) -> None:
    events = native.events(native.call_events("add", ['{"a":', "1}"]))
    dropped = [".delta"] if kept == ".done" else [".delta", "arguments.done"]
    told = client_gets(without(events, *dropped))
    assert said(told) == '{"a":1}'
    assert [each for each in types(told) if "arguments" in each] == [
        "function_call_arguments.delta",
        "function_call_arguments.done",
    ]


@pytest.mark.parametrize("kept", [0, 1, 2], ids=["no delta", "some", "all"])
@pytest.mark.parametrize(
    "item",
    [native.message_events(["Hel", "lo"]), native.call_events("f", ["{", "}"]), native.thought_events("Hm.")],
    ids=["message", "call", "thought"],
)
def test_what_the_final_response_alone_holds_of_an_open_item_is_told_once(
    item: list[Event], kept: int
) -> None:
    events = native.events(item)
    deltas = [event for event in events if event["type"].endswith(".delta")]
    told = client_gets([event for event in without(events, ".done") if event not in deltas[kept:]])
    assert said(told) == said(deltas)
    whole = types(client_gets(events))
    assert [each for each in types(told) if each.endswith((".added", ".done"))] == [
        each for each in whole if each.endswith((".added", ".done"))
    ]
    check_stream(passed([named(event) for event in without(events, ".done", ".delta")], wanted()))


def test_a_text_that_disagrees_with_its_deltas_is_left_alone() -> None:
    events = native.events(native.message_events(["Hello"]))
    for event in events:
        if event["type"].endswith("output_text.delta"):
            event["delta"] = "Jello"
    assert said(client_gets(events)) == "Jello"


def test_nothing_is_added_to_a_stream_that_is_whole() -> None:
    events = native.events(
        native.thought_events("Think."),
        native.message_events(["a", "b"], 1),
        native.call_events("f", ["{}"], 2),
    )
    assert types(client_gets(events)) == [event["type"].removeprefix("response.") for event in events[2:]]


def test_what_was_supplied_is_a_whole_stream_to_every_judge() -> None:
    bare = [native.message_events(["Hello"])[0], native.message_events(["Hello"])[-1]]
    call = [native.call_events("f", ["{}"], 1)[0], native.call_events("f", ["{}"], 1)[-1]]
    final = check_stream(passed([named(event) for event in native.events(bare, call)], wanted()))
    assert [item["type"] for item in final["output"]] == ["message", "function_call"]


@given(st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=6), st.data())
def test_whatever_deltas_are_missing_at_the_end_the_text_is_whole(
    pieces: list[str], data: st.DataObject
) -> None:
    events = native.events(native.message_events(pieces))
    deltas = [place for place, event in enumerate(events) if event["type"].endswith("output_text.delta")]
    kept = data.draw(st.integers(0, len(deltas)))
    gone = set(deltas[kept:])
    got = client_gets([event for place, event in enumerate(events) if place not in gone])
    assert said(got) == "".join(pieces)
