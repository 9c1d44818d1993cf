"""Deltas of a summary: exactly one compaction item, or a failure."""

from __future__ import annotations

import json
from typing import Any

import pytest

from maestro_daemon.deltas import Delta, Finish, ReasoningDelta, TextDelta, ToolCallDelta, Usage
from maestro_daemon.errors import UpstreamBroken
from maestro_daemon.events import ResponseEvent
from maestro_daemon.protocol.compaction import own_summary
from maestro_daemon.protocol.compaction_answer import CompactionReducer
from maestro_daemon.protocol.reducer import ResponseReducer
from tests.support.core import passed, wanted
from tests.support.oracle import check_stream

STOP = Finish("stop")


def events_of(*deltas: Delta) -> list[ResponseEvent]:
    """The events of a whole answer of `deltas`, of which none may come before its end."""
    reducer = CompactionReducer(ResponseReducer(wanted(), provider="home"))
    assert [event for delta in deltas for event in reducer.feed(delta)] == []
    return reducer.finish()


def compacted(*deltas: Delta) -> dict[str, Any]:
    """The judged Response."""
    return check_stream(passed(events_of(*deltas), wanted()))


def test_the_answer_is_one_compaction_item() -> None:
    response = compacted(
        ReasoningDelta("Hm."), TextDelta("They "), TextDelta("said hi.\n"), Usage(11, 7), STOP
    )
    (item,) = response["output"]
    assert (item["type"], item["status"]) == ("compaction", "completed")
    assert own_summary(item) == "They said hi."
    assert (response["status"], response["usage"]["total_tokens"]) == ("completed", 18)


def test_the_events_are_those_of_a_compaction() -> None:
    events = events_of(TextDelta("They said hi."), STOP)
    assert [event.type for event in events] == [
        "response.output_item.added",
        "response.compaction.compacting",
        "response.output_item.done",
        "response.completed",
    ]
    added, compacting, done, end = (json.loads(event.payload) for event in events)
    assert end["response"]["output"] == [done["item"]]
    assert added["item"]["id"] == done["item"]["id"] == compacting["item_id"]
    assert added["item"]["id"].startswith("cmp_")


def test_what_else_the_model_does_is_left_out() -> None:
    response = compacted(
        TextDelta("Before."), ToolCallDelta(0, "call_1", "look", "{}"), TextDelta("After."), STOP
    )
    (item,) = response["output"]
    assert own_summary(item) == "Before.\n\nAfter."


def test_half_a_summary_is_incomplete() -> None:
    response = compacted(TextDelta("They sa"), Finish("length"))
    assert (response["status"], response["output"][0]["status"]) == ("incomplete", "incomplete")
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}


@pytest.mark.parametrize(
    "deltas",
    [
        (STOP,),
        (TextDelta(" \n"), STOP),
        (ReasoningDelta("Hm."), STOP),
        (ToolCallDelta(0, "call_1", "look", "{}"), STOP),
        (TextDelta("They sa"),),
    ],
    ids=["nothing", "white space", "only thoughts", "only a call", "cut off"],
)
def test_no_summary_is_a_failure(deltas: tuple[Delta, ...]) -> None:
    with pytest.raises(UpstreamBroken):
        events_of(*deltas)
