"""What systemd is told of the daemon's life: that it is ready, reloads, stops, and that its loop turns."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator, MutableMapping
from typing import Final

import structlog

from maestro_daemon.errors import MaestroError
from maestro_daemon.service.notify import Notifier

_LOOK: Final = 5.0  # seconds between two looks at the status line
_EXTENSION: Final = 15.0  # seconds that are asked for at a time while the daemon ends
_ASKED_EVERY: Final = 5.0
_LATEST: Final = 0.5  # of the watchdog's time: a loop that is later than this is not vouched for
_LONGEST_STATUS: Final = 500
_log: Final = structlog.get_logger(__name__)


def watchdog_of(environ: MutableMapping[str, str]) -> float | None:
    """Seconds within which systemd wants a sign of life, None if it wants none. Removes the variables."""
    spell, process = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")
    if not spell.isdecimal() or int(spell) == 0 or process not in ("", str(os.getpid())):
        return None
    return int(spell) / 1e6


class Supervised:
    """The daemon as systemd sees it; where nobody supervises it all of this does nothing.

    `watchdog` is in seconds. `clock` gives seconds that go on while the machine sleeps as little as the loop.
    """

    def __init__(
        self,
        notifier: Notifier | None = None,
        watchdog: float | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._notifier = notifier or Notifier(None)
        self._watchdog = watchdog
        self._clock = clock
        self._status: Callable[[], str] = str
        self._refused = ""
        self._said = ""

    @classmethod
    def of_environment(cls, environ: MutableMapping[str, str] | None = None) -> Supervised:
        """As systemd started this process; the variables are removed, so that no child believes them."""
        environ = os.environ if environ is None else environ
        return cls(Notifier.of_environment(environ), watchdog_of(environ))

    @contextlib.asynccontextmanager
    async def serving(self, status: Callable[[], str]) -> AsyncIterator[None]:
        """Ready from now on; while the block runs the watchdog is fed, as long as the loop is not held up.

        `status` gives one line, which is shown anew when it changes.
        """
        self._status = status
        if not self._notifier.is_heard:
            yield
            return
        self._notifier.tell("READY=1", self._line(status()))
        task = asyncio.create_task(self._watch(), name="signs of life")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})

    @contextlib.contextmanager
    def reloading(self) -> Iterator[None]:
        """Around the reading of another configuration; a refused one is shown until another is right."""
        self._notifier.tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            yield
            self._refused = ""
        except MaestroError as error:
            self._refused = f"not taken over: {error.message}"
            raise
        finally:
            self._notifier.tell("READY=1", self._line(self._now()))

    @contextlib.asynccontextmanager
    async def stopping(self, status: Callable[[], str]) -> AsyncIterator[None]:
        """Around the end; systemd is asked for more time again and again while the block runs."""
        self._status = status
        self._refused = ""
        if not self._notifier.is_heard:
            yield
            return
        self._notifier.tell("STOPPING=1", self._line(status()))
        task = asyncio.create_task(self._extend(), name="more time")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})

    def failed(self, reason: str) -> None:
        """Why the daemon cannot begin, for ``systemctl status``."""
        self._notifier.tell(self._line(reason))

    def close(self) -> None:
        """Tell nothing more."""
        self._notifier.close()

    async def _watch(self) -> None:
        pause = _LOOK if self._watchdog is None else min(_LOOK, self._watchdog / 4)
        while True:
            due = self._clock() + pause
            await asyncio.sleep(pause)
            late = self._clock() - due
            if self._watchdog is not None:
                if late <= self._watchdog * _LATEST:
                    self._notifier.tell("WATCHDOG=1")
                else:
                    _log.error("the event loop was held up", seconds=round(late, 3))
            self._show()

    async def _extend(self) -> None:
        while True:
            self._notifier.tell(f"EXTEND_TIMEOUT_USEC={int(_EXTENSION * 1e6)}")
            self._show()
            await asyncio.sleep(_ASKED_EVERY)

    def _now(self) -> str:
        return "; ".join(filter(None, (self._status(), self._refused)))

    def _show(self) -> None:
        status = self._now()
        if status != self._said:
            self._notifier.tell(self._line(status))

    def _line(self, status: str) -> str:
        self._said = status
        line = " ".join(status.split())
        return f"STATUS={line if len(line) <= _LONGEST_STATUS else line[: _LONGEST_STATUS - 1] + '…'}"
