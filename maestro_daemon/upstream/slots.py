"""How many requests an upstream gets at once, and how many wait for their turn."""

from __future__ import annotations

import asyncio

from maestro_daemon.errors import ProviderBusy


class Slots:
    """`count` requests at once; up to `most_waiting` more wait in order, and leave when cancelled."""

    def __init__(self, count: int, most_waiting: int, provider: str) -> None:
        self._free = asyncio.Semaphore(count)
        self._most_waiting = most_waiting
        self._waiting = 0
        self._provider = provider

    async def take(self) -> None:
        """Wait for a slot, which is to be given back. Raises `ProviderBusy` (429) if too many wait."""
        if self._free.locked() and self._waiting >= self._most_waiting:
            raise ProviderBusy(
                f"{self._provider} is busy: {self._waiting} requests wait already.",
                status=429,
                code="rate_limit_exceeded",
                retry_after=1.0,
            )
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1

    def give(self) -> None:
        """Let the next request go on."""
        self._free.release()
