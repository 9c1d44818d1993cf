"""A loop of one's own for each check, that ends whatever happens in it, and bounds for what may hang."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Coroutine
from contextvars import ContextVar, copy_context
from typing import Any, Final, TypeVar

from maestro_daemon.testing.breach import Breach
from maestro_daemon.testing.standstill import told_of_standstill

T = TypeVar("T")

PATIENCE: Final = ContextVar("patience", default=5.0)
"""Seconds after which something that should have happened at once counts as hanging."""

_LONGEST: Final = 6
"""How many times that a whole check may take."""

_STANDSTILL: Final = 5.0
"""Seconds for which code of the kit's own may hold up the loop, however short the patience."""

_LAST_WORDS: Final = 1.0


async def soon(happening: Awaitable[T], wants: str, section: str) -> T:
    """What `happening` gives. Raises `Breach` if it hangs: `wants` is what should have happened."""
    __tracebackhide__ = True
    patience = PATIENCE.get()
    bound = asyncio.timeout(patience)
    try:
        async with bound:
            return await happening
    except TimeoutError:
        if not bound.expired():
            raise
        raise Breach(wants, f"nothing happened for {patience:g} s", section) from None


def run(check: Coroutine[Any, Any, None], patience: float) -> None:
    """Run a check on a new loop; tasks that do not end are left behind. `patience` is what `soon` has."""
    __tracebackhide__ = True
    copy_context().run(_run, check, patience)


def _run(check: Coroutine[Any, Any, None], patience: float) -> None:
    __tracebackhide__ = True
    PATIENCE.set(patience)
    loop = asyncio.new_event_loop()
    # What ends with the loop is told by the checks themselves, where it is against the contract.
    loop.set_exception_handler(lambda _, context: None)
    try:
        with told_of_standstill(loop, max(patience, _STANDSTILL)):
            loop.run_until_complete(_bounded(check))
    finally:
        try:
            loop.run_until_complete(_cleared())
        finally:
            loop.close()


async def _bounded(check: Coroutine[Any, Any, None]) -> None:
    __tracebackhide__ = True
    task = asyncio.ensure_future(check)
    longest = _LONGEST * PATIENCE.get()
    done, _ = await asyncio.wait({task}, timeout=longest)
    if not done:
        task.cancel()
        raise Breach(
            "that whatever is asked of a provider ends, and that it lets itself be cancelled",
            f"the check did not end within {longest:g} s",
            "leaving-and-ending",
        )
    await task


async def _cleared() -> None:
    """Cancel what is left, and give it a moment."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left, timeout=min(_LAST_WORDS, PATIENCE.get()))
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LAST_WORDS):
            loop = asyncio.get_running_loop()
            await loop.shutdown_asyncgens()
            await loop.shutdown_default_executor()
