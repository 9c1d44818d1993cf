"""Noticing that the event loop stands still, and telling whose code holds it."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Final, Self

import structlog

from maestro_daemon.providers.conduct import Conduct
from maestro_daemon.providers.running_code import Owner, where

_PATIENCE: Final = 1.0
_LOOKS: Final = 4  # within the patience
_AGAIN: Final = 10.0  # times as long before the same is said once more
_log: Final = structlog.get_logger(__name__)


class LoopWatch:
    """Watches the running loop from a thread of its own. For ``with``, on the loop's thread.

    Once no callback could run for `patience` seconds there is a line in the log with the plugin and the line
    of code that the loop is in, and the plugin's record counts it. Nothing else can be done: what blocks a
    loop cannot be interrupted.
    """

    def __init__(self, owner: Owner, conduct: Conduct, *, patience: float = _PATIENCE) -> None:
        self._owner = owner
        self._conduct = conduct
        self._patience = patience
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="loop watch", daemon=True)
        self._beat = 0.0
        self._told = 0.0  # seconds of standing still that were told of last, 0 while all is well
        self._loops = 0
        self._pulse: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        self._loops = threading.get_ident()
        self._pump(asyncio.get_running_loop())
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        if self._pulse is not None:
            self._pulse.cancel()

    def _pump(self, loop: asyncio.AbstractEventLoop) -> None:
        now = time.monotonic()
        if self._told:
            _log.warning("the event loop goes on", after=round(now - self._beat, 1))
            self._told = 0.0
        self._beat = now
        self._pulse = loop.call_later(self._patience / _LOOKS, self._pump, loop)

    def _watch(self) -> None:
        pause = self._patience / _LOOKS
        before = time.monotonic()
        while not self._closing.wait(pause):
            now = time.monotonic()
            late, before = now - before - pause, now
            still = now - self._beat
            # Late itself, this thread was not running either: the whole process was stopped or starved.
            if late > pause or still < max(self._patience, self._told * _AGAIN):
                continue
            plugin, place = where(self._loops, self._owner)
            if not self._told and plugin is not None:
                self._conduct.blocked(plugin, place)
            self._told = still
            _log.error("the event loop is held up", plugin=plugin, at=place, seconds=round(still, 1))
