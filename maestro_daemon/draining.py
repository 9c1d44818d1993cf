"""How the daemon ends: nothing new is accepted, answers under way may end, then each is ended properly."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable
from typing import Final

import structlog

from maestro_daemon.listening import Listening
from maestro_daemon.server.under_way import UnderWay

_SILENT: Final = 2.0  # seconds in which a client that has just connected may still ask
_FLUSH: Final = 2.0  # seconds for the last bytes to leave
_log: Final = structlog.get_logger(__name__)


async def drain(listening: Listening, under_way: UnderWay, seconds: float, at_once: asyncio.Event) -> None:
    """Let answers end for `seconds`, or until `at_once` is set; what then still runs is ended by us.

    A connection ends with its answer, and an idle one at once. When this returns nothing is left that a
    client waits for.
    """
    await listening.accept_no_more()
    listening.end_after_answers()
    _log.info("stopping", in_flight=len(under_way), connections=listening.connections, drain=seconds)
    in_time = await _first(_deserted(listening), at_once.wait(), seconds)
    if not in_time:
        _log.warning("ending answers that are not over", in_flight=len(under_way))
    listening.end_silent()
    await under_way.end()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_FLUSH):
            await listening.deserted()


async def _deserted(listening: Listening) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_SILENT):
            await listening.deserted()
            return
    listening.end_silent()
    await listening.deserted()


async def _first(wanted: Awaitable[None], hurry: Awaitable[object], seconds: float) -> bool:
    """Whether `wanted` came within the time, and before `hurry`."""
    ended, hurried = asyncio.ensure_future(wanted), asyncio.ensure_future(hurry)
    try:
        await asyncio.wait({ended, hurried}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        return ended.done()
    finally:
        ended.cancel()
        hurried.cancel()
        await asyncio.wait({ended, hurried})


def drain_text(in_flight: int, left: float) -> str:
    """The status line of a daemon that ends, with `left` seconds for its answers."""
    if not in_flight:
        return "stopping"
    return f"stopping: {in_flight} answer{'s' * (in_flight != 1)} may go on for up to {max(0, round(left))} s"
