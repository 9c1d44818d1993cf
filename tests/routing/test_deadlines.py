"""Deadlines that share one timer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator

import pytest

from maestro_daemon.routing.deadlines import Deadline, Deadlines


async def until(deadlines: Deadlines, seconds: float | None, work: asyncio.Event) -> str:
    """How waiting for `work` ends."""
    deadline = deadlines.watch(None if seconds is None else deadlines.now() + seconds)
    try:
        await work.wait()
        return "done"
    except asyncio.CancelledError:
        if deadline.caused():
            return "late"
        raise
    finally:
        deadline.stop()


async def test_each_ends_in_its_own_time_whatever_the_order_in_which_they_were_set() -> None:
    deadlines = Deadlines()
    never, work = asyncio.Event(), asyncio.Event()
    late = [asyncio.create_task(until(deadlines, each, never)) for each in (0.06, 0.02, 0.04)]
    well = [asyncio.create_task(until(deadlines, each, work)) for each in (30.0, None)]
    assert await asyncio.gather(*late) == ["late"] * 3
    work.set()
    assert await asyncio.gather(*well) == ["done"] * 2
    assert len(deadlines) == 0
    deadlines.close()


async def test_a_deadline_in_the_past_is_met_at_once() -> None:
    assert await until(Deadlines(), -1.0, asyncio.Event()) == "late"


async def test_a_deadline_can_be_moved_both_ways() -> None:
    deadlines = Deadlines()
    deadline = deadlines.watch(deadlines.now() + 0.01)
    deadline.move(deadlines.now() + 30)
    await asyncio.sleep(0.03)
    deadline.move(None)
    await asyncio.sleep(0.01)
    deadline.move(deadlines.now() + 0.01)
    with pytest.raises(asyncio.CancelledError):
        await asyncio.sleep(30)
    assert deadline.caused()
    deadline.stop()


async def test_somebody_elses_cancellation_is_not_taken_for_a_deadline() -> None:
    deadlines = Deadlines()
    task = asyncio.create_task(until(deadlines, 30.0, asyncio.Event()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(deadlines) == 0


async def test_a_cancellation_of_both_is_somebody_elses() -> None:
    deadlines = Deadlines()
    seen: list[bool] = []

    async def both() -> None:
        deadline = deadlines.watch(deadlines.now() + 30)
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            seen.append(deadline.caused())
            raise
        finally:
            deadline.stop()

    task = asyncio.create_task(both())
    await asyncio.sleep(0)
    (deadline,) = deadlines._watched
    assert deadline.expire()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == [False]


async def test_a_stopped_one_takes_its_cancellation_back() -> None:
    deadlines = Deadlines()
    deadline: Deadline | None = None

    async def swallow() -> int:
        nonlocal deadline
        deadline = deadlines.watch(deadlines.now() - 1)
        with contextlib.suppress(asyncio.CancelledError):  # as a provider may
            await asyncio.sleep(30)
        deadline.stop()
        task = asyncio.current_task()
        assert task is not None
        return task.cancelling()

    assert await asyncio.create_task(swallow()) == 0


async def test_a_stream_is_cut_only_while_it_is_being_asked() -> None:
    deadlines = Deadlines()
    handled: list[str] = []

    async def events() -> AsyncGenerator[str, None]:
        try:
            yield "first"
            await asyncio.sleep(30)
            yield "never"
        except asyncio.CancelledError:
            if not deadline.caused():
                raise
            yield "late"

    stream = events()
    deadline = deadlines.watch(deadlines.now() + 0.01, stream)  # type: ignore[arg-type]
    async for event in stream:
        await asyncio.sleep(0.05)  # its time comes while the event is handled
        handled.append(event)
    assert handled == ["first", "late"]
    deadline.stop()
