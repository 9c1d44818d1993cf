"""One fault at one position of a route, met by one request; everything that can be seen of it is judged."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, MutableMapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from multidict import CIMultiDict

from maestro_daemon.plugin import Provider
from maestro_daemon.routing.health import Health
from maestro_daemon.routing.terms import Patience
from tests.support.faults.places import Spot, no_such_names, spot
from tests.support.faults.rules import Position, expected
from tests.support.faults.table import FAULTS, IDLE, Asked, Fault, Place
from tests.support.faults.verdict import SOON, Answered, judge_answer, judge_health, judge_targets
from tests.support.faults.wording import ChatStream, NativeStream, NativeWhole, Wording
from tests.support.house import House, NativeProvider, house
from tests.support.translated_provider import TranslatedProvider

Dialect = Literal["native", "translated"]

MODEL: Final = "gpt-test-2026-01-01"
NAMES: Final = ("one", "two", "three")
SILENCE: Final = 0.15
"""Seconds of silence that a target is allowed whose fault is to be silent."""
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
    def is_brief(self) -> bool:
        """Whether it belongs to the quick slice: every dialect and mode of asking occurs, not every pair."""
        return self.fault.brief and self.stream == (self.dialect == "native")

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


async def play(cell: Cell, logged: Sequence[MutableMapping[str, Any]]) -> None:
    """Make the house and its upstreams, ask once, judge, and look that nothing is left."""
    seen = expected(cell.plan, stream=cell.stream)
    async with nothing_left(logged):
        asked: list[str] = []
        async with cell_house(cell, asked) as (front, spots):
            answered = await ask(front, stream=cell.stream)
            async with asyncio.timeout(SOON):
                outcome = await front.heard.outcomes.get()
            assert front.heard.outcomes.empty()
            assert outcome.http_status == answered.status
            assert outcome.status == (seen.ending or "refused")
            judge_answer(answered, seen, stream=cell.stream)
            judge_targets(cell.plan, front, spots, asked, seen)
            judge_health(cell.plan, front.health.snapshot(), seen)
            for each in spots.values():
                if each.server is not None:
                    # The house is still there: it has let go by itself of whatever was not whole.
                    async with asyncio.timeout(SOON):
                        await each.server.deserted()


async def ask(front: House, *, stream: bool) -> Answered:
    """One request, and the end of all that it has set going."""
    body = {"model": MODEL, "input": "Hi", "stream": stream}
    async with asyncio.timeout(SOON):
        status, headers, raw = await front.post(body)
        await front.handler.under_way.none()
    return Answered(status, CIMultiDict(headers), raw)


@asynccontextmanager
async def nothing_left(logged: Sequence[MutableMapping[str, Any]]) -> AsyncIterator[None]:
    """Behind the block are the tasks and sockets of before it, and nothing unforeseen was logged."""
    tasks = asyncio.all_tasks()
    sockets = await asyncio.to_thread(open_sockets)
    yield
    assert asyncio.all_tasks() == tasks
    assert await asyncio.to_thread(open_sockets) <= sockets
    for line in logged:
        assert "exc_info" not in line, line
        assert line["log_level"] not in ("error", "critical"), line


@asynccontextmanager
async def cell_house(
    cell: Cell, asked: list[str], health: Health | None = None, targets: Sequence[str] | None = None
) -> AsyncIterator[tuple[House, Mapping[str, Spot]]]:
    """The cell's upstreams and a house in front of them; each request adds its target's name to `asked`.

    `targets` are those of the route, where they are not one model of each upstream.
    """
    async with _spots(cell, asked) as spots, _house(cell, spots, health, targets) as front:
        yield front, spots


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
async def _house(
    cell: Cell, spots: Mapping[str, Spot], health: Health | None, targets: Sequence[str] | None
) -> AsyncIterator[House]:
    providers: dict[str, Provider] = {}
    patience = {}
    for place, (name, fault) in enumerate(cell.plan):
        kind = NativeProvider if cell.dialect_of(place) == "native" else TranslatedProvider
        times, patience[name] = _timeouts(fault)
        providers[name] = kind(name, spots[name].url, **times)
    routes: dict[str, tuple[Sequence[str], Sequence[str]]] = {
        MODEL: (targets or [f"{name}/gpt-test" for name in spots], [])
    }
    async with house(providers, routes, patience=patience, health=health) as front:
        yield front


def _timeouts(fault: Fault | None) -> tuple[dict[str, float], Patience]:
    """Short for a fault that only time can tell, else so long that waiting for any of them fails the test."""
    wait = {"connect_timeout": SOON, "first_byte_timeout": SOON, "idle_timeout": SOON}
    first_output = SOON
    if fault is not None and fault.is_silent:
        wait = dict.fromkeys(wait, SILENCE)
    elif fault is not None and fault.is_slow:
        wait["idle_timeout"] = IDLE
        if fault.failure is not None:
            first_output = SILENCE
    return wait, Patience(first_output=first_output)


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
