"""What a plugin's code may raise, told apart from the end of the task that runs it.

A plugin that cancels one of its own tasks and awaits it raises `CancelledError` into a task that nobody
cancelled; one that calls `sys.exit` raises `SystemExit`, which would end the event loop; an extension in Rust
that panics raises an exception that is no `Exception` at all. All are failures of that plugin and of nothing
else.
"""

from __future__ import annotations

import asyncio
from typing import Final

FAILURES: Final = (BaseException,)
"""What to catch around a plugin's code; `ends_this_task` says what of it is to be raised again.

A generator lets `GeneratorExit` pass before: so it learns that nobody wants more of it.
"""


def ends_this_task(error: BaseException) -> bool:
    """Whether `error` is a cancellation that somebody asked of the running task."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0
