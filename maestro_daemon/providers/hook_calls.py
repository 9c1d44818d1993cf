"""Calling plugins' hooks, each apart from the others; how long each took is told where that is asked for."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any, Final, Protocol

import pluggy
import structlog

from maestro_daemon.errors import ProviderFailed
from maestro_daemon.providers.conduct import Conduct
from maestro_daemon.providers.notices import Attempt, Outcome
from maestro_daemon.request import ResponseRequest

TRACED_BY: Final = "MAESTRO_TRACE_HOOKS"
"""The environment variable: ``1`` for a line in the log for each call of a hook."""

_log: Final = structlog.get_logger(__name__)


class Timed(Protocol):
    """Hears how long each call of a hook took."""

    def told(self, hook: str, plugin: str, seconds: float) -> None:
        """A plugin's hook was called."""
        ...


class Trace:
    """Writes a line for each call of a hook: whose, and how many milliseconds it took."""

    def told(self, hook: str, plugin: str, seconds: float) -> None:
        """Write the line."""
        _log.info("hook", hook=hook, plugin=plugin, ms=round(seconds * 1000, 3))


def wanted_trace(environ: Mapping[str, str] | None = None) -> Trace | None:
    """A trace if ``MAESTRO_TRACE_HOOKS`` asks for one."""
    environ = os.environ if environ is None else environ
    return Trace() if environ.get(TRACED_BY, "0") not in ("", "0") else None


class _Both:
    """Two that hear the same."""

    def __init__(self, one: Timed, other: Timed) -> None:
        self._each = (one, other)

    def told(self, hook: str, plugin: str, seconds: float) -> None:
        for each in self._each:
            each.told(hook, plugin, seconds)


def call(implementation: pluggy.HookImpl, said: Mapping[str, Any], trace: Timed | None) -> None:
    """Call one plugin's hook with those of the arguments that it takes. Raises whatever it raises."""
    if trace is None:
        implementation.function(*[said[name] for name in implementation.argnames])
        return
    began = time.perf_counter()
    try:
        implementation.function(*[said[name] for name in implementation.argnames])
    finally:
        hook = implementation.function.__name__
        trace.told(hook, implementation.plugin_name, time.perf_counter() - began)


class Notices:
    """Tells the plugins what happened. What a plugin raises is logged and goes no further."""

    def __init__(self, manager: pluggy.PluginManager, conduct: Conduct, trace: Timed | None) -> None:
        self._manager = manager
        self._conduct = conduct
        self._trace = trace

    def time(self, timed: Timed) -> None:
        """Tell `timed`, too, how long each hook took, from now on."""
        self._trace = timed if self._trace is None else _Both(self._trace, timed)

    def maestro_attempt_finished(self, *, request: ResponseRequest, attempt: Attempt) -> None:
        """Call every plugin's hook of that name."""
        if attempt.error is not None and isinstance(attempt.error, ProviderFailed):
            self._conduct.provider_raised(attempt.provider, "an answer", attempt.error.raised)
        self._tell("maestro_attempt_finished", {"request": request, "attempt": attempt})

    def maestro_response_finished(self, *, request: ResponseRequest, outcome: Outcome) -> None:
        """Call every plugin's hook of that name."""
        self._tell("maestro_response_finished", {"request": request, "outcome": outcome})

    def _tell(self, hook: str, said: Mapping[str, Any]) -> None:
        # pluggy's own call would stop at the first plugin that raises.
        for implementation in reversed(getattr(self._manager.hook, hook).get_hookimpls()):
            try:
                call(implementation, said, self._trace)
            except BaseException as error:  # noqa: BLE001  (outsiders' code; logged)
                self._conduct.plugin_raised(implementation.plugin_name, hook, type(error).__name__)
                _log.exception("a plugin's hook failed", plugin=implementation.plugin_name, hook=hook)
