"""Ends a check whose loop stands still: what waits there for the fake upstream would wait for ever.

The fake upstream is served by the same loop as the provider. Code that blocks it, as by a request over a
blocking socket, is therefore interrupted by a signal after a while, where the system has such signals.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sysconfig
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

from maestro_daemon.testing.breach import Breach

_LOOKS: Final = 4  # within the patience
_KIT: Final = os.path.dirname(__file__)
_PACKAGES: Final = tuple({sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")})
_ASYNCIO: Final = os.path.dirname(asyncio.__file__)


@contextmanager
def told_of_standstill(loop: asyncio.AbstractEventLoop, patience: float) -> Iterator[None]:
    """Raises `Breach` into whatever holds up `loop` for `patience` seconds, and again at the end."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGALRM"):
        yield
        return
    watch = _Watch(loop, patience)
    before = signal.signal(signal.SIGALRM, watch.interrupt)
    watch.before = before
    watch.thread.start()
    try:
        yield
    finally:
        watch.over.set()
        watch.thread.join()
        signal.signal(signal.SIGALRM, before)
        if watch.breach is not None:
            raise watch.breach


class _Watch:
    def __init__(self, loop: asyncio.AbstractEventLoop, patience: float) -> None:
        self.before: Any = None
        self.breach: Breach | None = None
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._watch, name="standstill watch", daemon=True)
        self._loop = loop
        self._loops = threading.get_ident()
        self._patience = patience
        self._pause = patience / _LOOKS
        self._beat = time.monotonic()
        self._asked = False
        loop.call_soon(self._pump)

    def interrupt(self, number: int, frame: FrameType | None) -> None:
        """The signal came; others' alarms are passed on."""
        if not self._asked:
            if callable(self.before):
                self.before(number, frame)
            return
        self._asked = False
        place = _place(frame)
        if not place:
            return  # a judge of the kit is at work, on a slow machine
        self.breach = Breach(
            "that nothing blocks the event loop: use asyncio's own, or asyncio.to_thread",
            f"it stood still for {self._patience:g} s at {place}",
            "the-event-loop",
        )
        raise self.breach

    def _pump(self) -> None:
        self._beat = time.monotonic()
        self._loop.call_later(self._pause, self._pump)

    def _watch(self) -> None:
        before = time.monotonic()
        while not self.over.wait(self._pause):
            now = time.monotonic()
            late, before = now - before - self._pause, now
            if late > self._pause:
                self._beat = now  # the whole process stood still, this thread too
            elif now - self._beat > self._patience and self._loop.is_running():
                self._asked = True
                self._beat = now
                signal.pthread_kill(self._loops, signal.SIGALRM)


def _place(frame: FrameType | None) -> str:
    """The innermost line of what the kit called that no package brought, else its outermost; "" for none."""
    called: list[FrameType] = []
    while frame is not None and not frame.f_code.co_filename.startswith(_KIT):
        if not frame.f_code.co_filename.startswith((_ASYNCIO, "<")):
            called.append(frame)
        frame = frame.f_back
    if not called:
        return ""
    own = (each for each in called if not each.f_code.co_filename.startswith(_PACKAGES))
    at = next(own, called[-1])
    return f"{at.f_code.co_filename}:{at.f_lineno}"
