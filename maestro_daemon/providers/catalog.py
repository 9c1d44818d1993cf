"""What every provider lists: read in the background, apart per provider, kept when a reading fails."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

from maestro_daemon.protocol import json
from maestro_daemon.providers.conduct import Conduct
from maestro_daemon.providers.provider import Model, Provider
from maestro_daemon.providers.shelf import News, Shelf


class Catalog:
    """The models of all `providers`, by the providers' names.

    A list is read again `ttl` seconds after it was read, sooner if its provider says so; a failed reading is
    tried again after 2, 4, 8 … seconds, `ttl` at most, and the last good list stays. One reading may take
    `timeout` seconds. `sleep` is the clock of the shelves, which `Residents` keep. What the catalogue
    `before` knows of the same provider objects is known here, too, and read for both at once.
    """

    def __init__(
        self,
        providers: Mapping[str, Provider],
        before: Catalog | None = None,
        *,
        ttl: float = 300.0,
        timeout: float = 30.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        conduct: Conduct | None = None,
    ) -> None:
        self._news: News = News() if before is None else before._news
        self._shelves: dict[str, Shelf] = {}
        for name, provider in providers.items():
            known = None if before is None else before._shelves.get(name)
            if known is None or known.provider is not provider:
                known = Shelf(
                    name, provider, ttl=ttl, timeout=timeout, sleep=sleep, news=self._news, conduct=conduct
                )
            self._shelves[name] = known

    def shelf(self, provider: str) -> Shelf:
        """What is known of one provider. Raises `KeyError` for unknown names."""
        return self._shelves[provider]

    def models(self, provider: str) -> Sequence[Model] | None:
        """The provider's last good list; None while no reading ever succeeded, and for unknown names."""
        shelf = self._shelves.get(provider)
        return shelf.models if shelf is not None else None

    def failure(self, provider: str) -> str | None:
        """Why the last reading failed, in one sentence; None when it succeeded or never ended yet."""
        shelf = self._shelves.get(provider)
        return shelf.failure if shelf is not None else None

    async def refresh(self, provider: str | None = None) -> None:
        """Read one provider's list now, or everybody's; failures are kept, not raised.

        Whoever asks while a reading is under way waits for that one.
        """
        names = list(self._shelves) if provider is None else [provider]
        await asyncio.gather(*(self._shelves[name].read() for name in names))

    def forget(self, provider: str) -> None:
        """Know no list of one provider, as before its first reading. Raises `KeyError` for unknown names."""
        self._shelves[provider].forget()

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
