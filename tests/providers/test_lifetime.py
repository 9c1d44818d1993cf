"""Providers are started and closed together, and none of them keeps the daemon from ending."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest

from maestro_daemon.errors import ProviderUnavailable
from maestro_daemon.plugin import ResponseRequest
from maestro_daemon.providers.catalog import Catalog
from maestro_daemon.providers.lifetime import Residents

Lines = list[MutableMapping[str, Any]]


class Quiet:
    """A provider that lists nothing; `closing` is what its `aclose` does."""

    name = "quiet"

    def __init__(self, closing: Any = None) -> None:
        self.closing = closing
        self.closed = asyncio.Event()

    async def models(self) -> list[Any]:
        return []

    async def complete(self, request: ResponseRequest) -> dict[str, Any]:
        raise NotImplementedError

    def stream(self, request: ResponseRequest) -> Any:
        raise NotImplementedError

    async def aclose(self) -> None:
        self.closed.set()
        if isinstance(self.closing, BaseException):
            raise self.closing
        if self.closing is not None:
            await self.closing()


class Starting(Quiet):
    """One that also starts, by `starting`."""

    def __init__(self, starting: Any) -> None:
        super().__init__()
        self.starting = starting

    async def start(self) -> None:
        if isinstance(self.starting, BaseException):
            raise self.starting
        await self.starting()


def told(logged: Lines) -> list[tuple[str, str]]:
    return [(line["event"], line["provider"]) for line in logged if line["log_level"] != "debug"]


async def for_ever() -> None:
    await asyncio.Event().wait()


async def lived(*, patience: float = 10.0, **providers: Quiet) -> None:
    residents = Residents(patience=patience)
    residents.hold(providers, Catalog(providers))
    await asyncio.sleep(0)
    await residents.close()
    assert len(residents) == 0


async def test_one_that_never_closes_is_left_and_the_others_are_closed(logged: Lines) -> None:
    stuck, good = Quiet(for_ever), Quiet()
    await lived(patience=0.01, stuck=stuck, good=good)
    assert good.closed.is_set()
    assert told(logged) == [("provider not closed in time", "stuck")]


@pytest.mark.parametrize(
    "failure",
    [RuntimeError("no"), asyncio.CancelledError(), SystemExit(3), KeyboardInterrupt()],
    ids=lambda failure: type(failure).__name__,
)
async def test_one_that_fails_to_close_is_named_and_harms_nobody(
    failure: BaseException, logged: Lines
) -> None:
    good = Quiet()
    await lived(bad=Quiet(failure), good=good)
    assert good.closed.is_set()
    assert told(logged) == [("provider not closed", "bad")]


@pytest.mark.parametrize(
    "failure",
    [RuntimeError("no"), ProviderUnavailable("no"), asyncio.CancelledError(), SystemExit(3), BaseException()],
    ids=lambda failure: type(failure).__name__,
)
async def test_one_that_fails_to_start_is_named_and_still_closed(
    failure: BaseException, logged: Lines
) -> None:
    bad = Starting(failure)
    await lived(bad=bad)
    assert bad.closed.is_set()
    assert told(logged) == [("provider not started", "bad")]


async def test_a_start_under_way_is_cancelled_before_its_provider_is_closed(logged: Lines) -> None:
    order: list[str] = []

    async def start() -> None:
        try:
            await for_ever()
        finally:
            order.append("start ended")

    one = Starting(start)

    async def close() -> None:
        order.append("closed")

    one.closing = close
    await lived(one=one)
    assert order == ["start ended", "closed"]
    assert not told(logged)


async def test_one_that_two_hold_is_started_once_and_closed_when_both_have_let_go() -> None:
    starts: list[str] = []

    async def start() -> None:
        starts.append("start")

    shared, alone = Starting(start), Quiet()
    residents = Residents()
    catalog = Catalog({"shared": shared, "alone": alone})
    residents.hold({"shared": shared, "alone": alone}, catalog)
    residents.hold({"shared": shared}, Catalog({"shared": shared}, catalog))
    await catalog.tried()
    await residents.release({"shared": shared, "alone": alone})
    assert alone.closed.is_set()
    assert not shared.closed.is_set()
    await residents.release({"shared": shared})
    assert shared.closed.is_set()
    assert starts == ["start"]
    assert len(residents) == 0
    await residents.close()


async def test_whoever_lets_go_and_leaves_does_not_keep_it_open() -> None:
    closing, may_close = asyncio.Event(), asyncio.Event()

    async def close() -> None:
        closing.set()
        await may_close.wait()

    slow = Quiet(close)
    residents = Residents()
    residents.hold({"slow": slow}, Catalog({"slow": slow}))
    letting_go = asyncio.create_task(residents.release({"slow": slow}))
    await closing.wait()
    letting_go.cancel()
    with pytest.raises(asyncio.CancelledError):
        await letting_go
    ending = asyncio.create_task(residents.close())
    await asyncio.sleep(0)
    assert not ending.done()
    may_close.set()
    await ending
