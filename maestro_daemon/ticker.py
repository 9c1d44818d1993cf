"""One timer for many things that are to be looked at now and then.

A timer of its own for each stream, set and cancelled each time, costs more than most events of the stream.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

_LOOKS: Final = 10
"""How often within its patience something is looked at: a tenth of it is how late that may be noticed."""


class Watched(Protocol):
    """What a `Ticker` looks at."""

    def look(self, now: float) -> None:
        """It is `now` (the loop's time, in seconds). Must not raise."""
        ...


class Ticker:
    """Looks at everything in it ten times within `patience` seconds; it has a timer only while it has any."""

    __slots__ = ("_loop", "_period", "_running", "_watched")

    def __init__(self, patience: float, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._period = patience / _LOOKS
        self._watched: set[Watched] = set()
        self._running = False

    def add(self, watched: Watched) -> None:
        """Look at `watched` from now on."""
        self._watched.add(watched)
        if not self._running:
            self._running = True
            self._loop.call_later(self._period, self._tick)

    def discard(self, watched: Watched) -> None:
        """Look at it no more; nothing happens if it is not in there."""
        self._watched.discard(watched)

    def _tick(self) -> None:
        if not self._watched:
            self._running = False
            return
        self._loop.call_later(self._period, self._tick)
        now = self._loop.time()
        for watched in tuple(self._watched):
            watched.look(now)
