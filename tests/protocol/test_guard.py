"""The guard behind the splice: what goes out is well formed, and what nothing touches is equal as bytes."""

from __future__ import annotations

import copy
import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maestro_daemon.errors import AttemptsExhausted, UpstreamBroken, UpstreamRefused, UpstreamUnreachable
from maestro_daemon.events import ResponseEvent
from maestro_daemon.protocol import item_log
from maestro_daemon.protocol.guard import Guard
from tests.support import native
from tests.support.core import MODEL, check_ending, compact, named, passed, wanted
from tests.support.legal_streams import streams, with_rotating_ids, without_ids
from tests.support.native import Event
from tests.support.oracle import check_stream

PLACES = st.sets(st.integers(0, 40), max_size=8)
HELLO = native.events(native.message_events(["Hel", "lo"]))


def numbers_changed(events: list[Event], how: str) -> list[Event]:
    changed = copy.deepcopy(events)
    for number, event in enumerate(changed):
        if how == "missing":
            del event["sequence_number"]
        else:
            event["sequence_number"] = {
                "gapped": number * 3 + 5,
                "text": str(number),
                "repeated": 0,
                "real": float(number),
                "null": None,
                "true": True,
            }[how]
    return changed


def payloads(events: list[ResponseEvent]) -> list[Event]:
    return [json.loads(event.payload) for event in events]


@settings(max_examples=40)
@given(streams())
def test_a_legal_stream_passes_byte_for_byte_but_for_lifecycle_events(events: list[Event]) -> None:
    sent = passed(named(event) for event in events)
    check_stream(sent)
    assert [event.payload for event in sent[2:-1]] == [compact(event) for event in events[2:-1]]
    last = {**events[-1]["response"]}
    told = payloads(sent)[-1]["response"]
    for field in ("id", "created_at", "previous_response_id"):
        last[field] = told[field]
    assert told == last


@settings(max_examples=40)
@given(streams(), PLACES)
def test_after_a_keepalive_only_the_number_differs(events: list[Event], silences: set[int]) -> None:
    sent = passed([named(event) for event in events], silences=silences)
    check_stream(sent)
    assert sum(event.type == "keepalive" for event in sent) == sum(place < len(events) for place in silences)
    said = [event for event in sent[2:-1] if event.type != "keepalive"]
    for event, original in zip(said, events[2:-1], strict=True):
        number = json.loads(event.payload)["sequence_number"]
        assert event.payload == compact({**original, "sequence_number": number})


@settings(max_examples=40)
@given(streams(), PLACES, st.sampled_from(["missing", "gapped", "text", "repeated", "real", "null", "true"]))
def test_numbers_of_any_kind_become_unbroken(events: list[Event], silences: set[int], how: str) -> None:
    check_stream(passed([named(event) for event in numbers_changed(events, how)], silences=silences))


@settings(max_examples=40)
@given(streams())
def test_rotating_item_ids_become_that_of_the_announcement(events: list[Event]) -> None:
    sent = passed(named(event) for event in with_rotating_ids(events))
    response = check_stream(sent)
    assert response["output"] == events[-1]["response"]["output"]
    assert payloads(sent)[2:-1] == events[2:-1]


@settings(max_examples=40)
@given(streams())
def test_items_without_ids_get_one_each(events: list[Event]) -> None:
    sent = passed(named(event) for event in without_ids(events))
    for event in sent:
        assert "web_search" in event.type or json.loads(event.payload).get("item_id") != ""
    if not any("web_search" in event["type"] for event in events):
        check_stream(sent)


@settings(max_examples=40)
@given(streams(), st.integers(0, 60), PLACES, st.booleans())
def test_a_stream_that_fails_anywhere_is_ended_well(
    events: list[Event], cut: int, silences: set[int], broken: bool
) -> None:
    failure = UpstreamBroken("It broke off.") if broken else None
    sent = passed(
        [named(event) for event in events[: min(cut, len(events) - 1)]], silences=silences, failure=failure
    )
    response = check_stream(sent)
    assert response["status"] == "failed"
    assert response["error"]["code"] == "server_error"
    assert sent[-2].type == "error"


