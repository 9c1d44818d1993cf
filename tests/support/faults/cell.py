"""One fault at one position of a route, met by one request; everything that can be seen of it is judged."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping, MutableMapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from multidict import CIMultiDict

from maestro_daemon.plugin import Provider, ResponseEvent
from tests.support.faults.places import Spot, no_such_names, spot
from tests.support.faults.rules import Expected, Position, Told, expected
from tests.support.faults.table import FAULTS, Asked, Fault, Place
from tests.support.faults.wording import MESSAGE, PARAM, TYPE, ChatStream, NativeStream, NativeWhole, Wording
from tests.support.house import House, NativeProvider, house
from tests.support.oracle import check_stream
from tests.support.raw_stream import events_of
from tests.support.response_oracle import check_response
from tests.support.translated_provider import TranslatedProvider

Dialect = Literal["native", "translated"]

MODEL: Final = "gpt-test-2026-01-01"
NAMES: Final = ("one", "two", "three")
SILENCE: Final = 0.15
"""Seconds of silence that every timeout of the matrix allows."""

_SOON: Final = 5.0  # seconds; what is awaited has happened, or is a defect
_OPENER: Final = next(fault for fault in FAULTS if fault.place is Place.NOBODY)
"""The fault of a first target where the middle one is looked at."""


@dataclass(frozen=True)
class Cell:
    """One request of the matrix."""

    fault: Fault
    position: Position
    dialect: Dialect
    stream: bool

    def __str__(self) -> str:
        asked = "stream" if self.stream else "json"
        return f"{self.fault.name.replace('`', '')}-{self.position.value}-{self.dialect}-{asked}"

    @property
    def plan(self) -> list[tuple[str, Fault | None]]:
        """The targets' names and their faults."""
        faults: dict[Position, Sequence[Fault | None]] = {
            Position.FIRST: (self.fault, None, None),
            Position.MIDDLE: (_OPENER, self.fault, None),
            Position.ALL: (self.fault,) * 3,
        }
        return list(zip(NAMES, faults[self.position], strict=True))

    def dialect_of(self, place: int) -> Dialect:
        """Behind a faulty middle stands a target of the other dialect; else all speak the same."""
        if self.position is Position.MIDDLE and place == 2:
            return "native" if self.dialect == "translated" else "translated"
        return self.dialect


def cells() -> list[Cell]:
    """The whole matrix."""
    return [
        Cell(fault, position, dialect, stream)
        for fault in FAULTS
        for position in Position
        for dialect in ("native", "translated")
        for stream in (False, True)
        if stream or fault.asked is Asked.ALWAYS
    ]


@dataclass(frozen=True)
class Answered:
    """What the client got."""

    status: int
    headers: Mapping[str, str]
    body: bytes


async def play(cell: Cell, logged: Sequence[MutableMapping[str, Any]]) -> None:
    """Make the house and its upstreams, ask once, judge, and look that nothing is left."""
    tasks = asyncio.all_tasks()
    sockets = await asyncio.to_thread(open_sockets)
    seen = expected(cell.plan, stream=cell.stream)
    asked: list[str] = []
    async with _spots(cell, asked) as spots, _house(cell, spots) as front:
        body = {"model": MODEL, "input": "Hi", "stream": cell.stream}
        async with asyncio.timeout(_SOON):
            status, headers, raw = await front.post(body)
        answered = Answered(status, CIMultiDict(headers), raw)
        async with asyncio.timeout(_SOON):
            await front.handler.idle()
            outcome = await front.heard.outcomes.get()
        assert front.heard.outcomes.empty()
        assert outcome.http_status == status
        assert outcome.status == (seen.ending or "refused")
        _judge_answer(answered, seen, stream=cell.stream)
        _judge_targets(cell, front, spots, asked, seen)
        for each in spots.values():
            if each.server is not None:
                # The house is still there: it has let go by itself of whatever was not whole.
                async with asyncio.timeout(_SOON):
                    await each.server.deserted()
    assert asyncio.all_tasks() == tasks
    assert await asyncio.to_thread(open_sockets) <= sockets
    for line in logged:
        assert "exc_info" not in line, line
        assert line["log_level"] not in ("error", "critical"), line


def _judge_answer(got: Answered, seen: Expected, *, stream: bool) -> None:
    if seen.ending is None:
        assert seen.told is not None
        _judge_error(got, seen.told)
        return
    assert got.status == 200, got.body
    events: list[ResponseEvent] = []
    if stream:
        assert got.headers["content-type"].startswith("text/event-stream")
        events = events_of(got.body)
        response = check_stream(map(_known_to_sdks, events))
        assert ("error" in [event.type for event in events]) <= (seen.ending == "failed")
        _judge_comment(got.body, seen)
    else:
        assert got.headers["content-type"].startswith("application/json")
        response = json.loads(got.body)
        check_response(response)
    assert response["status"] == seen.ending
    assert _text(response) == seen.text
    if seen.told is None:
        assert response["error"] is None
    else:
        if stream:
            response = json.loads(events[-1].payload)["response"]
        assert response["error"]["code"] == seen.told.event_code
        assert seen.told.said in response["error"]["message"]


def _known_to_sdks(event: ResponseEvent) -> ResponseEvent:
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


def _judge_targets(
    cell: Cell, front: House, spots: Mapping[str, Spot], asked: Sequence[str], seen: Expected
) -> None:
    attempts = front.heard.attempts
    assert [attempt.provider for attempt in attempts] == list(seen.asked)
    last_is_well = seen.ending == "completed"
    assert [attempt.error is None for attempt in attempts] == [False] * (len(attempts) - 1) + [last_is_well]
    reached = {name for name, fault in cell.plan if fault is None or fault.place is Place.SERVER}
    assert list(asked) == [name for name in seen.asked if name in reached]
    for name, each in spots.items():
        if each.server is not None and name in reached:
            assert each.server.connections == seen.asked.count(name)


@asynccontextmanager
async def _spots(cell: Cell, asked: list[str]) -> AsyncIterator[dict[str, Spot]]:
    async with AsyncExitStack() as stack:
        stack.enter_context(no_such_names())
        spots = {}
        for place, (name, fault) in enumerate(cell.plan):
            words = _wording(cell.dialect_of(place), stream=cell.stream)
            spots[name] = await stack.enter_async_context(spot(name, fault, words, asked))
        yield spots


def _wording(dialect: Dialect, *, stream: bool) -> Wording:
    if dialect == "translated":
        return ChatStream()  # asked for a stream always
    return NativeStream() if stream else NativeWhole()


@asynccontextmanager
async def _house(cell: Cell, spots: Mapping[str, Spot]) -> AsyncIterator[House]:
    times = {"connect_timeout": SILENCE, "first_byte_timeout": SILENCE, "idle_timeout": SILENCE}
    providers: dict[str, Provider] = {}
    for place, (name, each) in enumerate(spots.items()):
        kind = NativeProvider if cell.dialect_of(place) == "native" else TranslatedProvider
        providers[name] = kind(name, each.url, **times)
    async with house(providers, {MODEL: ([f"{name}/gpt-test" for name in spots], [])}) as front:
        yield front


def _text(response: Mapping[str, Any]) -> str:
    return "".join(
        part["text"] for item in response["output"] if item["type"] == "message" for part in item["content"]
    )


def open_sockets() -> set[str]:
    """The sockets of this process, by inode."""
    found = set()
    for each in Path("/proc/self/fd").iterdir():
        try:
            target = os.readlink(each)
        except FileNotFoundError:  # the folder's own descriptor
            continue
        if target.startswith("socket:"):
            found.add(target)
    return found
