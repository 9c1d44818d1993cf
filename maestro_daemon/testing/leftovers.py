"""What is still open although everything was closed."""

from __future__ import annotations

import asyncio
import gc
import sys
import warnings
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from weakref import WeakSet

from maestro_daemon.testing.bounded import PATIENCE
from maestro_daemon.testing.breach import Inapplicable
from maestro_daemon.testing.stage import Stage

_PATIENCE = 1.0


class Leftovers:
    """What began within the block of `leftovers`."""

    def __init__(self, children: set[int]) -> None:
        self._tasks = asyncio.all_tasks()
        self._children = children
        self._generators: WeakSet[AsyncGenerator[Any, Any]] = WeakSet()
        self._abandoned: list[str] = []
        self._warned: list[warnings.WarningMessage] = []

    async def found(self, stage: Stage) -> list[str]:
        """What is left, in words. The provider's connections get a moment to go."""
        with suppress(TimeoutError):
            async with asyncio.timeout(min(_PATIENCE, PATIENCE.get())):
                while self._open_tasks() or _connections(stage):  # noqa: ASYNC110  (nothing tells of them)
                    await asyncio.sleep(0.002)
        connections = _connections(stage)
        gc.collect()
        await asyncio.sleep(0)
        left = [f"the task {task.get_name()!r} ({_where(task)}) still runs" for task in self._open_tasks()]
        if connections:
            left.append(f"{connections} connection(s) to the upstream are still open")
        left += [f"the generator {name} was dropped without aclose()" for name in self._abandoned]
        open_ones = [each for each in self._generators if getattr(each, "ag_frame", None) is not None]
        left += [f"the generator {_name(each)} is still open" for each in open_ones]
        children = await asyncio.to_thread(_children)
        left += [f"the process {child} still runs" for child in sorted(children - self._children)]
        left += [str(each.message) for each in self._warned if issubclass(each.category, ResourceWarning)]
        return left

    def _open_tasks(self) -> list[asyncio.Task[Any]]:
        return [
            task
            for task in asyncio.all_tasks() - self._tasks
            if not task.done() and "aiohttp/web_protocol" not in _where(task)
        ]


@asynccontextmanager
async def leftovers() -> AsyncIterator[Leftovers]:
    """Watch what is opened within the block; this module's own checks run inside it."""
    left = Leftovers(await asyncio.to_thread(_children))
    before = sys.get_asyncgen_hooks()

    def begun(generator: AsyncGenerator[Any, Any]) -> None:
        left._generators.add(generator)
        if before.firstiter is not None:
            before.firstiter(generator)

    def dropped(generator: AsyncGenerator[Any, Any]) -> None:
        left._abandoned.append(_name(generator))
        if before.finalizer is not None:
            before.finalizer(generator)

    sys.set_asyncgen_hooks(begun, dropped)
    gc.freeze()  # what others left behind is none of this
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always", ResourceWarning)
            left._warned = warned
            yield left
    finally:
        gc.unfreeze()
        sys.set_asyncgen_hooks(*before)


def _connections(stage: Stage) -> int:
    try:
        return stage.connections()
    except Inapplicable:
        return 0


def _where(task: asyncio.Task[Any]) -> str:
    code = getattr(task.get_coro(), "cr_code", None)
    return "?" if code is None else f"{code.co_filename}:{code.co_firstlineno} {code.co_qualname}"


def _name(generator: AsyncGenerator[Any, Any]) -> str:
    return str(getattr(generator, "__qualname__", generator))


def _children() -> set[int]:
    """The process ids of this process's children; empty where the system does not tell."""
    found: set[int] = set()
    with suppress(OSError):
        for each in Path("/proc/self/task").iterdir():
            found.update(map(int, (each / "children").read_text().split()))
    return found
