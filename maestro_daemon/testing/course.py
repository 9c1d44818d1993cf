"""Everything that may happen to a provider, one after the other, for checks of what holds all the time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, Final

from maestro_daemon.errors import MaestroError
from maestro_daemon.providers.provider import Provider
from maestro_daemon.testing.bench import SECRET, Bench
from maestro_daemon.testing.bounded import soon
from maestro_daemon.testing.breach import Breach, Inapplicable
from maestro_daemon.testing.hearing import completed, hear, opened
from maestro_daemon.testing.scenarios import (
    Answers,
    Babbles,
    Breaks,
    Fails,
    Listing,
    Lists,
    Refuses,
    Scenario,
    Stalls,
    ToolCall,
)

_SAID: Final = f"The key {SECRET} is wrong (Authorization: Bearer {SECRET})."
_SCENARIOS: Final[tuple[Scenario, ...]] = (
    Answers(("Hel", "lo")),
    Answers(("Hm",), thought="So"),
    Answers(calls=(ToolCall("look", "{}", "call_1"),)),
    Refuses(401, _SAID),
    Refuses(400, _SAID, code="invalid_value"),
    Refuses(429, "Later.", retry_after=1),
    Breaks(("Hel",)),
    Breaks(None),
    Fails(("Hel",), _SAID),
    Babbles("page"),
)
_WANTS: Final = "that whatever is asked of a provider ends"


async def course(bench: Bench, provider: Provider) -> list[str]:
    """Ask `provider` for everything that the stage can play; all that it gave or raised, as text.

    What it gives is for other checks to judge.
    """
    said: list[str] = []
    for listing in _listings(bench.model):
        with suppress(Inapplicable):
            bench.play_listing(listing)
            await _noted(provider.models, said)
    for scenario in _SCENARIOS:
        try:
            needed = bench.play(scenario)
        except Inapplicable:
            continue
        try:
            heard = await hear(provider, bench.request(needed))
        except Breach as breach:
            said.append(str(breach))  # of another check's contract
            continue
        said += [event.payload.decode("utf-8", "replace") for event in heard.events]
        if heard.raised is not None:
            said += told_by(heard.raised)
        whole = bench.request(needed, stream=False)
        await _noted(partial(completed, provider, whole), said)
    for stalls in (Stalls(None), Stalls(()), Stalls(("Hel",))):
        with suppress(Inapplicable):
            await _left(bench, provider, stalls)
    with suppress(Inapplicable, Breach):
        await hear(provider, bench.request(bench.play(_SCENARIOS[0])))  # a connection that may be kept
    said += _abilities(provider, bench.model)
    return said


def _listings(model: str) -> tuple[Listing, ...]:
    """The last one is what the provider may know of the model from then on."""
    return Refuses(401, _SAID), Babbles("page"), Lists((model,), odd=True), Lists((model,))


async def _left(bench: Bench, provider: Provider, stalls: Stalls) -> None:
    """A client that leaves while nothing is said, and one whose request is cancelled then."""
    needed = bench.play(stalls)
    for how in ("closed", "cancelled"):
        events = opened(provider, bench.request(needed))
        if stalls.pieces is not None:
            with suppress(Exception):
                await soon(anext(events), _WANTS, "streams")
        if stalls.pieces is None or how == "cancelled":
            task = asyncio.ensure_future(anext(events))
            await asyncio.sleep(0.002)
            task.cancel()
            await asyncio.wait({task}, timeout=1)
        with suppress(Exception):
            await soon(events.aclose(), _WANTS, "leaving-and-ending")


async def _noted(ask: Callable[[], Awaitable[Any]], said: list[str]) -> None:
    try:
        given = await soon(ask(), _WANTS, "leaving-and-ending")
    except Exception as error:
        said += told_by(error)
    else:
        said += [repr(given), str(given)]


def _abilities(provider: Provider, model: str) -> Iterator[str]:
    for name, arguments in (("account", ()), ("problem", ()), ("keeps_responses", (model,))):
        method = getattr(provider, name, None)
        if callable(method):
            yield str(method(*arguments))
    yield repr(provider)
    yield str(provider)


def told_by(error: BaseException | None) -> list[str]:
    """All that an error says, and those that led to it."""
    told: list[str] = []
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        told += [type(error).__name__, str(error), repr(error)]
        if isinstance(error, MaestroError):
            told.append(repr(error.envelope()))
        error = error.__cause__ or error.__context__
    return told
