"""Which plugins there are, which provider kinds they brought, and who hears the notices.

Entry points of the group ``maestro_daemon`` are loaded one by one, each in its own ``try``: a plugin that
cannot be imported, misspells a hook or registers a kind twice is a row with its error, and nothing else of
it stays. The order is that of ``[plugins] enabled``, else alphabetical, never that of the installation.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal

import pluggy
import structlog
from pydantic import BaseModel

from maestro_daemon.errors import MaestroError, ProviderUnavailable
from maestro_daemon.providers import hookspecs
from maestro_daemon.providers.hookspecs import Factory
from maestro_daemon.providers.installed import GROUP, entry_points
from maestro_daemon.providers.notices import Attempt, Outcome
from maestro_daemon.providers.provider import Provider
from maestro_daemon.providers.state_directory import default_path
from maestro_daemon.request import ResponseRequest

if TYPE_CHECKING:
    import click

_NOTICES: Final = ("maestro_attempt_finished", "maestro_response_finished")
HOUSE_KEYS: Final = frozenset({"affinity", "first_output_timeout", "kind", "total_timeout"})
"""Keys that the table of every provider has, whatever its kind."""

_PROVIDER_METHODS: Final = ("models", "complete", "stream", "aclose")
_log = structlog.get_logger(__name__)


class PluginBroken(Exception):
    """A plugin breaks the contract; the message is the sentence for its row."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of provider: its name in TOML, the model of its table, what makes it, and who brought it."""

    name: str
    options_model: type[BaseModel]
    factory: Factory
    plugin: str


@dataclass(frozen=True, slots=True)
class PluginRow:
    """What became of one plugin. `distribution` is the package's name, `load_seconds` wall time."""

    name: str
    distribution: str
    version: str
    state: Literal["loaded", "disabled", "broken"]
    kinds: tuple[str, ...] = ()
    error: str | None = None
    load_seconds: float = 0.0


class Notices:
    """Tells the plugins what happened. What a plugin raises is logged and goes no further."""

    def __init__(self, manager: pluggy.PluginManager) -> None:
        self._manager = manager

    def maestro_attempt_finished(self, *, request: ResponseRequest, attempt: Attempt) -> None:
        """Call every plugin's hook of that name."""
        self._tell("maestro_attempt_finished", {"request": request, "attempt": attempt})

    def maestro_response_finished(self, *, request: ResponseRequest, outcome: Outcome) -> None:
        """Call every plugin's hook of that name."""
        self._tell("maestro_response_finished", {"request": request, "outcome": outcome})

    def _tell(self, hook: str, said: Mapping[str, Any]) -> None:
        # pluggy's own call would stop at the first plugin that raises.
        for implementation in reversed(getattr(self._manager.hook, hook).get_hookimpls()):
            try:
                implementation.function(*(said[name] for name in implementation.argnames))
            except (Exception, SystemExit):  # noqa: BLE001  (outsiders' code; logged)
                _log.exception("a plugin's hook failed", plugin=implementation.plugin_name, hook=hook)


