"""The embedded engine as requests see it: started in the background, awaited, restarted when it crashes."""

from __future__ import annotations

import asyncio
import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from maestro_daemon.plugin import ProviderUnavailable, UpstreamUnreachable
from maestro_local.engine_process import EngineFailed, EngineProcess, EngineSettings, run
from maestro_local.weights import PartMissing, Weights, find_weights, require_engine

_LONGEST_DELAY: Final = 60.0
_STEADY: Final = 60.0
"""Seconds of service after which an engine counts as healthy again, and its next restart comes quickly."""


@dataclass(frozen=True, slots=True)
class Idle:
    """Not started yet."""


@dataclass(frozen=True, slots=True)
class Starting:
    """Looking for its parts, or loading. `problem` is what kept the engine down before."""

    problem: str | None


@dataclass(frozen=True, slots=True)
class Serving:
    """Loaded and listening."""

    process: EngineProcess
    weights: Weights


@dataclass(frozen=True, slots=True)
class Lacking:
    """A part is missing; nothing runs until a request asks again."""

    problem: str


@dataclass(frozen=True, slots=True)
class Down:
    """It crashed, or could not load; the next start is at `until`, on the loop's clock."""

    problem: str
    until: float
    crashed: bool


@dataclass(frozen=True, slots=True)
class Closed:
    """Ended for good."""


State = Idle | Starting | Serving | Lacking | Down | Closed


def default_threads() -> int:
    """All processors that this process may use but one, which stays the daemon's."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, usable - 1)


class Engine:
    """Keeps one engine process alive.

    `model` is the path of a GGUF, or None for the installed weights package. `load_timeout` (seconds) bounds
    a start, `patience` (seconds) how long a request waits for one; after a crash or a failed start the next
    start waits `first_delay` seconds, twice as long after each further one, at most a minute.
    """

    def __init__(
        self,
        name: str,
        *,
        model: Path | None,
        context: int,
        parallel: int,
        threads: int | None = None,
        load_timeout: float = 600.0,
        patience: float = 300.0,
        first_delay: float = 0.5,
    ) -> None:
        self._name = name
        self._model = model
        self._context = context
        self._parallel = parallel
        self._threads = threads or default_threads()
        self._load_timeout = load_timeout
        self._patience = patience
        self._first_delay = first_delay
        self._state: State = Idle()
        self._changed = asyncio.Event()
        self._supervisor: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to load in the background, if nothing runs already."""
        if isinstance(self._state, Idle | Lacking):
            self._enter(Starting(self.problem()))
            self._supervisor = asyncio.create_task(self._supervise(), name=f"engine of {self._name}")
            self._supervisor.add_done_callback(self._supervision_ended)

    async def serving(self) -> Serving:
        """The loaded engine, waited for while it loads.

        Raises `ProviderUnavailable` if it cannot be loaded as things are, `UpstreamUnreachable` while it is
        down after a crash.
        """
        self.start()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._patience):
                while isinstance(self._state, Starting):
                    await self._changed.wait()
        match self._state:
            case Serving() as serving:
                return serving
            case Down(problem, until, crashed=True):
                wait = max(1.0, until - asyncio.get_running_loop().time())
                raise UpstreamUnreachable(problem, retry_after=wait)
            case Down(problem) | Lacking(problem):
                raise ProviderUnavailable(problem)
            case Starting():
                raise UpstreamUnreachable(
                    f"{self._name}: the embedded engine is still loading after {self._patience:g} s.",
                    retry_after=10.0,
                )
            case Idle() | Closed():
                raise ProviderUnavailable(f"{self._name}: the embedded engine has been shut down.")

    def problem(self) -> str | None:
        """Why it cannot serve, in one sentence; None if it serves or loads."""
        match self._state:
            case Starting(problem) | Lacking(problem) | Down(problem):
                return problem
            case Idle() | Serving() | Closed():
                return None

    async def aclose(self) -> None:
        """End the child process and whatever looks after it."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.wait({self._supervisor})
        self._enter(Closed())

    def _enter(self, state: State) -> None:
        self._state = state
        self._changed.set()
        self._changed = asyncio.Event()

    async def _supervise(self) -> None:
        loop = asyncio.get_running_loop()
        delay = self._first_delay
        while True:
            try:
                weights = await asyncio.to_thread(self._find_parts)
            except PartMissing as missing:
                self._enter(Lacking(f"{self._name}: {missing}."))
                return
            settings = EngineSettings(
                weights.path, weights.model_id, self._context, self._parallel, self._threads
            )
            try:
                async with run(settings, load_timeout=self._load_timeout) as process:
                    began = loop.time()
                    self._enter(Serving(process, weights))
                    how = await process.ended()
                    if loop.time() - began > _STEADY:
                        delay = self._first_delay
                    said = f"the embedded engine ended unexpectedly ({how}) and is started again"
                    self._enter(Down(f"{self._name}: {said}.", loop.time() + delay, crashed=True))
            except EngineFailed as failure:
                said = f"the embedded engine cannot load {weights.path}: {failure}"
                self._enter(Down(f"{self._name}: {said}.", loop.time() + delay, crashed=False))
            await asyncio.sleep(delay)
            delay = min(delay * 2, _LONGEST_DELAY)
            self._enter(Starting(self.problem()))

    def _supervision_ended(self, supervisor: asyncio.Task[None]) -> None:
        error = None if supervisor.cancelled() else supervisor.exception()
        if error is not None:  # of ours, or the system's: a request asks again, as for a missing part
            self._enter(Lacking(f"{self._name}: the embedded engine cannot be started ({error!r})."))

    def _find_parts(self) -> Weights:
        require_engine()
        return find_weights(self._model)
