"""Which generation is current, and what becomes of those before: they end with their last request."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final, Self

import structlog

from maestro_daemon.config import Config
from maestro_daemon.generation import Generation, Lasting
from maestro_daemon.providers.lifetime import Residents
from maestro_daemon.server.front import Door

_WARM_UP: Final = 5.0  # seconds in which new providers may read their models before they are asked
_log: Final = structlog.get_logger(__name__)


class Succession:
    """The generations of one daemon. For ``async with``: their providers live while the block runs.

    `current` is who serves what comes now, `door` leads there, and `residents` are the providers that live.
    """

    def __init__(self, config: Config, lasting: Lasting) -> None:
        self._lasting = lasting
        self.residents = Residents(conduct=lasting.registry.conduct)
        self._ending: set[asyncio.Task[None]] = set()
        self.current = Generation(config, lasting, login_changed=self._login_changed)
        self.door = Door(self.current.front)

    async def __aenter__(self) -> Self:
        self.residents.hold(self.current.providers, self.current.catalog)
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._ending:
            task.cancel()
        if self._ending:
            await asyncio.wait(self._ending)
        await self.residents.close()
        self._lasting.deadlines.close()

    @property
    def issued(self) -> bool:
        """Whether client keys were ever issued by command, so that keys are needed."""
        return self._lasting.issued.needed

    @property
    def lingering(self) -> int:
        """How many generations before this one still serve requests."""
        return len(self._ending)

    async def take_over(self, config: Config) -> Generation:
        """Let a generation made from `config` serve what comes from now on; give it.

        Until its new providers have read their models, or a few seconds are over, the one before serves on.
        If this is cancelled nothing has changed.
        """
        before = self.current
        after = Generation(config, self._lasting, before=before, login_changed=self._login_changed)
        self.residents.hold(after.providers, after.catalog)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_WARM_UP):
                    for name in after.made:
                        await after.catalog.shelf(name).tried.wait()
        except BaseException:
            await self.residents.release(after.providers)
            raise
        # From here on nothing waits: no request sees one half of each.
        self._lasting.follow(config)
        for name in after.made:
            self._lasting.health.heal(name)
        self.current = after
        self.door.front = after.front
        ending = asyncio.create_task(self._end(before), name="end of a generation")
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)
        return after

    async def _login_changed(self, provider: str, logged_in: bool) -> None:
        self._lasting.health.heal(provider)
        if provider in self.current.providers:
            if not logged_in:
                self.current.catalog.forget(provider)
            await self.current.catalog.refresh(provider)

    async def _end(self, generation: Generation) -> None:
        """Let go of its providers when its last request has ended."""
        try:
            async with asyncio.timeout(generation.longest):
                await generation.front.deserted()
        except TimeoutError:
            _log.error(
                "requests under an earlier configuration do not end: its providers are closed",
                in_flight=generation.front.in_flight,
                seconds=generation.longest,
            )
        await self.residents.release(generation.providers)
