"""How fast answers begin: the latest times to first output, and what share of them is faster than what."""

from __future__ import annotations

from collections import deque
from typing import Final

_KEPT: Final = 256


class Pace:
    """The latest times to first output, in seconds."""

    __slots__ = ("_count", "_found", "_found_at", "_times")

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=_KEPT)
        self._count = 0
        self._found: tuple[float | None, float | None] = (None, None)
        self._found_at = 0

    def __len__(self) -> int:
        """How many are kept."""
        return len(self._times)

    def add(self, seconds: float) -> None:
        """One more."""
        self._times.append(seconds)
        self._count += 1

    def quantiles(self) -> tuple[float | None, float | None]:
        """The median and the 95th percentile; None each while there is nothing."""
        if self._times and self._found_at != self._count:
            ordered = sorted(self._times)
            last = len(ordered) - 1
            self._found = (ordered[round(last * 0.5)], ordered[round(last * 0.95)])
            self._found_at = self._count
        return self._found
