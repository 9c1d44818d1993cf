"""The end of the process, whatever refuses to end in it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Mapping
from typing import Any, Final, Protocol

_SECONDS: Final = 5.0
_LAST_LINE: Final = 0.5  # seconds that the line about it is given to be written
_MOST_NAMES: Final = 10


class Writing(Protocol):
    """Writes a line of the log from any thread: level, event, fields."""

    def __call__(self, level: str, event: str, fields: Mapping[str, Any]) -> None:
        """Write it."""
        ...


def end_soon(
    write: Writing, loop: asyncio.AbstractEventLoop, *, status: int, seconds: float = _SECONDS
) -> None:
    """End the process with `status` if it still runs in `seconds`; returns at once.

    For when all of the house's work is done: a task of a plugin that ignores its cancellation, or a thread of
    its own that never returns, would keep the process for ever. The tasks of `loop` that still run are named.
    """

    def end() -> None:
        time.sleep(seconds)
        names: list[str] = []
        with contextlib.suppress(RuntimeError):  # they may change meanwhile
            names = sorted(task.get_name() for task in asyncio.all_tasks(loop))[:_MOST_NAMES]
        write("error", "ended by force: a plugin's code does not end", {"tasks": names})
        time.sleep(_LAST_LINE)
        os._exit(status)

    threading.Thread(target=end, name="last resort", daemon=True).start()
