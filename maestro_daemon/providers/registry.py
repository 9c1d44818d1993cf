"""Which plugins there are, which provider kinds they brought, and who hears the notices.

Entry points of the group ``maestro_daemon`` are loaded one by one, each in its own ``try`` and within a time:
a plugin that cannot be imported, hangs, misspells a hook or registers a kind twice is a row with its error,
and nothing else of it stays. The order is that of ``[plugins] enabled``, else the daemon's own plugins come
first, so that no other can take their names or kinds, and all is alphabetical; it is never that of the
installation.
"""

from __future__ import annotations

import contextlib
import inspect
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

import pluggy
import structlog
from pydantic import BaseModel

from maestro_daemon.errors import MaestroError, ProviderUnavailable
from maestro_daemon.providers import hookspecs
from maestro_daemon.providers.arrival import (
    HOUSE_KEYS,
    Kind,
    PluginBroken,
    heard,
    patiently,
    refuse_other_api,
    sentence_of,
)
from maestro_daemon.providers.conduct import Conduct
from maestro_daemon.providers.hook_calls import Notices, call, wanted_trace
from maestro_daemon.providers.hookspecs import Factory
from maestro_daemon.providers.installed import GROUP, entry_points
from maestro_daemon.providers.needed_api import declared
from maestro_daemon.providers.provider import Provider
from maestro_daemon.providers.state_directory import default_path

if TYPE_CHECKING:
    import click

__all__ = ["HOUSE_KEYS", "Kind", "Notices", "PluginBroken", "PluginRow", "Registry"]

LOAD_TIMEOUT: Final = 30.0
"""Seconds that one plugin may take to load."""

_HOUSE: Final = "maestro-daemon"
_PROVIDER_METHODS: Final = ("models", "complete", "stream", "aclose")
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class PluginRow:
    """What became of one plugin.

    `distribution` is the package's name, `module` what its entry point names, `load_seconds` wall time.
    """

    name: str
    distribution: str
    version: str
    state: Literal["loaded", "disabled", "broken"]
    module: str = ""
    kinds: tuple[str, ...] = ()
    error: str | None = None
    load_seconds: float = 0.0


