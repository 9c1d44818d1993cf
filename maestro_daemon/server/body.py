"""Reading a request's body: decoded, bounded in size and in time.

The application is run with ``auto_decompress=False``: aiohttp's own decoding takes a cut body for a whole
one and lets a small body grow to any size before it is measured.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence

from aiohttp import ClientPayloadError, web

from maestro_daemon.content_coding import Decoder, codings, decoders
from maestro_daemon.errors import RequestInvalid
from maestro_daemon.server.arrived import arrived

_YIELD_EVERY = 1024 * 1024
"""Decoded bytes after which the loop gets its turn: some milliseconds of work."""


class BodyTooLarge(RequestInvalid):
    """The body is larger than the daemon takes, as it was sent or as it decodes."""

    default_status = 413
    default_code = "request_too_large"


class BodyTooSlow(RequestInvalid):
    """The body did not arrive in time."""

    default_status = 408
    default_code = "request_timeout"


async def read_body(request: web.Request, *, limit: int, timeout: float) -> bytes:  # noqa: ASYNC109
    """The whole body with its content codings undone.

    `limit` (bytes) holds for what is sent, for what every coding makes of it and so for the result; a body
    that announces more is refused before it is read. `timeout` (seconds) is for the whole body. Raises
    `BodyTooLarge`, `BodyTooSlow`, `CodingInvalid`, or `RequestInvalid` (415) for an unknown coding and
    (400) for broken framing. What the connection itself raises when the client goes is passed on.
    """
    applied = codings(request.headers.getall("Content-Encoding", ()))
    announced = request.content_length
    if announced is not None and announced > limit:
        raise _too_large(limit)
    try:
        if request.content.is_eof() and not applied:
            return await _plain(request, limit)  # it is here already: no timer
        async with asyncio.timeout(timeout):
            if applied:
                return await _decoded(request, decoders(applied), limit)
            return await _plain(request, limit)
    except TimeoutError:
        raise BodyTooSlow(f"The request body did not arrive within {timeout:g} seconds.") from None
    except (web.RequestPayloadError, ClientPayloadError):
        raise RequestInvalid(
            "The request body is broken: its length or its chunks are not what the headers say.",
            code="invalid_body",
        ) from None


async def _sent(request: web.Request, limit: int) -> AsyncIterator[bytes]:
    """What arrives, as it arrives."""
    content = request.content
    size = 0
    while piece := await content.readany():
        size += len(piece)
        if size > limit:
            raise _too_large(limit)
        yield piece


async def _plain(request: web.Request, limit: int) -> bytes:
    content = request.content
    whole = arrived(content) if content.is_eof() else None
    if whole is not None:
        if len(whole) > limit:
            raise _too_large(limit)
        return whole
    gathered: list[bytes] = []
    size = 0
    while piece := await content.readany():
        size += len(piece)
        if size > limit:
            raise _too_large(limit)
        gathered.append(piece)
    return gathered[0] if len(gathered) == 1 else b"".join(gathered)


async def _decoded(request: web.Request, stages: Sequence[Decoder], limit: int) -> bytes:
    sizes = [0] * len(stages)
    gathered = bytearray()
    next_yield = _YIELD_EVERY
    async for sent in _sent(request, limit):
        for piece in _through(stages, sizes, sent, limit):
            gathered += piece
            if sum(sizes) >= next_yield:
                next_yield += _YIELD_EVERY
                await asyncio.sleep(0)
    for stage in stages:
        stage.finish()
    return bytes(gathered)


def _through(
    stages: Sequence[Decoder], sizes: list[int], piece: bytes, limit: int, at: int = 0
) -> Iterator[bytes]:
    """What comes out of the last stage; an empty piece for each step that brought nothing there yet."""
    if at == len(stages):
        yield piece
        return
    for decoded in stages[at].feed(piece):
        sizes[at] += len(decoded)
        if sizes[at] > limit:
            raise _too_large(limit)
        yield b""
        yield from _through(stages, sizes, decoded, limit, at + 1)


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(
        f"The request body is larger than {_in_words(limit)}, the limit set by [server] max_body "
        "(which holds for the decoded body as well)."
    )


def _in_words(size: int) -> str:
    for unit, name in ((1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB")):
        if size >= unit and size % unit == 0:
            return f"{size // unit} {name}"
    return f"{size} bytes"
