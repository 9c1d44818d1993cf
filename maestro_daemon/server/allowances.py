"""What all clients have used. The tokens of the day are kept in a file: a restart gives no second day.

One object for the whole life of the daemon; it outlives configurations.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Self

import structlog

from maestro_daemon.errors import MaestroError
from maestro_daemon.protocol import json
from maestro_daemon.providers.state_directory import write_private
from maestro_daemon.server.allowance import Allowance, day_of

_NAME: Final = "usage.json"
_GATHER: Final = 1.0  # seconds for which what was used is gathered before it is written
_AFTER_FAILURE: Final = 30.0
_LARGEST_FILE: Final = 16 * 2**20
_log: Final = structlog.get_logger(__name__)


class Allowances:
    """The allowance of each client by name. For ``async with``: `file` is kept while the block runs.

    Without a `folder` nothing is kept. `clock` gives seconds, `wall` unix seconds.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.file = None if folder is None else folder / _NAME
        self._clock = clock
        self._wall = wall
        self._allowances: dict[str, Allowance] = {}
        self._changed = asyncio.Event()
        self._keeping: asyncio.Task[None] | None = None

    def of(self, client: str) -> Allowance:
        """That of the client of this name."""
        allowance = self._allowances.get(client)
        if allowance is None:
            allowance = self._allowances[client] = Allowance(self._clock, self._wall)
        return allowance

    def changed(self) -> None:
        """Tokens were spent: have them written soon."""
        if not self._changed.is_set():
            self._changed.set()

    async def __aenter__(self) -> Self:
        if self.file is not None:
            self._take(await asyncio.to_thread(_read, self.file))
            self._keeping = asyncio.create_task(self._keep(self.file), name="client usage")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._keeping is None or self.file is None:
            return
        self._keeping.cancel()
        await asyncio.wait({self._keeping})
        if self._changed.is_set():
            with contextlib.suppress(OSError):
                await asyncio.to_thread(write_private, self.file, self._document())

    async def _keep(self, file: Path) -> None:
        while True:
            await self._changed.wait()
            await asyncio.sleep(_GATHER)
            try:
                # Whoever ends this waits for the thread: two must not write at once.
                await asyncio.shield(self._written(file))
            except OSError as error:
                _log.warning("the tokens of today cannot be kept", file=str(file), reason=error.strerror)
                await asyncio.sleep(_AFTER_FAILURE)
                self._changed.set()

    async def _written(self, file: Path) -> None:
        self._changed.clear()
        await asyncio.to_thread(write_private, file, self._document())

    def _document(self) -> bytes:
        used = {name: tokens for name, each in self._allowances.items() if (tokens := each.tokens)}
        return json.dumps({"day": day_of(self._wall()), "tokens": used})

    def _take(self, document: dict[str, Any]) -> None:
        if document.get("day") != day_of(self._wall()):
            return
        used = document.get("tokens")
        for name, tokens in used.items() if isinstance(used, dict) else ():
            if type(tokens) is int and tokens > 0:
                self.of(name).spend(tokens)


def _read(file: Path) -> dict[str, Any]:
    """What was kept, {} where there is nothing or nothing of use."""
    try:
        with file.open("rb") as opened:
            document = json.loads(opened.read(_LARGEST_FILE))
    except FileNotFoundError:
        return {}
    except (OSError, MaestroError) as error:
        _log.warning("what clients have used today is not known", file=str(file), reason=str(error))
        return {}
    return document if isinstance(document, dict) else {}
