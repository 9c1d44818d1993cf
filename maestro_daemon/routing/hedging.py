"""Hedging: a second target is asked when the first is late, and whoever says something first is taken.

The attempts of a race run in tasks of their own, each with a deadline of its own. The loser is cancelled at
once, and that counts neither way for its health.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import aclosing
from typing import Any, Final, TypeAlias

from maestro_daemon.errors import MaestroError
from maestro_daemon.events import TERMINAL, Accepted, ResponseEvent
from maestro_daemon.protocol.splice import Splice
from maestro_daemon.providers.foreign_code import FAILURES
from maestro_daemon.routing.answer import Completed
from maestro_daemon.routing.pursuit import Pursuit
from maestro_daemon.routing.tries import Try

_SAMPLES: Final = 20
_STATEFUL: Final = ("previous_response_id", "conversation", "background")
_PENDING: Final = 64
_PATIENCE_FOR_END: Final = 0.1  # seconds in which an ended answer lets go of its connection by itself


def late_after(pursuit: Pursuit) -> float | None:
    """After how many seconds a second target is to be asked; None where that is not to be.

    That needs twenty answers of the same route and sort, and a request that leaves nothing behind where it is
    asked in vain.
    """
    pace = pursuit.pace
    if pace is None or len(pace) < _SAMPLES:
        return None
    body = pursuit.request.body
    if any(body.get(each) for each in _STATEFUL):
        return None
    return pace.quantiles()[1]


async def first_answer(
    pursuit: Pursuit, first: Try, late: float, ask: Callable[[Try], Awaitable[Completed | None]]
) -> tuple[Try, Completed] | None:
    """The first whole answer of two attempts, None if both failed. `ask` makes one attempt."""

    async def asked(attempt: Try) -> Completed | None:
        with attempt.deadline_of_its_own():
            return await ask(attempt)

    running = {asyncio.create_task(asked(first)): first}
    try:
        done, _ = await asyncio.wait(running, timeout=late)
        if not done and (second := pursuit.hedge(first)) is not None:
            running[asyncio.create_task(asked(second))] = second
        while running:
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                attempt = running.pop(task)
                completed = task.result()
                if completed is not None:
                    pursuit.won(attempt)
                    return attempt, completed
        return None
    finally:
        await _end(running)


_Said: TypeAlias = "tuple[_Racer, ResponseEvent | MaestroError | None]"
"""Who said it, and what: an event, the failure that ended the attempt, or None for its end."""


class _Racer:
    """One attempt of a race: what its upstream says goes to the race's queue."""

    def __init__(self, attempt: Try, queue: asyncio.Queue[_Said]) -> None:
        self.attempt = attempt
        self._queue = queue
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        attempt = self.attempt
        splice = Splice()
        splice.attempt(attempt.target.provider_name)
        told: MaestroError | None = None
        with attempt.deadline_of_its_own():
            try:
                async with aclosing(attempt.target.provider.stream(attempt.aimed())) as upstream:
                    async for event in upstream:
                        if attempt.attempt.accepted_after is None:
                            attempt.accepted()
                            await self._queue.put((self, _acceptance(event)))
                        if splice.committed:
                            await self._queue.put((self, event))
                        elif splice.take(event):
                            attempt.spoke()  # however soon the race looks at it
                            await self._queue.put((self, event))
                    if not splice.committed:
                        splice.end()
            except FAILURES as error:
                told = attempt.failed(error)
                if told is None:
                    raise
            if not splice.committed:
                attempt.end()
        await self._queue.put((self, told))


class Race:
    """A streamed race. `events` gives the first acceptance, then all that the winner says.

    `accepted_by` is set before the acceptance is given, `winner` before its first output.
    """

    def __init__(self, pursuit: Pursuit, first: Try, late: float) -> None:
        self.accepted_by = first
        self.winner = first
        self._pursuit = pursuit
        self._first = first
        self._late = late

    async def events(self) -> AsyncGenerator[ResponseEvent, None]:
        """Raises the last failure if nobody says anything, the winner's if it breaks off."""
        queue: asyncio.Queue[_Said] = asyncio.Queue(_PENDING)
        running = [_Racer(self._first, queue)]
        ended = False
        try:
            began = asyncio.get_running_loop().time()
            late: float | None = began + self._late
            accepted = False
            while True:
                try:
                    async with asyncio.timeout_at(late):
                        racer, said = await queue.get()
                except TimeoutError:
                    late = None
                    second = self._pursuit.hedge(self._first)
                    if second is not None:
                        running.append(_Racer(second, queue))
                    continue
                if not isinstance(said, ResponseEvent):
                    running.remove(racer)
                    await _end([racer.task])
                    if running:
                        continue
                    self._pursuit.progress.served = None
                    if said is not None:
                        raise said
                    return
                if isinstance(said, Accepted):
                    if not accepted:
                        accepted = True
                        self.accepted_by = racer.attempt
                        self._pursuit.progress.served = racer.attempt.attempt  # as far as is known now
                        yield said
                    continue
                self.winner = racer.attempt
                self._pursuit.won(racer.attempt)
                await _end(each.task for each in running if each is not racer)
                for each in running:
                    if each is not racer:
                        each.attempt.end()
                running = [racer]
                yield said
                break
            while True:
                racer, said = await queue.get()
                if racer is not running[0]:
                    continue
                if isinstance(said, ResponseEvent):
                    ended = said.type in TERMINAL
                    yield said
                    continue
                if said is not None:
                    raise said
                return
        finally:
            if ended:
                await asyncio.wait({running[0].task}, timeout=_PATIENCE_FOR_END)
            await _end(each.task for each in running)
            for each in running:
                if each.attempt is not self.winner:  # which its owner ends
                    each.attempt.end()


def _acceptance(event: ResponseEvent) -> Accepted:
    return event if isinstance(event, Accepted) else Accepted()


async def _end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel, and wait until everything that they held is closed."""
    running = {task for task in tasks if not task.done()}
    for task in running:
        task.cancel()
    if running:
        await asyncio.wait(running)