@settings(max_examples=40)
@given(streams(), st.integers(2, 60))
def test_a_stream_that_fails_keeps_what_was_said(events: list[Event], cut: int) -> None:
    kept = events[: min(cut, len(events) - 1)]
    response = check_stream(passed(named(event) for event in kept))
    done = [event["item"] for event in kept if event["type"] == "response.output_item.done"]
    assert response["output"][: len(done)] == done
    said = "".join(event["delta"] for event in kept if "delta" in event)
    texts: list[str] = []
    for item in response["output"]:
        parts = [*item.get("summary", ()), *item.get("content", ())]
        texts.extend(part.get("text", "") + part.get("refusal", "") for part in parts)
        texts.append(item.get("arguments", "") + item.get("input", ""))
    assert "".join(texts) == said


@settings(max_examples=40)
@given(streams(), st.sampled_from(["error", "failed", "cancelled", "both"]), st.integers(2, 60))
def test_an_upstream_that_reports_failure_mid_stream_is_passed_on(
    events: list[Event], how: str, cut: int
) -> None:
    begun = events[2 : min(cut, len(events) - 1)]
    if not begun:
        return
    error = {"code": "rate_limit_exceeded", "message": "Too fast.", "param": None}
    ending: list[Event] = []
    if how in ("error", "both"):
        ending.append({"type": "error", **error, "error": {"type": "rate_limit_error", **error}})
    if how in ("failed", "both"):
        told = {"code": error["code"], "message": error["message"]}
        ending.append({"type": "response.failed", "response": native.response(status="failed", error=told)})
    if how == "cancelled":
        told = {"code": error["code"], "message": error["message"]}
        ending.append(
            {"type": "response.cancelled", "response": native.response(status="cancelled", error=told)}
        )
    sent = passed(named(event) for event in [*events[:2], *begun, *ending])
    response = check_stream(sent)
    assert response["error"] == {"code": "rate_limit_exceeded", "message": "Too fast."}
    assert sum(event.type == "error" for event in sent) == (how in ("error", "both"))


@settings(max_examples=40)
@given(streams())
def test_what_comes_behind_the_end_is_left_out(events: list[Event]) -> None:
    after = [events[-1], *events]
    assert [event.type for event in passed(named(event) for event in [*events, *after])] == [
        event["type"] for event in events
    ]


@settings(max_examples=40)
@given(streams(), PLACES)
def test_preamble_and_keepalives_of_the_upstream_are_swallowed_anywhere(
    events: list[Event], places: set[int]
) -> None:
    noisy: list[ResponseEvent] = []
    for place, event in enumerate(events):
        if place in places:
            noisy += [
                named({"type": "keepalive", "sequence_number": 3}),
                named({"type": "response.in_progress", "response": native.response(id="resp_other")}),
                named(
                    {"type": "response.created", "response": native.response()}, "response.output_text.delta"
                ),
            ][: 3 if place > 2 else 2]
        noisy.append(named(event))
    sent = passed(noisy)
    check_stream(sent)
    assert payloads(sent)[2:-1] == events[2:-1]


@settings(max_examples=40)
@given(streams())
def test_a_final_response_without_output_is_filled_from_the_stream(events: list[Event]) -> None:
    for nothing in ([], None, "none"):
        last = {**events[-1], "response": {**events[-1]["response"], "output": nothing}}
        response = check_stream(passed(named(event) for event in [*events[:-1], last]))
        assert response["output"] == events[-1]["response"]["output"]


@settings(max_examples=40)
@given(streams())
def test_an_item_that_is_never_ended_is_ended_by_the_final_response(events: list[Event]) -> None:
    kept = [event for event in events if event["type"] != "response.output_item.done"]
    sent = passed(named(event) for event in kept)
    ids = [event["item"]["id"] for event in payloads(sent) if event["type"] == "response.output_item.added"]
    done = [event["item"] for event in payloads(sent) if event["type"] == "response.output_item.done"]
    assert [item["id"] for item in done] == ids
    assert done == events[-1]["response"]["output"]
    assert check_ending(sent)["output"] == events[-1]["response"]["output"]


@settings(max_examples=40)
@given(streams())
def test_items_that_come_in_the_final_response_alone_are_told_as_events(events: list[Event]) -> None:
    sent = passed([named(event) for event in (*events[:2], events[-1])])
    assert check_stream(sent)["output"] == events[-1]["response"]["output"]


