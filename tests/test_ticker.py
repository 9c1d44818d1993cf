"""One timer for many."""

from __future__ import annotations

import asyncio

from maestro_daemon.ticker import Ticker


class Looked:
    def __init__(self) -> None:
        self.times: list[float] = []
        self.again = asyncio.Event()

    def look(self, now: float) -> None:
        self.times.append(now)
        self.again.set()


async def test_everything_in_it_is_looked_at_until_it_is_out() -> None:
    loop = asyncio.get_running_loop()
    ticker = Ticker(0.01, loop)
    first, second = Looked(), Looked()
    ticker.add(first)
    ticker.add(second)
    for looked in (first, second):
        await looked.again.wait()
    ticker.discard(first)
    seen = len(first.times)
    second.again.clear()
    await second.again.wait()
    assert len(first.times) == seen
    ticker.discard(second)
    ticker.discard(second)


async def test_one_that_leaves_or_comes_while_others_are_looked_at_does_no_harm() -> None:
    ticker = Ticker(0.01, asyncio.get_running_loop())
    late = Looked()

    class Leaving(Looked):
        def look(self, now: float) -> None:
            super().look(now)
            ticker.discard(self)
            ticker.add(late)

    leaving = Leaving()
    ticker.add(leaving)
    await late.again.wait()
    ticker.discard(late)
    assert len(leaving.times) == 1
    late.again.clear()
    ticker.add(late)  # it goes on after it had nothing to look at
    await late.again.wait()
    ticker.discard(late)
