"""The thread that writes log lines, so that nobody else waits for whoever reads them."""

from __future__ import annotations

import collections
import contextlib
import os
import select
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from maestro_daemon.service.journal import Journal

_QUEUE_LINES: Final = 2000
_MOST_UNMADE: Final = 64
_GATHER: Final = 0.05  # seconds

Line = bytes | Callable[[], bytes]
"""A line without its end, or what makes a long one, called in the writer's thread."""


class QueuedWriter:
    """Hands lines to `write` in its own thread. `put` returns at once, whatever happens.

    `report` makes the line that says how many were dropped.
    """

    def __init__(self, write: Callable[[Sequence[bytes]], None], report: Callable[[int], bytes]) -> None:
        self._write = write
        self._report = report
        # Appending takes no lock that another thread could hold on to. A line after a while is written at
        # once; else the thread is woken once for all lines of `_GATHER` seconds, since each switch of threads
        # costs the loop more than a line does.
        self._lines: collections.deque[Line] = collections.deque()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._unmade = self._made = 0
        self._dropped = 0
        self._said = 0
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="log writer", daemon=True)
        self._thread.start()

    def put(self, line: Line) -> None:
        """Queue one line, or count it as dropped."""
        unmade = callable(line)
        too_many = unmade and self._unmade - self._made >= _MOST_UNMADE
        if self._closed or too_many or len(self._lines) >= _QUEUE_LINES:
            self._dropped += 1
            return
        self._unmade += unmade
        self._lines.append(line)
        if not self._wake.is_set():
            self._wake.set()

    def close(self, timeout: float = 2.0) -> None:
        """Write what is queued, for at most `timeout` seconds."""
        if not self._closed:
            self._closed = True
            self._closing.set()
            self._wake.set()
            self._thread.join(timeout)

    def _work(self) -> None:
        free_at = 0.0
        while not self._closed or self._lines:
            self._wake.wait()
            self._closing.wait(max(0.0, free_at - time.monotonic()))
            self._wake.clear()
            lines = []
            while self._lines:
                line = self._lines.popleft()
                if isinstance(line, bytes):
                    lines.append(line)
                    continue
                self._made += 1  # here alone, as the other count is kept by who puts lines alone
                with contextlib.suppress(Exception):  # one line less, and the thread lives
                    lines.append(line())
            if dropped := self._dropped - self._said:
                self._said += dropped
                lines.insert(0, self._report(dropped))
            with contextlib.suppress(OSError):  # nobody is left to be told
                self._write(lines)
            free_at = time.monotonic() + _GATHER


class LineWriter(QueuedWriter):
    """Writes lines to a file descriptor."""

    def __init__(self, descriptor: int, report: Callable[[int], bytes]) -> None:
        self._descriptor = descriptor
        super().__init__(self._write_lines, report)

    def _write_lines(self, lines: Sequence[bytes]) -> None:
        text = b"".join(line + b"\n" for line in lines)
        while text:
            try:
                text = text[os.write(self._descriptor, text) :]
            except BlockingIOError:
                select.select([], [self._descriptor], [])


class JournalWriter(QueuedWriter):
    """Sends entries to the journal, one message each."""

    def __init__(self, journal: Journal, report: Callable[[int], bytes]) -> None:
        self._journal = journal
        super().__init__(self._send, report)

    def close(self, timeout: float = 2.0) -> None:
        """Send what is queued, for at most `timeout` seconds."""
        super().close(timeout)
        self._journal.close()

    def _send(self, entries: Sequence[bytes]) -> None:
        for each in entries:
            with contextlib.suppress(OSError):  # the next one may go through
                self._journal.send(each)
