"""Checks of ends: a client that leaves, a provider that is closed, and what stays open then."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from typing import Any

from maestro_daemon.events import ResponseEvent
from maestro_daemon.testing.bench import Bench
from maestro_daemon.testing.bounded import soon
from maestro_daemon.testing.breach import Breach, Inapplicable
from maestro_daemon.testing.check import check
from maestro_daemon.testing.course import course
from maestro_daemon.testing.hearing import opened, refuse_foreign
from maestro_daemon.testing.leftovers import leftovers
from maestro_daemon.testing.scenarios import Answers, Stalls
from maestro_daemon.testing.stage import Asked

_SECTION = "leaving-and-ending"
_PIECES = ("Once ", "upon ")


class LeavingChecks:
    """A client that leaves, a provider that is closed, and what stays open then."""

    @check
    async def test_a_stream_that_is_closed_closes_the_upstream(self, bench: Bench) -> None:
        """A client that left in the middle of an answer costs nothing more."""
        needed = bench.play(Stalls(_PIECES))
        async with bench.opened() as provider:
            events = opened(provider, bench.request(needed))
            await _all_told(events)
            await soon(events.aclose(), "that a stream lets itself be closed in the middle", _SECTION)
            wants = "that the request to the upstream ends with the stream, which the daemon closes"
            await soon(bench.stage.left(), wants, _SECTION)

    @check
    async def test_a_stream_that_is_cancelled_closes_the_upstream(self, bench: Bench) -> None:
        """The daemon cancels what waits for the upstream's first word."""
        needed = bench.play(Stalls(_PIECES))
        async with bench.opened() as provider:
            events = opened(provider, bench.request(needed))
            await _all_told(events)
            await _cancelled(asyncio.ensure_future(anext(events)), "a stream that waits for the upstream")
            with suppress(Exception):
                await soon(events.aclose(), "that a stream lets itself be closed after that", _SECTION)
            wants = "that the request to the upstream ends as its stream is cancelled"
            await soon(bench.stage.left(), wants, _SECTION)

    @check
    async def test_an_answer_that_is_cancelled_closes_the_upstream(self, bench: Bench) -> None:
        """As with a stream."""
        needed = bench.play(Stalls(None))
        async with bench.opened() as provider:
            seen = len(_asked(bench) or ())
            task = asyncio.ensure_future(provider.complete(bench.request(needed, stream=False)))
            wants = "that complete() asks the upstream"
            await soon(_more_asked(bench, seen), wants, "whole-answers")
            await _cancelled(task, "complete() that waits for the upstream")
            wants = "that the request to the upstream ends as complete() is cancelled"
            await soon(bench.stage.left(), wants, _SECTION)

    @check
    async def test_aclose_ends_what_still_runs(self, bench: Bench) -> None:
        """Nobody waits for an answer of a provider that is closed."""
        needed = bench.play(Stalls(_PIECES))
        provider = await bench.made()
        events = opened(provider, bench.request(needed))
        await _all_told(events)
        task = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        await soon(provider.aclose(), "that aclose() returns though an answer still runs", _SECTION)
        wants = "that an answer under way ends as the provider is closed, by an error"
        with suppress(Exception, StopAsyncIteration):
            await soon(_waited(task, wants), wants, _SECTION)
        if not task.done():
            task.cancel()
            raise Breach(wants, "it still waits", _SECTION)
        if task.exception() is None:
            raise Breach(wants, f"it went on with {task.result().type}", _SECTION)
        await events.aclose()

    @check
    async def test_aclose_may_be_called_twice_and_without_any_request(self, bench: Bench) -> None:
        """A provider that was never used ends well, and so does one that was closed already."""
        provider = await bench.made()
        for time in ("of a provider that was never asked", "that is called again"):
            wants = f"that aclose() {time} does no harm"
            try:
                await soon(provider.aclose(), wants, _SECTION)
            except Breach:
                raise
            except Exception as error:
                raise Breach(wants, repr(error), _SECTION) from error

    @check
    async def test_nothing_is_left_open(self, bench: Bench) -> None:
        """After all that may happen, and aclose(): no task, connection, generator, child process."""
        async with leftovers() as left:
            bench.play(Answers(("Hi",)))
            async with bench.opened() as provider:
                await course(bench, provider)
            del provider  # what it alone holds is to be seen going
            found = await left.found(bench.stage)
        if found:
            wants = "that nothing is left open once aclose() returned: close what you open, await your tasks"
            raise Breach(wants, "; ".join(found), _SECTION)


async def _all_told(events: AsyncGenerator[ResponseEvent, None]) -> None:
    """Read all that the upstream has said so far."""
    text = ""
    while text != "".join(_PIECES):
        event = await soon(anext(events), "that what the upstream says is told at once", "streams")
        refuse_foreign(event)
        for each in event.each():
            if each.type == "response.output_text.delta":
                text += json.loads(each.payload)["delta"]


async def _cancelled(task: asyncio.Future[Any], what: str) -> None:
    for _ in range(3):
        await asyncio.sleep(0)
    task.cancel()
    wants = f"that {what} lets itself be cancelled"
    with suppress(asyncio.CancelledError, Exception):
        await soon(_waited(task, wants), wants, _SECTION)
    if not task.done():
        raise Breach(wants, "it goes on", _SECTION)
    if not task.cancelled():
        error = task.exception()
        found = f"it went on, and gave {task.result()!r}" if error is None else f"it raised {error!r} instead"
        raise Breach(wants, found, _SECTION)


async def _waited(task: asyncio.Future[Any], wants: str) -> None:
    await asyncio.wait({task})


def _asked(bench: Bench) -> Sequence[Asked] | None:
    with suppress(Inapplicable):  # `left` says so where it counts
        return bench.stage.asked()
    return None


async def _more_asked(bench: Bench, seen: int) -> None:
    """Wait for a request; a question for the models has no body."""
    while (asked := _asked(bench)) is not None and not any(each.body for each in asked[seen:]):  # noqa: ASYNC110  (no stage tells of it)
        await asyncio.sleep(0.001)