class Registry:
    """The plugins of one process. `load` brings those that are installed, `add` one that is at hand.

    `kinds` maps a provider's ``kind`` to who makes it; `rows` says what became of each plugin, in order;
    `hook` tells the notices.
    """

    def __init__(self, find: Callable[[], Iterable[EntryPoint]] = entry_points) -> None:
        self._find = find
        self._points: dict[str, list[EntryPoint]] | None = None
        self._manager = pluggy.PluginManager(GROUP)
        self._manager.add_hookspecs(hookspecs)
        self._kinds: dict[str, Kind] = {}
        self._rows: dict[str, PluginRow] = {}
        self._arriving: list[Kind] | None = None
        self._arriving_name = ""
        # A historic hook is called for each plugin as it is registered, so every kind has its plugin.
        self._manager.hook.maestro_register_providers.call_historic(kwargs={"register": self._register})
        self.hook = Notices(self._manager)

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

    def load(self, *, enabled: Sequence[str] | None = None, disabled: Sequence[str] = ()) -> None:
        """Load the installed plugins, or only those `enabled`, less those `disabled`. Never raises.

        Every plugin is loaded at most once, however often this is called.
        """
        found = self._found()
        wanted = sorted(found) if enabled is None else [name for name in enabled if name in found]
        for name in wanted:
            if name not in self._rows and name not in disabled:
                self._load(found[name])
        for name in sorted(found):
            if name not in self._rows:
                self._manager.set_blocked(name)
                self._rows[name] = _row(found[name][0], "disabled")

    def add(self, plugin: object, name: str) -> None:
        """Register a plugin object that is at hand (a module, or any object with hooks).

        Raises `PluginBroken`.
        """
        began = time.perf_counter()
        kinds = self._admit(plugin, name)
        self._rows[name] = PluginRow(name, "", "", "loaded", kinds, load_seconds=time.perf_counter() - began)

    def build(
        self, name: str, kind: str, options: BaseModel, *, state_directory: Path | None = None
    ) -> Provider:
        """Make the provider ``[providers.NAME]`` of that kind.

        `state_directory` is where it may keep what must outlive the process; None means the usual one.
        Raises `ProviderUnavailable` if its plugin fails to.
        """
        known = self._kinds[kind]
        try:
            provider = _made(known.factory, name, options, state_directory)
        except MaestroError:
            raise
        except (Exception, SystemExit) as error:
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
                implementation.function(*([cli] if "cli" in implementation.argnames else []))
            except (Exception, SystemExit):  # noqa: BLE001  (outsiders' code; logged)
                _log.exception("a plugin's commands failed", plugin=implementation.plugin_name)

    def _found(self) -> dict[str, list[EntryPoint]]:
        if self._points is None:
            self._points = {}
            for entry_point in self._find():
                self._points.setdefault(entry_point.name, []).append(entry_point)
        return self._points

    def _load(self, same_name: list[EntryPoint]) -> None:
        entry_point, *others = same_name
        began = time.perf_counter()
        row = _row(entry_point, "loaded")
        try:
            if others:
                owners = " and ".join(_row(each, "broken").distribution or "?" for each in same_name)
                raise PluginBroken(f"several installed packages bring a plugin of this name: {owners}")
            row = replace(row, kinds=self._admit(entry_point.load(), entry_point.name))
        except PluginBroken as error:
            row = replace(row, state="broken", error=str(error))
        except (Exception, SystemExit) as error:  # noqa: BLE001  (outsiders' code; kept in the row)
            row = replace(row, state="broken", error=f"{type(error).__name__}: {error}")
        row = replace(row, load_seconds=time.perf_counter() - began)
        if row.error is not None:
            _log.error("plugin not loaded", plugin=row.name, distribution=row.distribution, error=row.error)
        self._rows[row.name] = row

    def _admit(self, plugin: object, name: str) -> tuple[str, ...]:
        """Register a plugin whole or not at all; the names of its kinds."""
        self._arriving, self._arriving_name = [], name
        try:
            _refuse_unmarked(plugin)
            self._manager.register(plugin, name=name)
            self._manager.check_pending()
            self._refuse_unfit_hooks(plugin)
        except BaseException as error:
            if self._manager.has_plugin(name) and self._manager.get_plugin(name) is plugin:
                self._manager.unregister(plugin)
            if isinstance(error, pluggy.PluginValidationError):
                raise PluginBroken(_sentence(error)) from error
            raise
        else:
            self._kinds.update((kind.name, kind) for kind in self._arriving)
            return tuple(kind.name for kind in self._arriving)
        finally:
            self._arriving = None

    def _register(self, kind: Any, options_model: Any, factory: Any) -> None:
        if self._arriving is None:
            raise PluginBroken("register() may be called only inside maestro_register_providers")
        if not isinstance(kind, str) or not kind.isprintable() or not kind or " " in kind:
            raise PluginBroken("a provider kind must be a name without spaces")
        if not (isinstance(options_model, type) and issubclass(options_model, BaseModel)):
            raise PluginBroken(f"the options of kind {kind!r} must be a pydantic model class")
        if taken := sorted(HOUSE_KEYS.intersection(options_model.model_fields)):
            raise PluginBroken(
                f"the options of kind {kind!r} must not have a field {taken[0]!r}: the house reads it"
            )
        if not callable(factory):
            raise PluginBroken(f"the factory of kind {kind!r} cannot be called")
        for known in [*self._kinds.values(), *self._arriving]:
            if known.name == kind:
                raise PluginBroken(f"kind {kind!r} is already registered by plugin {known.plugin!r}")
        self._arriving.append(Kind(kind, options_model, factory, self._arriving_name))

    def _refuse_unfit_hooks(self, plugin: object) -> None:
        callers = self._manager.get_hookcallers(plugin)
        if not callers:
            raise PluginBroken("implements none of the hooks (is @hookimpl missing, or a file?)")
        for caller in callers:
            for implementation in caller.get_hookimpls():
                if implementation.plugin is not plugin:
                    continue
                if inspect.iscoroutinefunction(implementation.function):
                    raise PluginBroken(f"{caller.name} must be a plain function, not async")
                if caller.name in _NOTICES and (implementation.hookwrapper or implementation.wrapper):
                    raise PluginBroken(f"{caller.name} is a notice and cannot be wrapped")


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
    )


def _refuse_unmarked(plugin: object) -> None:
    for name, value in vars(plugin).items() if hasattr(plugin, "__dict__") else ():
        if (
            name.startswith("maestro_")
            and inspect.isfunction(value)
            and not hasattr(value, "maestro_daemon_impl")
        ):
            raise PluginBroken(f"{name} looks like a hook but is not marked with @hookimpl")


def _sentence(error: pluggy.PluginValidationError) -> str:
    return " ".join(str(error).split())
