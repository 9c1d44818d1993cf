"""One check under way: the stage, the providers that it makes, the requests that it sends."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from maestro_daemon.errors import MaestroError
from maestro_daemon.providers.provider import Provider, Startable
from maestro_daemon.providers.registry import Kind, PluginBroken, Registry
from maestro_daemon.providers.secret import Sources
from maestro_daemon.request import ResponseRequest
from maestro_daemon.testing.bounded import soon
from maestro_daemon.testing.breach import Breach, Inapplicable
from maestro_daemon.testing.hearing import Heard, hear
from maestro_daemon.testing.overheard import Overheard
from maestro_daemon.testing.scenarios import Listing, Scenario
from maestro_daemon.testing.stage import Fields, Stage

SECRET: Final = "sk-contract-5f1c8b0e7a2d4936"  # noqa: S105  (it opens nothing)
"""What every table holds as its key, and what may appear nowhere."""

NAME: Final = "under-test"
"""The name of the provider: ``[providers.under-test]``."""

MODEL: Final = "gpt-test"


@dataclass(frozen=True)
class Author:
    """What the author of a provider says of it; see `ProviderContract`."""

    plugin: object
    kind: str
    model: str
    table: Mapping[str, Any]
    impatient: Mapping[str, Any]


class Bench:
    """What a check works with: the fake upstream, what is logged, and the model to ask."""

    def __init__(self, author: Author, stage: Stage, log: Overheard, folder: Path) -> None:
        self.stage = stage
        self.log = log
        self.model = author.model
        self._author = author
        self._folder = folder

    def kind(self) -> Kind:
        """The kind under test, as the plugin registers it. Raises `Breach` if it does not."""
        return registered(self._author.plugin, self._author.kind)

    def table(self, **changes: Any) -> dict[str, Any]:
        """The table of the provider, as TOML would have it."""
        return {**self._author.table, **changes}

    def options(self, **changes: Any) -> BaseModel:
        """The options of such a table. Raises `Breach` if they are refused."""
        return read_options(self.kind(), self.table(**changes))

    def impatience(self) -> Mapping[str, Any]:
        """Changes of the table by which it waits a tenth of a second. Raises `Inapplicable` without any."""
        fields = self.kind().options_model.model_fields
        changes = {name: value for name, value in self._author.impatient.items() if name in fields}
        if not changes:
            raise Inapplicable("its options have no timeouts of the names in `impatient`")
        return changes

    @asynccontextmanager
    async def opened(self, **changes: Any) -> AsyncIterator[Provider]:
        """The provider of the table with these changes, made and started; closed with the block."""
        provider = await self.made(**changes)
        try:
            yield provider
        finally:
            wants = "that aclose() returns, within seconds"
            await soon(provider.aclose(), wants, "leaving-and-ending")

    async def made(self, **changes: Any) -> Provider:
        """As `opened`; whoever calls closes it."""
        kind = self.kind()
        registry = _registry(self._author.plugin)
        provider = registry.build(
            NAME, kind.name, read_options(kind, self.table(**changes)), state_directory=self._folder
        )
        if isinstance(provider, Startable):
            await soon(provider.start(), "that start() returns, within seconds", "a-provider")
        return provider

    def play(self, scenario: Scenario) -> Fields:
        """Let every request from now on get `scenario`; the fields that it takes to get that."""
        return self.stage.play(scenario)[0]

    def play_listing(self, listing: Listing) -> None:
        """Let questions for the models get `listing`."""
        self.stage.play_listing(listing)

    def request(self, *fields: Fields, stream: bool = True) -> ResponseRequest:
        """A request of the model under test, with these fields."""
        body: dict[str, Any] = {"model": self.model, "input": "Say something."}
        for each in fields:
            body.update(each)
        if stream:
            body["stream"] = True
        return ResponseRequest(body=body, model=self.model, asked_model=self.model, stream=stream)

    async def heard(self, scenario: Scenario, *fields: Fields, **changes: Any) -> Heard:
        """The streamed answer of a new provider to `scenario`."""
        needed = self.play(scenario)
        async with self.opened(**changes) as provider:
            return await hear(provider, self.request(needed, *fields))


def registered(plugin: object, name: str) -> Kind:
    """The kind `name` of the plugin, or its only one. Raises `Breach` for a plugin that cannot be loaded."""
    kinds = _registry(plugin).kinds
    if name:
        if name not in kinds:
            found = f"it registers {', '.join(sorted(kinds)) or 'none'}"
            raise Breach(f"that the plugin registers the kind {name!r}", found, "hooks")
        return kinds[name]
    if len(kinds) != 1:
        found = f"it registers {', '.join(sorted(kinds)) or 'no kind'}; name one in `kind`"
        raise Breach("that the plugin registers a kind", found, "hooks")
    return next(iter(kinds.values()))


def read_options(kind: Kind, table: Mapping[str, Any]) -> BaseModel:
    """The options of the table, read as the daemon does."""
    try:
        return kind.options_model.model_validate(dict(table), context=Sources(environ={}))
    except ValidationError as error:
        wants = "that its options take the table that `table()` gives: override it if yours needs other keys"
        raise Breach(wants, str(error), "testing-your-provider") from error


def default_table(kind: Kind, url: str) -> dict[str, Any]:
    """``base_url`` and ``api_key``, as far as the kind has them."""
    usual = {"base_url": url, "api_key": SECRET}
    return {name: value for name, value in usual.items() if name in kind.options_model.model_fields}


def _registry(plugin: object) -> Registry:
    if inspect.isclass(plugin):
        plugin = plugin()
    registry = Registry(lambda: ())
    try:
        registry.add(plugin, "contract")
    except PluginBroken as error:
        raise Breach("a plugin that can be loaded", str(error), "hooks") from error
    except MaestroError as error:
        raise Breach("a plugin that can be loaded", str(error), "hooks") from error
    return registry