@settings(max_examples=40)
@given(streams(), st.sets(st.sampled_from(["output_item.added", "part.added"]), min_size=1))
def test_what_was_not_announced_is_announced(events: list[Event], left_out: set[str]) -> None:
    own_text = {"message", "reasoning", "function_call", "custom_tool_call"}
    kept = [
        event
        for event in events
        if not event["type"].endswith(tuple(left_out))
        or event.get("item", {"type": "message"})["type"] not in own_text
    ]
    sent = passed(named(event) for event in kept)
    assert check_stream(sent)["output"] == events[-1]["response"]["output"]
    assert Counter(event.type for event in sent) >= Counter(
        event["type"] for event in events if event["type"].endswith(("item.added", "part.added"))
    )


@pytest.mark.parametrize(
    "item", [native.message_events(["Hel", "lo"]), native.call_events("f", ['{"a"', ":1}"])]
)
@pytest.mark.parametrize("late", [1, 2, 3])
def test_an_announcement_that_comes_late_is_not_a_second_one(item: list[Event], late: int) -> None:
    items = [*item[1 : late + 1], item[0], *item[late + 1 :]]
    sent = passed(map(named, native.events(items)))
    assert check_stream(sent)["output"] == [item[-1]["item"]]


@settings(max_examples=40)
@given(streams(), st.integers(0, 3))
def test_an_item_that_stands_in_the_final_response_alone_is_told(events: list[Event], place: int) -> None:
    kept = [event for event in events if event.get("output_index") != place]
    sent = passed(named(event) for event in kept)
    assert check_ending(sent)["output"] == events[-1]["response"]["output"]
    done = [event["item"]["id"] for event in payloads(sent) if event["type"] == "response.output_item.done"]
    assert sorted(done) == sorted(item["id"] for item in events[-1]["response"]["output"])


def test_items_are_told_once_where_the_places_of_the_final_response_are_others() -> None:
    message = native.message_events(["Hello"], index=3, id="msg_" + "3" * 20)
    sent = payloads(passed(named(event) for event in native.events(message)))
    assert sum(event["type"] == "response.output_item.done" for event in sent) == 1


def test_an_item_in_the_final_response_may_bear_anything_for_an_id() -> None:
    events = copy.deepcopy(HELLO)
    events[-1]["response"]["output"].append({"type": "item_to_come", "id": ["x"]})
    sent = payloads(passed(map(named, events)))
    assert sum(event["type"] == "response.output_item.done" for event in sent) == 2


def test_a_part_that_came_with_its_item_is_not_announced_again() -> None:
    part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    events = [event for event in HELLO if event["type"] != "response.content_part.added"]
    events = [
        {**event, "item": {**event["item"], "content": [part]}}
        if event["type"] == "response.output_item.added"
        else event
        for event in events
    ]
    assert "response.content_part.added" not in [event.type for event in passed(map(named, events))]


@settings(max_examples=40)
@given(streams())
def test_pretty_payloads_are_written_on_one_line(events: list[Event]) -> None:
    sent = passed(
        ResponseEvent(event["type"], json.dumps(event, indent=2).replace("\n", "\r\n").encode())
        for event in events
    )
    check_stream(sent)
    assert payloads(sent)[2:-1] == events[2:-1]


@settings(max_examples=40)
@given(streams())
def test_payloads_with_spaces_pass_as_they_are(events: list[Event]) -> None:
    spaced = [json.dumps(event).encode() for event in events]
    sent = passed(ResponseEvent(event["type"], raw) for event, raw in zip(events, spaced, strict=True))
    check_stream(sent)
    assert [event.payload for event in sent[2:-1]] == spaced[2:-1]
    silent = passed(
        [ResponseEvent(event["type"], raw) for event, raw in zip(events, spaced, strict=True)], silences={2}
    )
    check_stream(silent)


