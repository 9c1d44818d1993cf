"""One plugin coming in: its contract, its import, its hooks and its kinds. Taken whole or not at all."""

from __future__ import annotations

import contextvars
import inspect
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import pluggy
import structlog
from pydantic import BaseModel

from maestro_daemon.providers import hookspecs
from maestro_daemon.providers.hook_calls import Trace, call
from maestro_daemon.providers.hookspecs import Factory
from maestro_daemon.providers.installed import GROUP
from maestro_daemon.providers.needed_api import ATTRIBUTE, unexported, unmet
from maestro_daemon.providers.running_code import Owner, raised_at, where

HOUSE_KEYS: Final = frozenset({"affinity", "first_output_timeout", "kind", "total_timeout"})
"""Keys that the table of every provider has, whatever its kind."""

_SLOW: Final = 5.0  # seconds after which the log names who is waited for
_Loaded = TypeVar("_Loaded")
_log: Final = structlog.get_logger(__name__)


class PluginBroken(Exception):
    """A plugin breaks the contract; the message is the sentence for its row."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of provider: its name in TOML, the model of its table, what makes it, and who brought it."""

    name: str
    options_model: type[BaseModel]
    factory: Factory
    plugin: str


def patiently(work: Callable[[], _Loaded], plugin: str, owner: Owner, patience: float) -> _Loaded:
    """What `work`, a plugin's own code, gives or raises, if that takes no more than `patience` seconds.

    Raises `PluginBroken` with the place where it hangs otherwise. It then goes on in its thread, as an import
    cannot be interrupted; nobody waits for it any more.
    """
    done = threading.Event()
    given: list[_Loaded] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            given.append(work())
        except BaseException as error:  # noqa: BLE001  (raised again where it is waited for)
            raised.append(error)
        finally:
            done.set()

    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(run,), name=f"loading {plugin}", daemon=True)
    thread.start()
    if not done.wait(min(_SLOW, patience)) and patience > _SLOW:
        place = where(thread.ident, owner)[1]
        _log.warning("a plugin takes long to load", plugin=plugin, seconds=_SLOW, at=place or None)
        done.wait(patience - _SLOW)
    if not done.is_set():
        place = where(thread.ident, owner)[1]
        raise PluginBroken(
            f"was not loaded within {patience:g} s and is left out ([plugins] load_timeout)"
            + (f"; it hangs at {place}" if place else "")
        )
    if raised:
        error = raised[0]
        if not isinstance(error, (Exception, SystemExit)):
            # Of its own making: what is asked of the process from outside never comes up in this thread.
            raise PluginBroken(sentence_of(error, owner)) from error
        raise error
    return given[0]


def refuse_other_api(needed: Any) -> None:
    """Raises `PluginBroken` if a plugin needs a version of the contract that this daemon has not."""
    if needed is not None and (sentence := unmet(needed)) is not None:
        raise PluginBroken(sentence)


def sentence_of(error: BaseException, owner: Owner) -> str:
    """What a row says of a plugin that could not be taken."""
    if isinstance(error, PluginBroken):
        return str(error)
    place = raised_at(error, owner)
    said = unexported(error) or f"{type(error).__name__}: {error}"
    return f"{said} ({place})" if place else said


def heard(plugin: object, name: str, known: Mapping[str, Kind], trace: Trace | None) -> tuple[Kind, ...]:
    """The kinds that the plugin brings, after everything about its hooks was found right.

    Nothing of it is kept. Raises `PluginBroken`, and whatever its hook raises.
    """
    refuse_other_api(getattr(plugin, ATTRIBUTE, None))
    _refuse_unmarked(plugin)
    trial = pluggy.PluginManager(GROUP)
    trial.add_hookspecs(hookspecs)
    try:
        trial.register(plugin, name=name)
        trial.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginBroken(" ".join(str(error).split())) from error
    _refuse_unfit(trial, plugin)
    registration = _Registration(name, known)
    try:
        for implementation in trial.hook.maestro_register_providers.get_hookimpls():
            call(implementation, {"register": registration}, trace)
    finally:
        registration.over = True
    return tuple(registration.kinds)


class _Registration:
    """What ``register`` is while a plugin's hook runs."""

    def __init__(self, plugin: str, known: Mapping[str, Kind]) -> None:
        self.kinds: list[Kind] = []
        self.over = False
        self._plugin = plugin
        self._known = known

    def __call__(self, kind: Any, options_model: Any, factory: Any) -> None:
        if self.over:
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
        for other in [*self._known.values(), *self.kinds]:
            if other.name == kind:
                raise PluginBroken(f"kind {kind!r} is already registered by plugin {other.plugin!r}")
        self.kinds.append(Kind(kind, options_model, factory, self._plugin))


def _refuse_unfit(trial: pluggy.PluginManager, plugin: object) -> None:
    callers = trial.get_hookcallers(plugin)
    if not callers:
        raise PluginBroken("implements none of the hooks (is @hookimpl missing, or a file?)")
    for caller in callers:
        for implementation in caller.get_hookimpls():
            if inspect.iscoroutinefunction(implementation.function):
                raise PluginBroken(f"{caller.name} must be a plain function, not async")
            if implementation.hookwrapper or implementation.wrapper:
                raise PluginBroken(f"{caller.name} is called for each plugin by itself and cannot be wrapped")


def _refuse_unmarked(plugin: object) -> None:
    for name, value in vars(plugin).items() if hasattr(plugin, "__dict__") else ():
        if (
            name.startswith("maestro_")
            and inspect.isfunction(value)
            and not hasattr(value, "maestro_daemon_impl")
        ):
            raise PluginBroken(f"{name} looks like a hook but is not marked with @hookimpl")
