"""The signals of the daemon: SIGTERM and SIGINT end it, SIGHUP has its configuration read anew."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from typing import Final, Self

_TERMINAL: Final = "/dev/tty"
_ENDING: Final = (signal.SIGTERM, signal.SIGINT)


class Signals:
    """For ``with``, on the running loop. The first SIGTERM or SIGINT sets `stopping`, the second `at_once`.

    The terminal that a daemon was started from sends SIGHUP, too, when it is closed: that ends the daemon,
    unless nohup told it to stay.
    """

    def __init__(self) -> None:
        self.stopping = asyncio.Event()
        self.at_once = asyncio.Event()
        self._reload: Callable[[], None] | None = None
        self._reload_wanted = False
        self._ends_with_terminal = False

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        for number in _ENDING:
            loop.add_signal_handler(number, self._stop)
        self._ends_with_terminal = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN and _has_terminal()
        loop.add_signal_handler(signal.SIGHUP, self._hung_up)
        return self

    def __exit__(self, *_: object) -> None:
        loop = asyncio.get_running_loop()
        for number in (*_ENDING, signal.SIGHUP):
            loop.remove_signal_handler(number)

    def reload_by(self, reload: Callable[[], None]) -> None:
        """Call `reload` at each SIGHUP from now on, and now if one came before."""
        self._reload = reload
        if self._reload_wanted:
            reload()

    def _stop(self) -> None:
        (self.at_once if self.stopping.is_set() else self.stopping).set()

    def _hung_up(self) -> None:
        if self._ends_with_terminal and not _has_terminal():
            self.stopping.set()
        elif self._reload is None:
            self._reload_wanted = True
        else:
            self._reload()


def _has_terminal() -> bool:
    """Whether there is a terminal that this process belongs to; closed, it is none any more."""
    try:
        os.close(os.open(_TERMINAL, os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True