JSONS: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
TYPES = st.sampled_from(
    [
        "response.created",
        "response.output_item.added",
        "response.output_item.done",
        "response.content_part.added",
        "response.content_part.done",
        "response.output_text.delta",
        "response.output_text.done",
        "response.output_text.annotation.added",
        "response.refusal.delta",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.reasoning_summary_part.added",
        "response.reasoning_summary_text.delta",
        "response.completed",
        "response.failed",
        "response.incomplete",
        "response.done",
        "response.cancelled",
        "response.something.new",
        "codex.rate_limits",
        "keepalive",
        "error",
        "",
    ]
)
FIELDS = st.sampled_from(
    [
        "type",
        "item",
        "item_id",
        "output_index",
        "content_index",
        "summary_index",
        "part",
        "delta",
        "text",
        "arguments",
        "logprobs",
        "annotation",
        "response",
        "sequence_number",
        "error",
        "message",
        "code",
        "status",
        "output",
        "id",
    ]
)
VALUES = (
    st.integers(0, 2)
    | TYPES
    | st.sampled_from(
        ["message", "function_call", "reasoning", "output_text", "refusal", "summary_text", "id1"]
    )
    | JSONS
)
OBJECTS = st.dictionaries(FIELDS, st.dictionaries(FIELDS, VALUES, max_size=6) | VALUES, max_size=8)


@st.composite
def nonsense(draw: st.DrawFn) -> ResponseEvent:
    name = draw(TYPES)
    raw = draw(st.binary(max_size=12) | st.just(b"") | st.just(b"[]") | st.just(b'{"type":"\\ud800"}'))
    if draw(st.integers(0, 9)) == 0:
        return ResponseEvent(name, raw)
    payload = draw(OBJECTS)
    if draw(st.booleans()):
        payload["type"] = name
    if draw(st.booleans()):
        payload["output_index"] = draw(st.integers(0, 2))
    return ResponseEvent(
        name, json.dumps(payload, ensure_ascii=draw(st.booleans())).encode("utf-8", "replace")
    )


@given(st.lists(nonsense(), max_size=15), PLACES)
def test_any_nonsense_is_ended_by_exactly_one_terminal_event(
    events: list[ResponseEvent], silences: set[int]
) -> None:
    check_ending(passed(events, silences=silences))


@settings(max_examples=40)
@given(streams(), st.lists(st.tuples(st.integers(2, 60), nonsense()), min_size=1, max_size=4))
def test_nonsense_within_a_stream_is_ended_by_exactly_one_terminal_event(
    events: list[Event], wrong: list[tuple[int, ResponseEvent]]
) -> None:
    mixed = [named(event) for event in events]
    for place, event in wrong:
        mixed.insert(min(place, len(mixed)), event)
    check_ending(passed(mixed))


@given(st.permutations(HELLO))
def test_events_in_any_order_are_ended_by_exactly_one_terminal_event(events: list[Event]) -> None:
    check_ending(passed(named(event) for event in events))


@settings(max_examples=40)
@given(streams(), st.data())
def test_repeated_events_are_ended_by_exactly_one_terminal_event(
    events: list[Event], data: st.DataObject
) -> None:
    twice = [event for event in events for _ in range(data.draw(st.integers(1, 2)))]
    check_ending(passed(named(event) for event in twice))


@pytest.mark.parametrize(
    ("name", "said", "status", "ends"),
    [
        ("response.done", "completed", "completed", "completed"),
        ("response.done", "incomplete", "incomplete", "incomplete"),
        ("response.done", "failed", "failed", "failed"),
        ("response.done", None, None, "completed"),
        ("response.completed", "incomplete", "incomplete", "incomplete"),
        ("response.completed", "failed", "failed", "failed"),
        ("response.incomplete", "completed", "completed", "completed"),
        ("response.incomplete", None, None, "incomplete"),
        ("response.failed", "completed", "completed", "completed"),
        ("response.cancelled", "cancelled", "cancelled", "failed"),
        ("response.cancelled", None, None, "failed"),
        ("response.completed", "cancelled", "cancelled", "failed"),
        ("response.completed", "in_progress", "in_progress", "completed"),
    ],
)
def test_the_payloads_status_counts_above_the_events_name(
    name: str, said: str | None, status: str | None, ends: str
) -> None:
    response = native.response(status=said or "completed", output=[native.message("Hello")])
    if said is None:
        del response["status"]
    sent = passed(named(event) for event in [*HELLO[:-1], {"type": name, "response": response}])
    assert sent[-1].type == f"response.{ends}"
    assert check_ending(sent)["status"] == ends


