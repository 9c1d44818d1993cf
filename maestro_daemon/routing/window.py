"""How often two things happened of late: counts over a sliding window, in a fixed room."""

from __future__ import annotations

from typing import Final

_SLOTS: Final = 10


class Window:
    """Two counts over the last `seconds`, kept in ten slots: what is older leaves a slot at a time."""

    __slots__ = ("_firsts", "_per_second", "_seconds", "_tick", "first", "second")

    def __init__(self, seconds: float) -> None:
        self._per_second = _SLOTS / seconds
        self._firsts = [0] * _SLOTS
        self._seconds = [0] * _SLOTS
        self._tick = 0
        self.first = 0
        self.second = 0

    def forward(self, now: float) -> None:
        """Let go of what is too old. `now` is in seconds and never goes back."""
        tick = int(now * self._per_second)
        passed = tick - self._tick
        if passed <= 0:
            return
        for each in range(max(self._tick + 1, tick - _SLOTS + 1), tick + 1):
            slot = each % _SLOTS
            self.first -= self._firsts[slot]
            self.second -= self._seconds[slot]
            self._firsts[slot] = self._seconds[slot] = 0
        self._tick = tick

    def add_first(self, now: float) -> None:
        """The first thing happened."""
        if int(now * self._per_second) != self._tick:
            self.forward(now)
        self._firsts[self._tick % _SLOTS] += 1
        self.first += 1

    def add_second(self, now: float) -> None:
        """The second thing happened."""
        if int(now * self._per_second) != self._tick:
            self.forward(now)
        self._seconds[self._tick % _SLOTS] += 1
        self.second += 1

    def clear(self) -> None:
        """Nothing happened."""
        self._firsts = [0] * _SLOTS
        self._seconds = [0] * _SLOTS
        self.first = self.second = 0
