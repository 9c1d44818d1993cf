"""From a TOML file to a `Config` that can be trusted: everything wrong is found here, all at once."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from maestro_daemon.config import files
from maestro_daemon.config.faults import Fault, of_validation, refuse
from maestro_daemon.config.meaning import (
    leaves_out,
    misnamed,
    unaskable,
    unreachable_safely,
    unusable_kind,
    unusable_plugins,
    unusable_routes,
)
from maestro_daemon.config.server_tables import MetricsOptions, ServerOptions
from maestro_daemon.config.tables import (
    CLIENT_NAME,
    PROVIDER_NAME,
    ROUTE_NAME,
    BreakerOptions,
    ClientOptions,
    ConfigFile,
    PluginsOptions,
    ProviderTable,
    RouteOptions,
)
from maestro_daemon.errors import ConfigInvalid
from maestro_daemon.providers.registry import HOUSE_KEYS, Registry
from maestro_daemon.providers.secret import Secret, Sources
from maestro_daemon.providers.state_directory import default_path
from maestro_daemon.routing.terms import Patience
from maestro_daemon.server.issued_keys import were_issued

_SYNTAX = re.compile(
    r"(?P<what>.*?) \(at (?:line (?P<line>\d+), column (?P<column>\d+)|(?P<end>end of document))\)"
)
_Model = TypeVar("_Model", bound=BaseModel)
Discover = Callable[[], Mapping[str, Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class ProviderConfig:
    """``[providers.NAME]``: `options` is an instance of the kind's options model.

    `affinity` is for how many seconds after its last answer a conversation stays with the provider,
    `patience` how long its answers may take.
    """

    name: str
    kind: str
    options: BaseModel
    affinity: float
    patience: Patience


@dataclass(frozen=True, slots=True)
class Config:
    """A configuration that passed every check. `source` is its absolute path, None when there is no file.

    Names keep the file's order. `found` names the providers that no file wrote down: they were found on
    this machine because the configuration names no provider at all.
    """

    server: ServerOptions = field(default_factory=ServerOptions)
    clients: Mapping[str, ClientOptions] = field(default_factory=dict)
    providers: Mapping[str, ProviderConfig] = field(default_factory=dict)
    routes: Mapping[str, RouteOptions] = field(default_factory=dict)
    breaker: BreakerOptions = field(default_factory=BreakerOptions)
    metrics: MetricsOptions = field(default_factory=MetricsOptions)
    plugins: PluginsOptions = field(default_factory=PluginsOptions)
    source: Path | None = None
    found: tuple[str, ...] = ()

    def secrets(self) -> Iterator[Secret]:
        """Every secret of the configuration, so that logs can keep them out."""
        for client in self.clients.values():
            yield client.key
        for provider in self.providers.values():
            yield from _secrets(provider.options)


def load(
    path: Path | None,
    registry: Registry,
    *,
    environ: Mapping[str, str] | None = None,
    discover: Discover | None = None,
    unread: list[str] | None = None,
) -> Config:
    """Read and check the configuration, and load the plugins it wants into `registry`.

    `path` is what ``--config`` named; None searches (see `files.find`). `discover` is asked for provider
    tables when the configuration has none. With a list as `unread`, systemd's credentials are taken on trust
    outside the service, and noted there (see `Sources`): such a `Config` is to be looked at only.

    Raises `ConfigInvalid`: a line ``file:line:column: key: what is wrong`` per fault, all faults at once.
    """
    environ = os.environ if environ is None else environ
    source = files.find(path, environ)
    text, private, tables = "", True, {}
    if source is not None:
        content = files.read(source)
        text, private = content.text, content.private
        tables = _parse(text, source)
    # Read anew from elsewhere, the same path must be the same value.
    directory = source.absolute().parent if source is not None else Path()
    reading = _Reading(tables, Sources(environ, private, directory, unread), registry, default_path(environ))
    config = reading.config(source, discover)
    refuse(reading.faults, source, text)
    return config


def _parse(text: str, source: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        match = _SYNTAX.fullmatch(str(error))
        what = match["what"] if match else str(error)
        line, column = (match["line"], match["column"]) if match else (None, None)
        if line is None:
            line, column = str(text.count("\n") + 1), str(len(text) - text.rfind("\n"))
        raise ConfigInvalid(f"{source}:{line}:{column}: is not valid TOML: {what}.") from None
    except RecursionError:
        raise ConfigInvalid(f"{source}: is nested too deeply.") from None


class _Reading:
    """One pass over the tables, gathering faults instead of stopping at the first."""

    def __init__(
        self, tables: dict[str, Any], sources: Sources, registry: Registry, state_directory: Path
    ) -> None:
        self._state = state_directory
        self._tables = tables
        self._sources = sources
        self._registry = registry
        self.faults: list[Fault] = []

    def config(self, source: Path | None, discover: Discover | None) -> Config:
        """The configuration; to be used only if there are no `faults` afterwards."""
        self._unknown_tables()
        plugins = self._table(PluginsOptions, ("plugins",), self._tables.get("plugins", {}))
        plugins = plugins or PluginsOptions()
        self.faults += unusable_plugins(plugins, self._registry)
        self._registry.load(enabled=plugins.enabled, disabled=plugins.disabled, patience=plugins.load_timeout)
        server = self._table(ServerOptions, ("server",), self._tables.get("server", {})) or ServerOptions()
        clients = self._named("clients", ClientOptions, CLIENT_NAME)
        found: tuple[str, ...] = ()
        if not self._tables.get("providers") and discover is not None:
            self._tables["providers"] = {
                name: dict(table)
                for name, table in discover().items()
                if (kind := self._registry.kinds.get(table["kind"])) is not None
                and not leaves_out(plugins, kind.plugin, self._registry)
            }
            found = tuple(self._tables["providers"])
        providers = self._providers(plugins)
        routes = self._named("routes", RouteOptions, ROUTE_NAME)
        breaker = self._table(BreakerOptions, ("breaker",), self._tables.get("breaker", {}))
        metrics = self._table(MetricsOptions, ("metrics",), self._tables.get("metrics", {}))
        named = self._names("providers")
        self.faults += unusable_routes(routes, named, set(providers))
        self.faults += unaskable(clients, self._names("routes"), named)
        any_client = bool(self._tables.get("clients")) or were_issued(self._state)
        self.faults += unreachable_safely(server, clients, any_client=any_client)
        return Config(
            server,
            clients,
            providers,
            routes,
            breaker or BreakerOptions(),
            metrics or MetricsOptions(),
            plugins,
            source.absolute() if source else None,
            found,
        )

    def _names(self, key: str) -> set[str]:
        """The names of the tables ``[KEY.NAME]``, right or wrong."""
        tables = self._tables.get(key)
        return set(tables) if isinstance(tables, dict) else set()

    def _unknown_tables(self) -> None:
        try:
            ConfigFile.model_validate({key: 0 for key in self._tables if key not in ConfigFile.model_fields})
        except ValidationError as error:
            self.faults += of_validation(error, ConfigFile, self._tables, ())

    def _providers(self, plugins: PluginsOptions) -> dict[str, ProviderConfig]:
        providers = {}
        for name, table in self._named("providers", ProviderTable, PROVIDER_NAME).items():
            kind = self._registry.kinds.get(table.kind)
            if kind is None or leaves_out(plugins, kind.plugin, self._registry):
                self.faults.append(unusable_kind(name, table.kind, plugins, self._registry))
                continue
            written = self._tables["providers"][name]
            own = {key: value for key, value in written.items() if key not in HOUSE_KEYS}
            options = self._table(kind.options_model, ("providers", name), own, also=HOUSE_KEYS)
            if options is not None:
                patience = Patience(table.first_output_timeout, table.total_timeout)
                providers[name] = ProviderConfig(name, table.kind, options, table.affinity, patience)
        return providers

    def _named(self, key: str, model: type[_Model], pattern: re.Pattern[str]) -> dict[str, _Model]:
        """The tables ``[KEY.NAME]`` that are right, by name."""
        tables = self._tables.get(key, {})
        if not isinstance(tables, dict):
            self.faults.append(Fault((key,), f"must be tables: [{key}.NAME]"))
            return {}
        read = {}
        for name, table in tables.items():
            if not pattern.fullmatch(name):
                self.faults.append(misnamed(key, name))
                continue
            value = self._table(model, (key, name), table)
            if value is not None:
                read[name] = value
        return read

    def _table(
        self, model: type[_Model], at: tuple[str, ...], table: Any, *, also: Collection[str] = ()
    ) -> _Model | None:
        """An instance of `model`, None where it is wrong. `also` are keys that were read before."""
        if not isinstance(table, dict):
            self.faults.append(Fault(at, f"must be a table: [{'.'.join(at)}]"))
            return None
        # Models of outsiders that say nothing about unknown keys would drop them in silence.
        extra = None if "extra" in model.model_config else "forbid"
        try:
            return model.model_validate(table, context=self._sources, extra=extra)  # type: ignore[arg-type]
        except ValidationError as error:
            self.faults += of_validation(error, model, table, at, also=also)
            return None


def _secrets(value: Any) -> Iterator[Secret]:
    match value:
        case Secret():
            yield value
        case BaseModel():
            for name in type(value).model_fields:
                yield from _secrets(getattr(value, name))
        case dict():
            for each in value.values():
                yield from _secrets(each)
        case list() | tuple():
            for each in value:
                yield from _secrets(each)