def test_the_payloads_type_counts_above_the_records_name() -> None:
    sent = passed(named(event, "response.something.else") for event in HELLO[2:])
    check_stream(sent)
    assert payloads(sent)[2:-1] == HELLO[2:-1]


def test_a_terminal_name_on_another_event_does_not_leave_the_stream_open() -> None:
    events = [named(event) for event in HELLO[:5]] + [named(HELLO[5], "response.completed")]
    assert check_stream(passed(events))["status"] == "failed"


@pytest.mark.parametrize("type", [None, 5, [], {}, "", True])
def test_a_payload_without_a_usable_type_gets_its_records_name(type: Any) -> None:
    changed = [{**event, "type": type} for event in HELLO]
    sent = passed(named(event, original["type"]) for event, original in zip(changed, HELLO, strict=True))
    check_stream(sent)
    assert payloads(sent)[2:-1] == HELLO[2:-1]


def test_lone_surrogates_become_replacement_characters() -> None:
    events = copy.deepcopy(HELLO)
    for event in events:
        if event["type"] == "response.output_text.delta":
            event["delta"] += "\ud83d"
    sent = passed(named(event) for event in events)
    deltas = [event["delta"] for event in payloads(sent) if "delta" in event]
    assert deltas == ["Hel\ufffd", "lo\ufffd"]
    check_ending(sent)


def test_large_integers_survive_every_rewriting() -> None:
    large = [2**64, -(2**63) - 1, 10**30]
    events = copy.deepcopy(HELLO)
    for event in events:
        event["large"] = large
    events[-1]["response"]["tools"] = [{"type": "x_tool", "maximum": large}]
    for changed in (with_rotating_ids(events), numbers_changed(events, "text"), without_ids(events)):
        sent = payloads(passed(named(event) for event in changed))
        assert [event["large"] for event in sent[2:]] == [large] * len(sent[2:])
        assert sent[-1]["response"]["tools"][0]["maximum"] == large


def test_large_integers_of_an_item_survive_where_its_stream_alone_tells_of_it() -> None:
    large = [2**64, -(2**63) - 1, 10**30]
    item = {"id": "x_1", "type": "x_item", "large": large}
    added = {"type": "response.output_item.added", "output_index": 0, "item": item}
    done = {**added, "type": "response.output_item.done"}
    empty = {"type": "response.completed", "response": native.response(status="completed", output=[])}
    for events in ([added, done, empty], [added, done], [added]):
        final = payloads(passed(named(event) for event in events))[-1]["response"]
        assert final["output"][0]["large"] == large


def test_unknown_events_pass_within_the_answer_and_commit_it() -> None:
    unknown = {"type": "response.something.new", "sequence_number": 2, "nested": {"sequence_number": 9}}
    foreign = {"type": "codex.rate_limits", "sequence_number": 3, "limits": [1, None]}
    sent = passed([named(unknown), named(foreign), named(HELLO[-1])])
    assert [event.payload for event in sent[2:4]] == [compact(unknown), compact(foreign)]


@pytest.mark.parametrize(
    "extra",
    [
        {"nested": {"sequence_number": 40}},
        {"delta": "sequence_number"},
        {"delta": '"sequence_number":40'},
        {"sequence_number": 40, "note": '{"sequence_number":40}'},
    ],
)
def test_renumbering_touches_the_events_own_number_alone(extra: Event) -> None:
    event = {"type": "response.something.new", "sequence_number": 40, **extra}
    sent = passed([named(event), named(HELLO[-1])])
    assert json.loads(sent[2].payload) == {**event, "sequence_number": 2}


@pytest.mark.parametrize("between", [":", ": ", " : ", "\t:  "])
def test_renumbering_keeps_every_other_byte_however_the_event_is_laid_out(between: str) -> None:
    laid_out = f'{{"type": "response.something.new", "sequence_number"{between}40, "x": 1.10}}'
    sent = passed([ResponseEvent("response.something.new", laid_out.encode()), named(HELLO[-1])])
    assert sent[2].payload.decode() == laid_out.replace("40", "2")


def test_a_giant_payload_passes_as_it_is() -> None:
    delta = {**HELLO[4], "delta": "x" * 5_000_000}
    sent = passed([*(named(event) for event in HELLO[:4]), named(delta)])
    assert sent[4].payload == compact(delta)
    assert check_stream(sent)["status"] == "failed"


