"""The life of providers beside the requests: started, kept read, closed when nobody holds them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

import structlog

from maestro_daemon.errors import MaestroError
from maestro_daemon.providers.catalog import Catalog
from maestro_daemon.providers.conduct import Conduct
from maestro_daemon.providers.foreign_code import FAILURES, ends_this_task
from maestro_daemon.providers.provider import Provider, Startable

_log: Final = structlog.get_logger(__name__)
_PATIENCE: Final = 10.0  # an engine's child is given 5 to end


class _Resident:
    """A provider that lives, the tasks beside it, and how many hold it."""

    __slots__ = ("beside", "conduct", "holders", "name", "provider")

    def __init__(
        self, name: str, provider: Provider, beside: set[asyncio.Task[None]], conduct: Conduct
    ) -> None:
        self.name = name
        self.conduct = conduct
        self.provider = provider
        self.beside = beside
        self.holders = 0

    async def end(self, patience: float) -> None:
        """Stop what runs beside it, then close it; each may take `patience` seconds."""
        for task in self.beside:
            task.cancel()
        _, running = await asyncio.wait(self.beside, timeout=patience)
        for task in running:
            _log.error("left running: its cancellation was ignored", task=task.get_name())
        closing = asyncio.create_task(
            _closed(self.name, self.provider, self.conduct), name=f"end of {self.name}"
        )
        try:
            _, running = await asyncio.wait({closing}, timeout=patience)
        finally:
            closing.cancel()
        if running:
            _log.error("provider not closed in time", provider=self.name, seconds=patience)


class Residents:
    """The providers that live. Whoever needs some holds them, and releases them at the end.

    Nothing is raised for a provider's sake: one that fails is logged by name, and one that takes more than
    `patience` seconds to stop or to close is left alone, so that no plugin keeps the daemon from ending.
    `conduct` is told of what the contract does not know.
    """

    def __init__(self, *, patience: float = _PATIENCE, conduct: Conduct | None = None) -> None:
        self._patience = patience
        self._conduct = Conduct() if conduct is None else conduct
        self._living: dict[tuple[str, int], _Resident] = {}
        self._ending: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        """How many live."""
        return len(self._living)

    def hold(self, providers: Mapping[str, Provider], catalog: Catalog) -> None:
        """Hold these once more. Those that do not live yet are started, their shelves of `catalog` kept."""
        for name, provider in providers.items():
            resident = self._living.get((name, id(provider)))
            if resident is None:
                beside = {asyncio.create_task(catalog.shelf(name).keep(), name=f"catalogue of {name}")}
                if isinstance(provider, Startable):
                    starting = _started(name, provider, self._conduct)
                    beside.add(asyncio.create_task(starting, name=f"start of {name}"))
                resident = _Resident(name, provider, beside, self._conduct)
                self._living[name, id(provider)] = resident
            resident.holders += 1

    async def release(self, providers: Mapping[str, Provider]) -> None:
        """Hold these once less, and wait until those that nobody holds any more are closed.

        They are closed even if whoever waits is cancelled.
        """
        ended: set[asyncio.Task[None]] = set()
        for name, provider in providers.items():
            resident = self._living[name, id(provider)]
            resident.holders -= 1
            if not resident.holders:
                ended.add(self._end(resident))
        if ended:
            await asyncio.wait(ended)

    async def close(self) -> None:
        """Close all of them, whoever holds them."""
        for resident in tuple(self._living.values()):
            self._end(resident)
        if self._ending:
            await asyncio.wait(self._ending)

    def _end(self, resident: _Resident) -> asyncio.Task[None]:
        del self._living[resident.name, id(resident.provider)]
        ending = asyncio.create_task(resident.end(self._patience), name=f"end of {resident.name}")
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)
        return ending


async def _started(name: str, provider: Startable, conduct: Conduct) -> None:
    try:
        await provider.start()
    except MaestroError as error:
        _log.warning("provider not started", provider=name, reason=error.message)
    except FAILURES as error:
        if ends_this_task(error):
            raise
        conduct.provider_raised(name, "the start", type(error).__name__)
        _log.error("provider not started", provider=name, exc_info=error)


async def _closed(name: str, provider: Provider, conduct: Conduct) -> None:
    try:
        await provider.aclose()
    except FAILURES as error:
        if ends_this_task(error):
            raise
        if not isinstance(error, MaestroError):
            conduct.provider_raised(name, "the closing", type(error).__name__)
        _log.error("provider not closed", provider=name, exc_info=error)
