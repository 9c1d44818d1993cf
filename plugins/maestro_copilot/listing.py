"""The subscription's models, read from Copilot when they are needed and not oftener than they change."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from typing import Final

import structlog

from maestro_copilot.catalogue import Catalogue, CopilotModel, catalogue
from maestro_copilot.gate import Gate
from maestro_copilot.quirks import Dialect
from maestro_daemon.plugin import MaestroError, UpstreamBroken, UpstreamRefused

_PATIENCE: Final = 10.0
"""Seconds that requests wait for a reading, from when it began; they go on without it then."""

_PAUSE: Final = 15.0
"""Seconds after a failed reading in which requests do not cause another one."""

_NOT_MODIFIED: Final = 304
_MOST_LEARNED: Final = 1000
_NOTHING: Final = Catalogue({})
_log: Final = structlog.get_logger(__name__)


class Listing:
    """The list as it was last read; `ttl` is how many seconds it is good. `clock` gives seconds."""

    def __init__(
        self, name: str, gate: Gate, ttl: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._name = name
        self._gate = gate
        self._ttl = ttl
        self._clock = clock
        self._known: Catalogue | None = None
        self._etag = ""
        self._good_until = 0.0
        self._quiet_until = 0.0
        self._reading: asyncio.Task[Catalogue] | None = None
        self._began = 0.0
        self._learned: dict[str, Dialect] = {}
        self._account = 0

    async def models(self) -> Mapping[str, CopilotModel]:
        """The models by id, read anew if the list is old.

        Raises as `Gate.get_json`, or `UpstreamBroken`; the last list is kept all the same.
        """
        if self._known is None or self._clock() >= self._good_until:
            return (await asyncio.shield(self._read())).models
        return self._known.models

    async def model(self, id: str) -> CopilotModel | None:
        """What is known of one model; None if nothing is.

        Waits a moment for the first list. An old one is good enough, and is read anew meanwhile.
        """
        known = self._known
        if (known is None or self._clock() >= self._good_until) and self._clock() >= self._quiet_until:
            reading = self._read()
            if known is None:
                await self._wait_a_moment(reading)
        return (self._known or _NOTHING).models.get(id)

    async def dialect(self, id: str) -> tuple[Dialect, CopilotModel | None]:
        """How to speak to a model, and what is known of it. One that is not known is taken for chat."""
        model = await self.model(id)
        learned = self._learned.get(id)
        return learned or (model.dialect if model is not None else "chat"), model

    async def other_dialect(self, id: str, refused: Dialect) -> tuple[Dialect, CopilotModel | None]:
        """How to speak to a model that refused the dialect `refused`: the list is read anew.

        If it still says the same, it is wrong, and the other dialect is remembered.
        """
        self._good_until = 0.0
        await self._wait_a_moment(self._read())
        model = (self._known or _NOTHING).models.get(id)
        if model is not None and model.dialect != refused:
            self._learned.pop(id, None)
            return model.dialect, model
        other: Dialect = "chat" if refused == "responses" else "responses"
        if len(self._learned) >= _MOST_LEARNED:
            self._learned.clear()
        self._learned[id] = other
        return other, model

    def forget(self) -> None:
        """Know nothing any more, not even by a reading that is under way: another account may have come."""
        self._known = None
        self._etag = ""
        self._good_until = self._quiet_until = 0.0
        self._learned = {}
        self._account += 1

    async def aclose(self) -> None:
        """End a reading that is under way."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait({self._reading})

    async def _wait_a_moment(self, reading: asyncio.Task[Catalogue]) -> None:
        """Wait for it, but no request as long as all the others together."""
        left = self._began + _PATIENCE - self._clock()
        if left > 0:
            await asyncio.wait({reading}, timeout=left)

    def _read(self) -> asyncio.Task[Catalogue]:
        """The reading that is under way, a new one if none is."""
        if self._reading is None or self._reading.done():
            self._began = self._clock()
            self._reading = asyncio.create_task(self._ask(), name=f"the models of {self._name}")
            self._reading.add_done_callback(_is_heard)
        return self._reading

    async def _ask(self) -> Catalogue:
        while True:
            account = self._account
            try:
                known = await self._asked(account)
            except MaestroError:
                if account != self._account:
                    continue
                self._quiet_until = self._clock() + _PAUSE
                raise
            if known is not None:
                self._good_until = self._clock() + self._ttl
                self._quiet_until = 0.0
                return known

    async def _asked(self, account: int) -> Catalogue | None:
        """What is listed now; None if that is the list of an account before."""
        headers = {"if-none-match": self._etag} if self._etag and self._known is not None else {}
        try:
            body, answered = await self._gate.get("/models", headers)
        except UpstreamRefused as refusal:
            if refusal.status == _NOT_MODIFIED and self._known is not None:
                return self._known
            raise
        if account != self._account:
            return None
        try:
            read = catalogue(json.loads(body))
        except (ValueError, RecursionError) as error:
            raise UpstreamBroken(f"{self._name} answered /models with something else than JSON.") from error
        if read.skipped and not read.models:
            raise UpstreamBroken(
                f"{self._name} listed {len(read.skipped)} models that cannot be read; {read.skipped[0]}."
            )
        if read.skipped and (self._known is None or read.skipped != self._known.skipped):
            _log.warning(
                "entries of the list of models skipped",
                provider=self._name,
                entries=list(read.skipped[:20]),
                count=len(read.skipped),
            )
        self._etag = answered.get("etag", "")
        self._known = read
        self._learned = {
            id: dialect
            for id, dialect in self._learned.items()
            if id not in read.models or read.models[id].dialect != dialect
        }
        return read


def _is_heard(reading: asyncio.Task[Catalogue]) -> None:
    """Whoever waits hears of a failure; if nobody does, it is tried again."""
    if not reading.cancelled():
        reading.exception()