def test_an_upstream_that_never_stops_is_stopped() -> None:
    item = {**HELLO[2], "item": {**HELLO[2]["item"], "padding": "x" * 4_000_000}}
    events = (named({**item, "output_index": index}) for index in range(10**9))
    response = check_ending(passed(events))
    assert response["status"] == "failed"
    assert "did not stop" in response["error"]["message"]


def test_deltas_without_end_are_stopped() -> None:
    def events() -> Any:
        yield from (named(event) for event in HELLO[:4])
        delta = named({**HELLO[4], "delta": "x" * 1_000_000})
        while True:
            yield delta

    assert "did not stop" in check_ending(passed(events()))["error"]["message"]


@pytest.mark.parametrize(
    ("begun", "sizes"),
    [([], (40_000, 40_000)), (native.message_events(["x"], 0, "msg_0")[:1], (70_000, 1))],
    ids=["untold", "begun"],
)
def test_what_stands_in_the_final_response_alone_is_bounded_too(
    begun: list[Event], sizes: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(item_log, "_LARGEST_OUTPUT", 60_000)
    items = [native.message("x" * size, f"msg_{number}") for number, size in enumerate(sizes)]
    end = {"type": "response.completed", "response": {"status": "completed", "output": items}}
    response = check_ending(passed([*(named(event) for event in begun), named(end)]))
    assert response["status"] == "failed"
    assert "did not stop" in response["error"]["message"]
    assert [item["id"] for item in response["output"]] == ["msg_0"]


@pytest.mark.parametrize(
    "type",
    ["response.content_part.added", "response.function_call_arguments.delta"],
    ids=["told", "left out"],
)
def test_items_without_end_that_nobody_announced_are_stopped(type: str) -> None:
    part = {"type": "output_text", "text": "", "padding": "x" * 4_000_000}
    event = {"type": type, "item_id": "item_1", "content_index": 0, "delta": "{}", "part": part}
    events = (named({**event, "output_index": index}) for index in range(10**9))
    response = check_ending(passed(events))
    assert response["status"] == "failed"
    assert "did not stop" in response["error"]["message"]


def test_the_response_is_the_houses_own_in_identity_and_the_upstreams_in_all_else() -> None:
    request = wanted(previous_response_id="resp_earlier")
    events = copy.deepcopy(HELLO)
    events[-1]["response"] |= {"previous_response_id": "resp_upstreams_earlier", "unknown": {"a": None}}
    sent: list[ResponseEvent] = []
    guard = Guard(request, lambda type, payload: sent.append(ResponseEvent(type, payload)), store=True)
    guard.preamble()
    for event in events[2:]:
        guard.take(named(event))
    response = payloads(sent)[-1]["response"]
    assert guard.upstream_id == "resp_upstream"
    assert guard.response == response
    assert response["id"] == request.response_id
    assert response["created_at"] == request.created_at
    assert response["previous_response_id"] == "resp_earlier"
    upstreams = events[-1]["response"]
    same = upstreams.keys() - {"id", "created_at", "previous_response_id"}
    assert {field: response[field] for field in same} == {field: upstreams[field] for field in same}


def test_what_clients_demand_of_a_final_response_is_supplied_where_it_is_missing() -> None:
    events = copy.deepcopy(HELLO)
    for name in ("object", "model", "completed_at", "created_at", "id"):
        del events[-1]["response"][name]
    response = check_stream(passed(named(event) for event in events))
    assert (response["object"], response["model"]) == ("response", MODEL)
    assert response["completed_at"] >= response["created_at"]


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"openai-model": "gpt-other", "x-models-etag": "e"}, {"x-models-etag": "e"}),
        ({"X-OpenAI-Model": ["gpt-other"]}, {}),
        ({"OpenAI-Model": MODEL}, {"OpenAI-Model": MODEL}),
        ({"openai-model": [MODEL, "gpt-other"]}, {"openai-model": [MODEL, "gpt-other"]}),
        ("gpt-other", "gpt-other"),
    ],
)
def test_headers_within_events_name_no_model_that_was_not_asked_for(said: Any, told: Any) -> None:
    events = copy.deepcopy(HELLO)
    events[-1]["response"]["headers"] = events[-1]["headers"] = said
    metadata = {"type": "response.metadata", "sequence_number": 2, "headers": said, "number": 2**70}
    sent = payloads(passed(map(named, [*events[:2], metadata, *events[2:]])))
    assert sent[2] == {**metadata, "headers": told}
    assert sent[-1]["headers"] == told
    assert sent[-1]["response"]["headers"] == told
    assert [event["sequence_number"] for event in sent] == list(range(len(sent)))


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            {"input_tokens": 3, "output_tokens": 2},
            {
                "input_tokens": 3,
                "output_tokens": 2,
                "total_tokens": 5,
                "input_tokens_details": {"cached_tokens": 0},
                "output_tokens_details": {"reasoning_tokens": 0},
            },
        ),
        (
            {
                "input_tokens": 3,
                "output_tokens": 2,
                "total_tokens": 9,
                "input_tokens_details": {"cache_write_tokens": 1},
                "output_tokens_details": None,
            },
            {
                "input_tokens": 3,
                "output_tokens": 2,
                "total_tokens": 9,
                "input_tokens_details": {"cache_write_tokens": 1, "cached_tokens": 0},
                "output_tokens_details": {"reasoning_tokens": 0},
            },
        ),
        ({"prompt_tokens": 3}, {"prompt_tokens": 3}),
        (None, None),
    ],
)
def test_counts_that_codex_demands_of_a_usage_are_supplied(said: Any, told: Any) -> None:
    events = copy.deepcopy(HELLO)
    events[-1]["response"]["usage"] = said
    assert check_ending(passed(named(event) for event in events))["usage"] == told


