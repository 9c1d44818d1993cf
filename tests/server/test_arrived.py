"""What has come of a body, as aiohttp's own server and client have it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from maestro_daemon.server.arrived import arrived

BIG = b"x" * 3_000_000


async def read_by_it(content: aiohttp.StreamReader) -> tuple[bytes, int]:
    """The whole body, and how often it was all that had come."""
    read, taken = bytearray(), 0
    while True:
        piece = arrived(content)
        taken += piece is not None
        if piece is None:
            piece = await content.readany()
            if not piece:
                return bytes(read), taken
        read += piece


@asynccontextmanager
async def serving(handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> AsyncIterator[int]:
    runner = web.ServerRunner(web.Server(handler))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def echo(request: web.BaseRequest) -> web.Response:
    body, _ = await read_by_it(request.content)
    return web.Response(body=str(len(body)).encode())


@pytest.mark.parametrize("size", [0, 1, 5_000, len(BIG)])
async def test_requests_behind_each_other_on_one_connection_are_all_read(size: int) -> None:
    async with serving(echo) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        one = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (size, BIG[:size])
        writer.write(one * 3)
        for _ in range(3):
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 ")
            assert await reader.readexactly(len(str(size))) == str(size).encode()
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("chunked", [True, False])
async def test_an_answer_larger_than_what_may_wait_comes_whole(chunked: bool) -> None:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        if not chunked:
            response.content_length = len(BIG)
        await response.prepare(request)
        for start in range(0, len(BIG), 1000):
            await response.write(BIG[start : start + 1000])
        await response.write_eof()
        return response

    async with (
        serving(answer) as port,
        aiohttp.ClientSession(read_bufsize=64 * 1024) as session,
        session.get(f"http://127.0.0.1:{port}") as got,
    ):
        body, taken = await read_by_it(got.content)
        assert body == BIG
        assert taken > 0
        assert got.content.at_eof()


async def test_a_part_that_was_read_otherwise_is_not_read_again() -> None:
    async def answer(_request: web.BaseRequest) -> web.Response:
        return web.Response(body=b"abcdef")

    async with serving(answer) as port, aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{port}") as got:
            assert await got.content.read(2) == b"ab"
            assert arrived(got.content) is None
            assert (await read_by_it(got.content))[0] == b"cdef"
        async with session.get(f"http://127.0.0.1:{port}") as got:
            await got.content.wait_eof()
            assert arrived(got.content) == b"abcdef"
            assert arrived(got.content) is None
            assert got.content.at_eof()
