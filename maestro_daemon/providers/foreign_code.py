"""What a plugin's code may raise, told apart from the end of the task that runs it.

A plugin that cancels one of its own tasks and awaits it raises `CancelledError` into a task that nobody
cancelled; one that calls `sys.exit` raises `SystemExit`, which would end the event loop. Both are failures
of that plugin and of nothing else.
"""

from __future__ import annotations

import asyncio
from typing import Final

FAILURES: Final = (Exception, asyncio.CancelledError, SystemExit)
"""What to catch around a plugin's code; `ends_this_task` says what of it is to be raised again."""


def ends_this_task(error: BaseException) -> bool:
    """Whether `error` is a cancellation that somebody asked of the running task."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0
