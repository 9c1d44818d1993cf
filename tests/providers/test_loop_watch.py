"""A loop that stands still is told of, with the plugin and the line that hold it."""

from __future__ import annotations

import asyncio
import time
from operator import itemgetter
from typing import Any

from maestro_daemon.providers.conduct import Conduct
from maestro_daemon.providers.loop_watch import LoopWatch

PATIENCE = 0.1


def mine(module: str) -> str | None:
    return "acme" if module == __name__ else None


def hold(lines: list[Any], event: str) -> None:
    """Block until there is such a line; half a minute at most."""
    until = time.monotonic() + 30
    while event not in map(itemgetter("event"), lines) and time.monotonic() < until:
        pass


async def test_who_holds_it_is_named(logged: list[Any]) -> None:
    conduct = Conduct()
    with LoopWatch(mine, conduct, patience=PATIENCE):
        await asyncio.sleep(0)
        hold(logged, "the event loop is held up")
        for _ in range(1000):
            await asyncio.sleep(0.01)
            if len(logged) > 1:
                break
    held, on = logged
    assert (held["plugin"], held["log_level"]) == ("acme", "error")
    assert "providers/test_loop_watch.py:" in held["at"]
    assert held["at"].endswith(" in hold")
    assert (on["event"], on["log_level"]) == ("the event loop goes on", "warning")
    record = conduct.of("acme")
    assert record.blocked == 1
    assert record.last.startswith("held the event loop up at providers/test_loop_watch.py:")


async def test_what_no_plugin_holds_is_told_without_one(logged: list[Any]) -> None:
    conduct = Conduct()
    with LoopWatch(lambda module: None, conduct, patience=PATIENCE):
        await asyncio.sleep(0)
        hold(logged, "the event loop is held up")
    assert logged[0]["plugin"] is None
    assert conduct.of("acme").blocked == 0


async def test_a_loop_that_runs_or_waits_is_not_told_of(logged: list[Any]) -> None:
    with LoopWatch(mine, Conduct(), patience=0.3):
        await asyncio.sleep(0.7)
    assert logged == []