def test_the_preamble_is_the_whole_response_with_the_request_echoed() -> None:
    tools = [{"type": "function", "name": "f", "parameters": {"type": "object"}}, {"type": "x_new"}]
    request = wanted(instructions="Be brief.", tools=tools, temperature=0.5, metadata={"a": "b"})
    sent = passed([named(HELLO[-1])], request)
    check_ending(sent)
    created, begun = payloads(sent)[:2]
    assert created["response"] == begun["response"]
    response = created["response"]
    assert response["model"] == MODEL
    assert response["instructions"] == "Be brief."
    assert response["temperature"] == 0.5
    assert response["metadata"] == {"a": "b"}
    assert response["tools"] == [{**tools[0], "description": None, "strict": None}, tools[1]]
    assert response["status"] == "in_progress"
    assert response["usage"] is None


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UpstreamUnreachable("silent"), "server_error"),
        (UpstreamBroken("nonsense"), "server_error"),
        (UpstreamRefused("slow", status=429), "rate_limit_exceeded"),
        (UpstreamRefused("slow", status=429, code="tokens"), "rate_limit_exceeded"),
        (UpstreamRefused("no", status=400, code="unsupported_value"), "invalid_prompt"),
        (UpstreamRefused("long", status=400, code="context_length_exceeded"), "context_length_exceeded"),
        (UpstreamRefused("full", status=503, code="server_is_overloaded"), "server_is_overloaded"),
        (UpstreamRefused("full", status=503, code="slow_down"), "slow_down"),
        (UpstreamRefused("broke", status=429, code="insufficient_quota"), "insufficient_quota"),
        (UpstreamRefused("plan", status=429, code="usage_not_included"), "usage_not_included"),
        (AttemptsExhausted("all", status=502, code="upstream_credentials_refused"), "server_error"),
        (UpstreamRefused("picture", status=400, code="invalid_image"), "invalid_image"),
    ],
)
def test_a_failure_bears_a_code_that_clients_know(error: Any, code: str) -> None:
    sent = passed([named(event) for event in HELLO[:5]], failure=error)
    response = check_ending(sent)  # clients act on more codes than the SDK's types know
    assert response["error"] == {"code": code, "message": error.message}
    told = payloads(sent)[-2]
    assert (told["code"], told["message"]) == (code, error.message)
    assert told["error"]["code"] == code


def test_an_error_event_is_followed_by_failure_whatever_the_upstream_goes_on_to_say() -> None:
    error = {"code": "server_error", "message": "Oops.", "param": None}
    told = {"type": "error", **error, "error": {"type": "server_error", **error}}
    response = check_stream(passed((named(event) for event in [*HELLO[:5], told, *HELLO[5:]]), silences={6}))
    assert response["status"] == "failed"
    assert response["error"]["message"] == "Oops."


