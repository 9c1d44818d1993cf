"""Deadlines of requests, all on one timer.

A timer for each request costs more than the rest of its routing, and hardly any ever fires. Here a request's
deadline is an entry in a set; one timer stands at the earliest that was known when it was set.
"""

from __future__ import annotations

import asyncio
from types import AsyncGeneratorType
from typing import Any, Final

_FOREVER: Final = float("inf")
_EXACTNESS: Final = 0.002  # seconds; the loop's clock is no finer
_AGAIN: Final = 0.05


class Deadline:
    """One deadline for the running task; `expired` says that its time came. Stop it in the task's `finally`.

    When its time comes the task is cancelled; whoever catches that asks `caused` and turns it into an error.
    Where `stream` is given, the task is cancelled only while it waits inside that generator, never in the
    middle of what it does with an event.
    """

    __slots__ = ("_cancelled", "_deadlines", "_stream", "_task", "at", "expired")

    def __init__(
        self,
        deadlines: Deadlines,
        at: float,
        stream: AsyncGeneratorType[Any, None] | None,
        task: asyncio.Task[Any] | None,
    ) -> None:
        self._deadlines = deadlines
        self._stream = stream
        self._task = task
        self._cancelled = False
        self.at = at
        self.expired = False

    def move(self, at: float | None) -> None:
        """Another time, in the loop's seconds; None for never."""
        if at is None:
            self.at = _FOREVER
            return
        self.at = at
        self._deadlines.note(at)

    def stop(self) -> None:
        """It is over: nothing is cancelled any more."""
        self._deadlines.drop(self)
        self._take_back()

    def caused(self) -> bool:
        """Whether the cancellation just caught is this one's, and nobody else's; it is taken back."""
        ours = self._cancelled
        self._take_back()
        task = self._task
        return ours and task is not None and task.cancelling() == 0

    def expire(self) -> bool:
        """Its time came; False if the task is busy with an event just now."""
        self.expired = True
        if self._stream is not None and not self._stream.ag_running:
            return False
        if self._task is not None and not self._cancelled:
            self._cancelled = True
            self._task.cancel()
        return True

    def _take_back(self) -> None:
        if self._cancelled and self._task is not None:
            self._cancelled = False
            self._task.uncancel()


class Deadlines:
    """All deadlines of a daemon."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._watched: set[Deadline] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._armed = _FOREVER

    def __len__(self) -> int:
        """How many are watched."""
        return len(self._watched)

    def now(self) -> float:
        """The loop's time, in which deadlines are said."""
        return self._loop.time()

    def watch(self, at: float | None, stream: AsyncGeneratorType[Any, None] | None = None) -> Deadline:
        """A deadline for the running task; None for none yet."""
        deadline = Deadline(self, _FOREVER if at is None else at, stream, asyncio.current_task(self._loop))
        self._watched.add(deadline)
        self.note(deadline.at)
        return deadline

    def note(self, at: float) -> None:
        """There is a deadline at this time."""
        if at < self._armed:
            if self._timer is not None:
                self._timer.cancel()
            self._armed = at
            self._timer = self._loop.call_at(at, self._look)

    def drop(self, deadline: Deadline) -> None:
        """Watch it no more."""
        self._watched.discard(deadline)

    def close(self) -> None:
        """Let go of the timer."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        now = self._loop.time() + _EXACTNESS
        for each in [each for each in self._watched if each.at <= now]:
            each.at = _FOREVER if each.expire() else now + _AGAIN
        self._timer = None
        self._armed = _FOREVER
        self.note(min((each.at for each in self._watched), default=_FOREVER))
