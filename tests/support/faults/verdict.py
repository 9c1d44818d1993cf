"""The verdict on one request of the matrix: its answer, whom it asked, and what the breakers hold."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from maestro_daemon.plugin import ResponseEvent
from tests.support.faults.places import Spot
from tests.support.faults.rules import Aside, Expected, Told, aside, cooldown_of
from tests.support.faults.table import Fault, Place
from tests.support.faults.wording import MESSAGE, PARAM, TYPE
from tests.support.house import House
from tests.support.oracle import check_stream
from tests.support.raw_stream import events_of
from tests.support.response_oracle import check_response

SOON: Final = 5.0
"""Seconds within which what is awaited has happened, or never will."""

Plan: TypeAlias = Sequence[tuple[str, Fault | None]]
"""The targets' names and their faults, in order."""


@dataclass(frozen=True)
class Answered:
    """What the client got."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def judge_answer(got: Answered, seen: Expected, *, stream: bool) -> None:
    if seen.ending is None:
        assert seen.told is not None
        _judge_error(got, seen.told)
        return
    assert got.status == 200, got.body
    events: list[ResponseEvent] = []
    if stream:
        assert got.headers["content-type"].startswith("text/event-stream")
        events = events_of(got.body)
        response = check_stream(map(known_to_sdks, events))
        assert ("error" in [event.type for event in events]) <= (seen.ending == "failed")
        _judge_comment(got.body, seen)
    else:
        assert got.headers["content-type"].startswith("application/json")
        response = json.loads(got.body)
        check_response(response)
    assert response["status"] == seen.ending
    assert text_of(response) == seen.text
    if seen.told is None:
        assert response["error"] is None
    else:
        if stream:
            response = json.loads(events[-1].payload)["response"]
        assert response["error"]["code"] == seen.told.event_code
        assert seen.told.said in response["error"]["message"]


def known_to_sdks(event: ResponseEvent) -> ResponseEvent:
    """The event with a code of the SDKs' set where it bears one that Codex alone acts on."""
    payload = event.payload
    for code in (b"insufficient_quota", b"context_length_exceeded", b"server_is_overloaded"):
        payload = payload.replace(b'"code":"%b"' % code, b'"code":"server_error"')
    return ResponseEvent(event.type, payload)


def _judge_error(got: Answered, told: Told) -> None:
    document = json.loads(got.body)
    assert document.keys() == {"error"}
    error = document["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert got.headers["content-type"].startswith("application/json")
    assert (got.status, error["code"]) == (told.status, told.code)
    assert error["message"]
    assert told.said in error["message"]
    if told.own:
        assert (error["message"], error["param"], error["type"]) == (MESSAGE, PARAM, TYPE)
    if told.retry_after is None:
        assert "retry-after" not in got.headers
    else:
        assert int(got.headers["retry-after"]) == told.retry_after


def _judge_comment(body: bytes, seen: Expected) -> None:
    """A fallback after the headers is told once, before the first output."""
    comments = [line for line in body.split(b"\n") if line.startswith(b":")]
    if seen.resumed is None or (seen.ending == "failed" and not seen.text):
        assert comments == []
        return
    target = f"{seen.asked[seen.resumed - 1]}/gpt-test"
    assert comments == [f": maestro target={target} attempts={seen.resumed}".encode()]
    before, _, _ = body.partition(comments[0])
    assert before.count(b"event: ") == 2


def judge_targets(
    plan: Plan, front: House, spots: Mapping[str, Spot], asked: Sequence[str], seen: Expected
) -> None:
    attempts = front.heard.attempts
    assert [attempt.provider for attempt in attempts] == list(seen.asked)
    last_is_well = seen.ending == "completed"
    assert [attempt.error is None for attempt in attempts] == [False] * (len(attempts) - 1) + [last_is_well]
    reached = {name for name, fault in plan if fault is None or fault.place is Place.SERVER}
    assert list(asked) == [name for name in seen.asked if name in reached]
    for name, each in spots.items():
        if each.server is not None and name in reached:
            assert each.server.connections == seen.asked.count(name)


def judge_health(plan: Plan, rows: Sequence[Mapping[str, Any]], seen: Expected) -> None:
    """What the breakers hold: of every target that was asked, and of no other."""
    held = {row["target"].partition("/")[0]: row for row in rows}
    assert held.keys() == set(seen.asked)
    for name, fault in plan:
        if name not in held:
            continue
        row = held[name]
        times = seen.asked.count(name)
        spared = fault is not None and fault.failure is not None and aside(fault) is Aside.NEVER
        failed = 0 if fault is None or fault.failure is None or spared else times
        assert (row["in_flight"], row["failures"]) == (0, failed)
        assert row["attempts"] == (0 if spared else times)
        cooldown = cooldown_of(fault)
        assert row["state"] == ("closed" if cooldown is None else "open")
        if fault is not None and cooldown is not None:
            assert fault.failure is not None
            assert row["cause"] == fault.failure.value
            shortest, longest = cooldown
            assert shortest - SOON <= row["cooldown_left"] <= longest
        else:
            assert row["cooldown_left"] == 0


def text_of(response: Mapping[str, Any]) -> str:
    """All that the messages of a Response say."""
    return "".join(
        part["text"] for item in response["output"] if item["type"] == "message" for part in item["content"]
    )
