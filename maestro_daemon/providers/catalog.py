"""What every provider lists: read in the background, apart per provider, never forgotten by a failure."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import structlog

from maestro_daemon.errors import MaestroError
from maestro_daemon.protocol import json
from maestro_daemon.providers.foreign_code import FAILURES, ends_this_task
from maestro_daemon.providers.provider import Model, Provider

_FIRST_RETRY: Final = 2.0
_log = structlog.get_logger(__name__)


class _Shelf:
    """What is known about one provider's models."""

    def __init__(self) -> None:
        self.models: tuple[Model, ...] | None = None
        self.failure: str | None = None
        self.failures = 0
        self.readings = 0
        self.tried = asyncio.Event()
        self.reading = asyncio.Lock()


class Catalog:
    """The models of all `providers`, by the providers' names.

    A list is read again `ttl` seconds after it was read; a failed reading is tried again after 2, 4, 8 …
    seconds, `ttl` at most, and the last good list stays. One reading may take `timeout` seconds. `sleep` is
    the clock that `run` waits by.
    """

    def __init__(
        self,
        providers: Mapping[str, Provider],
        *,
        ttl: float = 300.0,
        timeout: float = 30.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._providers = dict(providers)
        self._shelves = {name: _Shelf() for name in self._providers}
        self._news = asyncio.Event()  # set, and replaced, whenever a first reading has ended
        self._ttl = ttl
        self._timeout = timeout
        self._sleep = sleep

    def models(self, provider: str) -> Sequence[Model] | None:
        """The provider's last good list; None while no reading ever succeeded, and for unknown names."""
        shelf = self._shelves.get(provider)
        return shelf.models if shelf is not None else None

    def failure(self, provider: str) -> str | None:
        """Why the last reading failed, in one sentence; None when it succeeded or never ended yet."""
        shelf = self._shelves.get(provider)
        return shelf.failure if shelf is not None else None

    async def run(self) -> None:
        """Read everything at once, then again and again, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for name in self._providers:
                group.create_task(self._keep(name), name=f"catalogue of {name}")

    async def refresh(self, provider: str | None = None) -> None:
        """Read one provider's list now, or everybody's; failures are kept, not raised.

        Whoever asks while a reading is under way waits for that one.
        """
        names = list(self._providers) if provider is None else [provider]
        await asyncio.gather(*(self._read(name) for name in names))

    async def tried(self) -> None:
        """Wait until every provider was read once, with whatever success."""
        for shelf in self._shelves.values():
            await shelf.tried.wait()

    async def more_read(self) -> bool:
        """Wait until one more provider was read for the first time; False at once when all were."""
        if all(shelf.tried.is_set() for shelf in self._shelves.values()):
            return False
        await self._news.wait()
        return True

    async def _keep(self, name: str) -> None:
        shelf = self._shelves[name]
        while True:
            await self._read(name)
            pause = self._ttl
            if shelf.failures:
                pause = min(self._ttl, _FIRST_RETRY * 2.0 ** min(shelf.failures - 1, 20))
            await self._sleep(pause)

    async def _read(self, name: str) -> None:
        shelf = self._shelves[name]
        readings = shelf.readings
        async with shelf.reading:
            if shelf.readings != readings:
                return
            try:
                async with asyncio.timeout(self._timeout):
                    models = await self._providers[name].models()
                shelf.models = _sound(name, models)
            except FAILURES as error:  # outsiders' code; one provider must not spoil the others
                if ends_this_task(error):
                    raise
                sentence = self._sentence(error)
                # Said once; an upstream that stays away must not fill the log.
                tell = _log.debug if sentence == shelf.failure else _log.warning
                tell("models not read", provider=name, error=sentence)
                shelf.failures += 1
                shelf.failure = sentence
            else:
                shelf.failures = 0
                shelf.failure = None
                _log.debug("models read", provider=name, models=len(shelf.models))
            shelf.readings += 1
            if not shelf.tried.is_set():
                shelf.tried.set()
                self._news.set()
                self._news = asyncio.Event()

    def _sentence(self, error: BaseException) -> str:
        if isinstance(error, MaestroError):
            return error.message
        if isinstance(error, TimeoutError):
            return f"The list of models did not come within {self._timeout:g} s."
        return f"The list of models cannot be read: {type(error).__name__}: {error}"


def _sound(provider: str, models: Sequence[Model]) -> tuple[Model, ...]:
    """The entries that are models, each id once."""
    sound: dict[str, Model] = {}
    for model in models:
        if isinstance(model, Model) and model.id:  # type: ignore[redundant-expr]
            sound.setdefault(model.id, model)
        else:
            _log.warning("an entry of the list of models is none", provider=provider)
    return tuple(sound.values())


def _writable(details: Mapping[str, Any]) -> dict[str, Any]:
    """The details if JSON can say them; a plugin may have put anything there."""
    try:
        json.dumps(dict(details))
    except (TypeError, ValueError):
        return {}
    return dict(details)


def listing(catalog: Catalog, providers: Iterable[str]) -> dict[str, Any]:
    """The catalogue as ``{"models": [{"id": "provider/model", …}], "problems": {provider: why}}``."""
    models = [
        {
            "id": f"{provider}/{model.id}",
            "provider": provider,
            "name": model.name or model.id,
            "context_window": model.context_window,
            "max_output_tokens": model.max_output_tokens,
            "tools": model.tools,
            "vision": model.vision,
            "reasoning_efforts": list(model.reasoning_efforts),
            "details": _writable(model.details),
        }
        for provider in providers
        for model in catalog.models(provider) or ()
    ]
    failures = {provider: catalog.failure(provider) for provider in providers}
    return {"models": models, "problems": {name: why for name, why in failures.items() if why is not None}}
