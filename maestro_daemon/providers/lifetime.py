"""The life of all providers beside the requests: started together, their models read, closed at the end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Final

import structlog

from maestro_daemon.errors import MaestroError
from maestro_daemon.providers.catalog import Catalog
from maestro_daemon.providers.foreign_code import FAILURES, ends_this_task
from maestro_daemon.providers.provider import Provider, Startable

_log: Final = structlog.get_logger(__name__)
_PATIENCE: Final = 10.0  # an engine's child is given 5 to end


@contextlib.asynccontextmanager
async def living(
    providers: Mapping[str, Provider], catalog: Catalog, *, patience: float = _PATIENCE
) -> AsyncIterator[None]:
    """While the block runs, start what is `Startable` and keep `catalog` read; then close every provider.

    Raises nothing for a provider's sake: one that fails is logged by name, and one that takes more than
    `patience` seconds to stop or to close is left alone, so that no plugin keeps the daemon from ending.
    """
    beside = {asyncio.create_task(catalog.run(), name="catalogue")}
    beside |= {
        asyncio.create_task(_started(name, provider), name=f"start of {name}")
        for name, provider in providers.items()
        if isinstance(provider, Startable)
    }
    try:
        yield
    finally:
        for task in beside:
            task.cancel()
        _, running = await asyncio.wait(beside, timeout=patience)
        for task in running:
            _log.error("left running: its cancellation was ignored", task=task.get_name())
        await asyncio.gather(*(_closed_in_time(*each, patience) for each in providers.items()))


async def _started(name: str, provider: Startable) -> None:
    try:
        await provider.start()
    except MaestroError as error:
        _log.warning("provider not started", provider=name, reason=error.message)
    except FAILURES as error:
        if ends_this_task(error):
            raise
        _log.error("provider not started", provider=name, exc_info=error)


async def _closed_in_time(name: str, provider: Provider, patience: float) -> None:
    closing = asyncio.create_task(_closed(name, provider), name=f"end of {name}")
    _, running = await asyncio.wait({closing}, timeout=patience)
    if running:
        closing.cancel()
        _log.error("provider not closed in time", provider=name, seconds=patience)


async def _closed(name: str, provider: Provider) -> None:
    try:
        await provider.aclose()
    except FAILURES as error:
        if ends_this_task(error):
            raise
        _log.error("provider not closed", provider=name, exc_info=error)
