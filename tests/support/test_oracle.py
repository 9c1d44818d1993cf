"""The oracle refuses what it should: a judge that accepts everything proves nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from maestro_daemon.deltas import AnnotationDelta, Finish, ReasoningDelta, RefusalDelta
from maestro_daemon.events import ResponseEvent
from maestro_daemon.protocol.tool_names import ToolName, ToolNames
from tests.support.oracle import check_stream
from tests.support.playbook import call, play, texts

CITATION = {"type": "url_citation", "url": "https://a", "title": "A", "start_index": 0, "end_index": 1}


def good() -> list[dict[str, Any]]:
    """The payloads of a stream with every kind of item, to be changed at will."""
    return [json.loads(payload) for payload in played()]


@cache
def played() -> list[bytes]:
    names = ToolNames()
    custom = names.flat(ToolName("custom", "patch"))
    search = names.flat(ToolName("tool_search", "search"))
    deltas = [
        ReasoningDelta("hm"),
        *texts("one", " two"),
        AnnotationDelta(CITATION),
        RefusalDelta("no"),
        call(0, '{"a":1}', id="c0", name="f"),
        call(1, '{"input":"x"}', id="c1", name=custom),
        call(2, '{"query":"x"}', id="c2", name=search),
        Finish("stop"),
    ]
    return [event.payload for event in play(deltas, names=names).events]


def events(payloads: list[dict[str, Any]]) -> list[ResponseEvent]:
    return [ResponseEvent(payload["type"], json.dumps(payload).encode()) for payload in payloads]


def numbered(payloads: list[dict[str, Any]]) -> list[ResponseEvent]:
    return events([{**payload, "sequence_number": number} for number, payload in enumerate(payloads)])


def test_a_good_stream_is_accepted_with_keepalives() -> None:
    payloads = good()
    payloads.insert(5, {"type": "keepalive"})
    assert check_stream(numbered(payloads))["status"] == "completed"


@pytest.mark.parametrize("at", range(len(good())))
def test_a_stream_that_lacks_an_event_is_refused(at: int) -> None:
    payloads = good()
    del payloads[at]
    with pytest.raises(AssertionError):
        check_stream(numbered(payloads))


@pytest.mark.parametrize("at", range(len(good())))
def test_a_stream_with_an_event_twice_is_refused(at: int) -> None:
    payloads = good()
    payloads.insert(at, payloads[at])
    with pytest.raises(AssertionError):
        check_stream(numbered(payloads))


def neighbours(payloads: list[dict[str, Any]]) -> list[int]:
    """Places of events that may not stand after the next one; an annotation may come before a delta."""
    annotation = "response.output_text.annotation.added"
    return [at for at, payload in enumerate(payloads[1:]) if payload["type"] != annotation]


@pytest.mark.parametrize("at", neighbours(good()))
def test_a_stream_with_two_events_swapped_is_refused(at: int) -> None:
    payloads = good()
    payloads[at], payloads[at + 1] = payloads[at + 1], payloads[at]
    with pytest.raises(AssertionError):
        check_stream(numbered(payloads))


def each_change(payloads: list[dict[str, Any]]) -> list[tuple[int, str]]:
    return [(at, name) for at, payload in enumerate(payloads) for name in payload]


@pytest.mark.parametrize(("at", "name"), each_change(good()))
def test_an_event_that_lacks_a_field_is_refused(at: int, name: str) -> None:
    payloads = good()
    del payloads[at][name]
    with pytest.raises((AssertionError, KeyError)):
        check_stream(
            ResponseEvent(payload.get("type", "none"), json.dumps(payload).encode()) for payload in payloads
        )


@pytest.mark.parametrize(
    ("at", "name"), [(at, name) for at, name in each_change(good()) if name not in ("type", "response")]
)
def test_an_event_with_another_value_is_refused(at: int, name: str) -> None:
    payloads = good()
    value = payloads[at][name]
    other: Any = {"text": "x"}
    if isinstance(value, str):
        other = value + "x"
    elif isinstance(value, int):
        other = value + 1
    elif isinstance(value, list):
        other = [*value, {"token": "a", "logprob": -1.0, "bytes": [], "top_logprobs": []}]
    payloads[at][name] = other
    with pytest.raises(AssertionError):
        check_stream(events(payloads))


def changed(change: Callable[[dict[str, Any]], Any]) -> list[ResponseEvent]:
    """The good stream with a change of its terminal Response."""
    payloads = good()
    change(payloads[-1]["response"])
    return events(payloads)


@pytest.mark.parametrize(
    "change",
    [
        lambda response: response.update(id="resp_other"),
        lambda response: response.update(model="other"),
        lambda response: response.update(status="incomplete"),
        lambda response: response.update(output=[]),
        lambda response: response.update(usage=None),
        lambda response: response.update(completed_at=None),
        lambda response: response.pop("service_tier"),
        lambda response: response["usage"].update(total_tokens=0),
        lambda response: response["usage"].pop("input_tokens_details"),
        lambda response: response["output"][0].update(encrypted_content=None),
        lambda response: response["output"][0].pop("summary"),
        lambda response: response["output"][1].update(status="incomplete"),
        lambda response: response["output"][1]["content"][0].update(text="one"),
        lambda response: response["output"].reverse(),
    ],
)
def test_a_terminal_response_that_disagrees_is_refused(change: Callable[[dict[str, Any]], Any]) -> None:
    with pytest.raises(AssertionError):
        check_stream(changed(change))


def test_an_event_of_no_known_type_is_refused_unless_allowed() -> None:
    payloads = good()
    payloads.insert(3, {"type": "response.novelty", "item_id": payloads[2]["item"]["id"], "output_index": 0})
    with pytest.raises(AssertionError, match="novelty"):
        check_stream(numbered(payloads))
    assert check_stream(numbered(payloads), unknown={"response.novelty"})


def test_an_event_under_another_name_is_refused() -> None:
    wrong = events(good())
    wrong[4] = ResponseEvent("response.other", wrong[4].payload)
    with pytest.raises(AssertionError):
        check_stream(wrong)
