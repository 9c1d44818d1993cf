"""The body of an upstream's answer, as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Final, Protocol, Self

from aiohttp import ClientPayloadError

from maestro_daemon.content_coding import CodingInvalid, Decoder

_MOST_UNREAD: Final = 128 * 1024
"""Bytes that may lie here unread before the connection is read no further."""

_MOST_AT_ONE_GO: Final = 1024 * 1024
"""Decoded bytes after which the loop gets its turn: some milliseconds of work."""


class Tap(Protocol):
    """What a body comes out of."""

    def hold(self) -> None:
        """Let nothing more come for now."""
        ...

    def go_on(self) -> None:
        """Let it come again."""
        ...


class Body:
    """What comes of one body, for one reader; iteration gives it as it comes.

    Servers send a chunk of HTTP for each event; all that has come is read together. `add` takes the next
    piece, `came` counts the bytes that brought it, framing included, and `whole` says that its end came.
    `unread` is how many of them came since something was read last.
    """

    __slots__ = (
        "_at_one_go",
        "_decoded",
        "_decoder",
        "_error",
        "_held",
        "_loop",
        "_pieces",
        "_tap",
        "_waiter",
        "add",
        "came",
        "unread",
        "whole",
    )

    def __init__(self, tap: Tap, loop: asyncio.AbstractEventLoop) -> None:
        self._tap = tap
        self._loop = loop
        self._pieces: list[bytes] = []
        self._held = False
        self._waiter: asyncio.Future[None] | None = None
        self._error: Exception | None = None
        self._decoder: Decoder | None = None
        self._decoded: Iterator[bytes] | None = None
        self._at_one_go = 0
        self.add: Callable[[bytes], None] = self._pieces.append
        self.came = 0
        self.unread = 0
        self.whole = False

    def decode(self, decoder: Decoder) -> None:
        """All pieces are coded; before the first one is read."""
        self._decoder = decoder

    def heard(self, size: int) -> None:
        """A read of so many bytes was taken apart, and what it held was added."""
        self.came += size
        self.unread += size
        if self._pieces:
            if self.unread > _MOST_UNREAD and not self._held:
                self._held = True
                self._tap.hold()
            self._wake()

    def end(self) -> None:
        """It is whole."""
        self.whole = True
        self._wake()

    def fail(self, error: Exception) -> None:
        """Nothing more comes: `error` is raised to the reader behind what came."""
        if not self.whole and self._error is None:
            self._error = error
            self._wake()

    @property
    def holds_any(self) -> bool:
        """Whether something came that was not read yet."""
        return bool(self._pieces)

    @property
    def at_end(self) -> bool:
        """Whether all of it came and was read."""
        return self.whole and not self._pieces and self._decoded is None and self._error is None

    def arrived(self) -> bytes | None:
        """All that has come and was not read yet, None for nothing."""
        return self._taken() if self._decoder is None else self._next_decoded(self._decoder)

    async def readany(self) -> bytes:
        """As `arrived`, but something is waited for; ``b""`` at the end.

        Raises `aiohttp.ClientPayloadError` where it broke off.
        """
        while True:
            if self._at_one_go >= _MOST_AT_ONE_GO:
                self._at_one_go = 0
                await asyncio.sleep(0)
            data = self.arrived()
            if data is not None:
                return data
            if self._error is not None:
                raise self._error
            if self.whole:
                return b""
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    async def peek(self) -> bytes:
        """As `readany`; what it gives stays to be read."""
        data = await self.readany()
        if data and self._decoder is None:
            self._pieces.insert(0, data)
        elif data:
            self._decoded = chain((data,), self._decoded or ())
        return data

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        data = await self.readany()
        if not data:
            raise StopAsyncIteration
        return data

    def _taken(self) -> bytes | None:
        pieces = self._pieces
        if not pieces:
            return None
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self.unread = 0
        if self._held:
            self._held = False
            self._tap.go_on()
        return data

    def _next_decoded(self, decoder: Decoder) -> bytes | None:
        """What the next bytes decode to, one piece at a time: little may become very much."""
        try:
            while True:
                if self._decoded is not None:
                    for piece in self._decoded:
                        self._at_one_go += len(piece)
                        return piece
                    self._decoded = None
                taken = self._taken()
                if taken is not None:
                    self._decoded = decoder.feed(taken)
                    continue
                if self.whole and self._error is None:
                    decoder.finish()
                return None
        except CodingInvalid as error:
            self._decoded = None
            self._error = ClientPayloadError(error.message)
            return None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