def test_no_event_follows_the_end() -> None:
    sent: list[ResponseEvent] = []
    guard = Guard(wanted(), lambda type, payload: sent.append(ResponseEvent(type, payload)), store=True)
    guard.preamble()
    guard.take(named(HELLO[-1]))
    count = len(sent)
    guard.take(named(HELLO[4]))
    guard.take(named(HELLO[-1]))
    guard.keepalive()
    guard.fail(UpstreamBroken("late"))
    assert len(sent) == count


def delta(number: Any, text: str, **fields: Any) -> Event:
    """A text delta whose later fields stand behind its text."""
    place = {"item_id": "msg_upstream", "output_index": 0}
    return {
        "type": "response.output_text.delta",
        "sequence_number": number,
        **place,
        "delta": text,
        "logprobs": [],
        **fields,
    }


def test_deltas_of_two_parts_stay_apart_wherever_the_part_is_named() -> None:
    part = {**HELLO[3], "content_index": 1, "sequence_number": 5}
    events = [
        *HELLO[:4],
        delta(4, "a", content_index=0),
        part,
        delta(6, "b", content_index=0),
        delta(7, "c", content_index=1),
        delta(8, "d", content_index=0),
    ]
    (item,) = check_ending(passed(named(event) for event in events))["output"]
    assert [each["text"] for each in item["content"]] == ["abd", "c"]


def test_a_number_within_an_object_is_not_the_events_own() -> None:
    events = []
    for inner, outer in ((4, 4), (5, 9), (6, 3)):
        place = {"item_id": "msg_upstream", "output_index": 0, "content_index": 0}
        meta = {"sequence_number": inner, "more": 1}
        head = {"type": "response.output_text.delta", "meta": meta, **place, "delta": "x"}
        events.append({**head, "logprobs": [], "sequence_number": outer})
    sent = passed(named(event) for event in [*HELLO[:4], *events])
    assert check_ending(sent)["output"][0]["content"][0]["text"] == "xxx"


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 1),
            st.integers(0, 1),
            st.sampled_from(["ahead", "behind", "first"]),
            st.sampled_from(["right", "wrong", "text"]),
            st.booleans(),
        ),
        max_size=12,
    )
)
def test_interleaved_deltas_of_any_layout_are_numbered_and_kept_by_their_place(
    drawn: list[tuple[int, int, str, str, bool]],
) -> None:
    parts = [(index, part) for index in (0, 1) for part in (0, 1)]
    events: list[Event] = []
    for index in (0, 1):
        item = {
            "id": f"msg_{index}",
            "type": "message",
            "role": "assistant",
            "status": "in_progress",
            "content": [],
        }
        events.append({"type": "response.output_item.added", "output_index": index, "item": item})
    for index, part in parts:
        place = {"item_id": f"msg_{index}", "output_index": index, "content_index": part}
        events.append({**HELLO[3], **place})
    texts = dict.fromkeys(parts, "")
    numbered = native.numbered([{"type": "response.created"}, {"type": "response.in_progress"}, *events])[2:]
    for count, (index, part, layout, number, rotates) in enumerate(drawn):
        texts[index, part] += f"<{count}>"
        said: dict[str, Any] = {"right": len(numbered) + 2, "wrong": 7, "text": "7"}
        fields = {
            "sequence_number": said[number],
            "item_id": "other" if rotates else f"msg_{index}",
            "output_index": index,
            "content_index": part,
        }
        text = {"delta": f"<{count}>"}
        kind = {"type": "response.output_text.delta"}
        laid_out = {
            "ahead": {**kind, **fields, **text},
            "behind": {**text, **fields, **kind},
            "first": {**kind, "sequence_number": fields["sequence_number"], **text, **fields},
        }
        numbered.append(laid_out[layout])
    sent = passed(named(event) for event in numbered)
    output = check_ending(sent)["output"]
    assert {(i, p): output[i]["content"][p]["text"] for i, p in parts} == texts
    said_ids = {(event["output_index"], event["item_id"]) for event in payloads(sent) if "delta" in event}
    assert said_ids <= {(0, "msg_0"), (1, "msg_1")}