class Registry:
    """The plugins of one process. `load` brings those that are installed, `add` one that is at hand.

    `kinds` maps a provider's ``kind`` to who makes it; `rows` says what became of each plugin, in order;
    `hook` tells the notices, `conduct` knows what plugins did wrong since.
    """

    def __init__(self, find: Callable[[], Iterable[EntryPoint]] = entry_points) -> None:
        self._find = find
        self._points: dict[str, list[EntryPoint]] | None = None
        self._manager = pluggy.PluginManager(GROUP)
        self._manager.add_hookspecs(hookspecs)
        self._kinds: dict[str, Kind] = {}
        self._rows: dict[str, PluginRow] = {}
        self._owners: dict[str, str] = {}
        self._trace = wanted_trace()
        self.conduct = Conduct()
        self.hook = Notices(self._manager, self.conduct, self._trace)

    @property
    def kinds(self) -> Mapping[str, Kind]:
        """Provider kinds by name."""
        return MappingProxyType(self._kinds)

    @property
    def rows(self) -> Sequence[PluginRow]:
        """All plugins that were seen, also broken and disabled ones."""
        return tuple(self._rows.values())

    def installed(self) -> list[str]:
        """The names of all installed plugins, loaded or not, sorted."""
        return sorted(self._found())

    def owner(self, module: str) -> str | None:
        """The plugin that a module (a dotted name) belongs to, None if to none that was loaded or tried."""
        return self._owners.get(module.partition(".")[0])

    def load(
        self,
        *,
        enabled: Sequence[str] | None = None,
        disabled: Sequence[str] = (),
        patience: float = LOAD_TIMEOUT,
    ) -> None:
        """Load the installed plugins, or only those `enabled`, less those `disabled`. Never raises.

        Every plugin is loaded at most once, however often this is called. One that takes more than `patience`
        seconds is left out.
        """
        found = self._found()
        if enabled is None:
            wanted = sorted(found, key=lambda name: (not _is_of_the_house(found[name][0]), name))
        else:
            wanted = [name for name in enabled if name in found]
        for name in wanted:
            if name not in self._rows and name not in disabled:
                with contextlib.redirect_stdout(sys.stderr):  # stdout is for what a command was asked
                    self._load(found[name], patience)
        for name in sorted(found):
            if name not in self._rows:
                self._rows[name] = _row(found[name][0], "disabled")

    def add(self, plugin: object, name: str) -> None:
        """Register a plugin object that is at hand (a module, or any object with hooks).

        Raises `PluginBroken`.
        """
        began = time.perf_counter()
        kinds = heard(plugin, name, self._kinds, self._trace)
        self._take(plugin, name, kinds)
        self._rows[name] = PluginRow(
            name,
            "",
            "",
            "loaded",
            kinds=tuple(kind.name for kind in kinds),
            load_seconds=time.perf_counter() - began,
        )

    def build(
        self, name: str, kind: str, options: BaseModel, *, state_directory: Path | None = None
    ) -> Provider:
        """Make the provider ``[providers.NAME]`` of that kind.

        `state_directory` is where it may keep what must outlive the process; None means the usual one.
        Raises `ProviderUnavailable` if its plugin fails to.
        """
        known = self._kinds[kind]
        self.conduct.made(name, known.plugin)
        try:
            provider = _made(known.factory, name, options, state_directory)
        except MaestroError:
            raise
        except BaseException as error:
            self.conduct.provider_raised(name, "the making", type(error).__name__)
            _log.exception("a plugin could not make a provider", plugin=known.plugin, provider=name)
            raise ProviderUnavailable(
                f"Provider {name!r} could not be made: plugin {known.plugin!r} failed with "
                f"{type(error).__name__}."
            ) from error
        for method in _PROVIDER_METHODS:
            if not callable(getattr(provider, method, None)):
                raise ProviderUnavailable(
                    f"Provider {name!r} cannot serve: plugin {known.plugin!r} made an object without "
                    f"the method {method!r}."
                )
        return provider

    def register_commands(self, cli: click.Group) -> None:
        """Let every plugin add its commands to the command line; one that fails is logged."""
        for implementation in reversed(self._manager.hook.maestro_register_commands.get_hookimpls()):
            try:
                call(implementation, {"cli": cli}, self._trace)
            except BaseException:  # noqa: BLE001  (outsiders' code; logged)
                _log.exception("a plugin's commands failed", plugin=implementation.plugin_name)

    def _found(self) -> dict[str, list[EntryPoint]]:
        if self._points is None:
            self._points = {}
            for entry_point in self._find():
                self._points.setdefault(entry_point.name, []).append(entry_point)
            for same_name in self._points.values():
                same_name.sort(key=lambda each: not _is_of_the_house(each))
        return self._points

    def _load(self, same_name: list[EntryPoint], patience: float) -> None:
        entry_point, *others = same_name
        name = entry_point.name
        began = time.perf_counter()
        row = _row(entry_point, "loaded")
        self._owners.setdefault(row.module.partition(".")[0], name)

        def brought() -> tuple[object, tuple[Kind, ...]]:
            refuse_other_api(declared(row.module))
            plugin = entry_point.load()
            return plugin, heard(plugin, name, self._kinds, self._trace)

        try:
            if others and not _is_of_the_house(entry_point):
                owners = " and ".join(_row(each, "broken").distribution or "?" for each in same_name)
                raise PluginBroken(f"several installed packages bring a plugin of this name: {owners}")
            plugin, kinds = patiently(brought, name, self.owner, patience)
            self._take(plugin, name, kinds)
            row = replace(row, kinds=tuple(kind.name for kind in kinds))
        except (PluginBroken, Exception, SystemExit) as error:  # noqa: BLE001  (outsiders' code; kept in the row)
            row = replace(row, state="broken", error=sentence_of(error, self.owner))
            _log.debug("a plugin failed to load", plugin=name, exc_info=error)
        self._rows[name] = replace(row, load_seconds=time.perf_counter() - began)
        _tell(row)
        for other in others if row.error is None else ():
            sentence = f"the daemon's own plugin is named {name!r}: its entry point needs another name"
            row = replace(_row(other, "broken"), error=sentence)
            self._rows[f"{name} of {row.distribution}"] = row
            _tell(row)

    def _take(self, plugin: object, name: str, kinds: Iterable[Kind]) -> None:
        """Keep a plugin that was heard."""
        try:
            self._manager.register(plugin, name=name)
        except ValueError:
            raise PluginBroken("is there already, under this or another name") from None
        self._kinds.update((kind.name, kind) for kind in kinds)


def _is_of_the_house(entry_point: EntryPoint) -> bool:
    distribution = entry_point.dist
    return distribution is not None and distribution.name == _HOUSE


def _tell(row: PluginRow) -> None:
    if row.error is not None:
        _log.error(
            "plugin not loaded",
            plugin=row.name,
            distribution=row.distribution,
            version=row.version,
            error=row.error,
        )


def _made(factory: Factory, name: str, options: BaseModel, state_directory: Path | None) -> Provider:
    if not _takes_state_directory(factory):
        return factory(name, options)
    return factory(name, options, state_directory=state_directory or default_path())


def _takes_state_directory(factory: Factory) -> bool:
    try:
        return "state_directory" in inspect.signature(factory).parameters
    except (TypeError, ValueError):  # a callable that says nothing of its parameters
        return False


def _row(entry_point: EntryPoint, state: Literal["loaded", "disabled", "broken"]) -> PluginRow:
    distribution = entry_point.dist
    return PluginRow(
        entry_point.name,
        (distribution and distribution.name) or "",
        (distribution and distribution.version) or "",
        state,
        entry_point.value.partition(":")[0].strip(),
    )
