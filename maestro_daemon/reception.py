"""What the configuration that is current answers about its models and plugins, its logins and quotas."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any

from maestro_daemon.providers.accounts import Accounts
from maestro_daemon.providers.catalog import listing
from maestro_daemon.providers.plugin_report import report
from maestro_daemon.providers.registry import Registry
from maestro_daemon.server.control import Action
from maestro_daemon.succession import Succession


class Reception:
    """Whoever asks is answered by the generation of `succession` that is current then.

    Its providers live until the answer is over.
    """

    def __init__(self, succession: Succession, registry: Registry) -> None:
        self._succession = succession
        self._registry = registry

    def models(self) -> dict[str, Any]:
        """What ``maestro-daemon models`` shows."""
        generation = self._succession.current
        return listing(generation.catalog, generation.providers)

    def plugins(self) -> dict[str, Any]:
        """What ``maestro-daemon plugins`` shows."""
        return report(self._registry, self._succession.current.providers)

    def asking(self, ask: Callable[[Accounts, Mapping[str, Any]], Awaitable[dict[str, Any]]]) -> Action:
        """What asks the accounts."""

        async def asked(fields: Mapping[str, Any]) -> dict[str, Any]:
            generation = self._succession.current
            with generation.front.entered():
                return await ask(generation.accounts, fields)

        return asked

    async def login(self, fields: Mapping[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        """The steps of a login, see `Accounts.login`."""
        generation = self._succession.current
        with generation.front.entered():
            async with contextlib.aclosing(generation.accounts.login(fields)) as steps:
                async for step in steps:
                    yield step
