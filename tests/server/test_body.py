from __future__ import annotations

import asyncio
import gzip
import hashlib
import sys
import tracemalloc
import zlib

import pytest
from aiohttp import web

from maestro_daemon.server.body import read_body
from tests.support.edge import Edge, edge, parse_answer

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LIMIT = 256 * 1024


def receiver(*, limit: int = LIMIT, timeout: float = 20) -> list[web.RouteDef]:
    async def receive(request: web.Request) -> web.Response:
        body = await read_body(request, limit=limit, timeout=timeout)
        return web.json_response({"size": len(body), "sha256": hashlib.sha256(body).hexdigest()})

    return [web.post("/", receive)]


async def post(running: Edge, body: bytes, *headers: str) -> tuple[int, str]:
    answer = await running.ask("POST", "/", *headers, body=body)
    return answer.status, "" if answer.status == 200 else str(answer.error["code"])


PLAIN = b'{"model":"m","input":"hello hello hello"}' * 1000


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        (None, PLAIN),
        ("identity", PLAIN),
        ("gzip", gzip.compress(PLAIN, mtime=0)),
        ("deflate", zlib.compress(PLAIN)),
        ("deflate", zlib.compress(PLAIN)[2:-4]),
        ("zstd", zstd.compress(PLAIN)),
        ("gzip, zstd", zstd.compress(gzip.compress(PLAIN, mtime=0))),
        ("zstd, deflate", zlib.compress(zstd.compress(PLAIN))),
    ],
    ids=["none", "identity", "gzip", "zlib", "raw deflate", "zstd", "gzip then zstd", "zstd then deflate"],
)
async def test_a_body_arrives_decoded(coding: str | None, body: bytes) -> None:
    async with edge(receiver()) as running:
        headers = [] if coding is None else [f"content-encoding: {coding}"]
        answer = await running.ask("POST", "/", *headers, body=body)
        assert hashlib.sha256(PLAIN).hexdigest().encode() in answer.body


async def test_a_chunked_body_arrives_whole() -> None:
    async with edge(receiver()) as running:
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (b"a" * 70_000, b"b" * 3))
        head = (
            b"POST / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        answer = parse_answer(await running.raw(head + chunks + b"0\r\n\r\n"))
        assert b'"size": 70003' in answer.body


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", gzip.compress(PLAIN, mtime=0)[:-3]),
        ("gzip", PLAIN),
        ("gzip", gzip.compress(PLAIN, mtime=0)[:-8] + b"\0" * 8),
        ("deflate", zlib.compress(PLAIN)[:-3]),
        ("zstd", zstd.compress(PLAIN)[:-3]),
        ("zstd", b"garbage"),
        ("gzip, zstd", zstd.compress(gzip.compress(PLAIN, mtime=0)[:-3])),
    ],
)
async def test_a_cut_or_corrupt_body_is_a_400(coding: str, body: bytes) -> None:
    async with edge(receiver()) as running:
        assert await post(running, body, f"content-encoding: {coding}") == (400, "invalid_content_encoding")


async def test_an_unknown_coding_is_a_415_naming_what_is_served() -> None:
    async with edge(receiver()) as running:
        answer = await running.ask("POST", "/", "content-encoding: br", body=b"x")
        assert answer.status == 415
        assert "gzip, deflate and zstd" in answer.error["message"]


async def test_a_body_of_exactly_the_limit_passes_and_one_byte_more_does_not() -> None:
    async with edge(receiver()) as running:
        for encode, headers in ((bytes, ()), (gzip.compress, ("content-encoding: gzip",))):
            assert await post(running, encode(b"x" * LIMIT), *headers) == (200, "")
            assert await post(running, encode(b"x" * (LIMIT + 1)), *headers) == (413, "request_too_large")


async def test_an_announced_size_over_the_limit_is_refused_before_the_body_comes() -> None:
    async with edge(receiver()) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99999999\r\n\r\n")
        answer = parse_answer(await reader.readuntil(b"}}"))
        assert answer.status == 413
        assert "256 KiB" in answer.error["message"]
        assert "max_body" in answer.error["message"]
        assert answer.headers["connection"] == "close"
        writer.close()


async def test_a_chunked_body_over_the_limit_is_refused_while_it_comes() -> None:
    async with edge(receiver()) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(b"POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n")
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        writer.write(chunk * 5)
        assert parse_answer(await reader.readuntil(b"}}")).status == 413
        writer.close()


@pytest.mark.parametrize(
    ("coding", "bomb"),
    [
        ("gzip", gzip.compress(b"\0" * (64 * 1024 * 1024), mtime=0)),
        ("zstd", zstd.compress(b"\0" * (64 * 1024 * 1024))),
        ("gzip, gzip", gzip.compress(gzip.compress(b"\0" * (64 * 1024 * 1024), mtime=0), mtime=0)),
    ],
)
async def test_a_bomb_is_refused_without_being_unfolded(coding: str, bomb: bytes) -> None:
    async with edge(receiver()) as running:
        tracemalloc.start()
        try:
            assert (await post(running, bomb, f"content-encoding: {coding}"))[0] == 413
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 16 * LIMIT


async def test_the_loop_turns_while_a_large_body_is_decoded() -> None:
    body = gzip.compress(b"\0" * (32 * 1024 * 1024))
    async with edge(receiver(limit=64 * 1024 * 1024)) as running:
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        counting = asyncio.create_task(count())
        assert await post(running, body, "content-encoding: gzip") == (200, "")
        counting.cancel()
        assert turns >= 32


async def test_a_body_that_does_not_come_is_a_408() -> None:
    async with edge(receiver(timeout=0.05)) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\n{")
        answer = parse_answer(await reader.readuntil(b"}}"))
        assert (answer.status, answer.error["code"]) == (408, "request_timeout")
        assert answer.headers["connection"] == "close"
        writer.close()


async def test_broken_chunks_are_a_400() -> None:
    async with edge(receiver()) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(b"POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabc")
        writer.write(b"de\r\nzzz\r\n")
        answer = parse_answer(await reader.readuntil(b"}}"))
        assert answer.status == 400
        assert answer.error["type"] == "invalid_request_error"
        writer.close()


async def test_chunks_that_break_while_the_body_is_read_are_a_400_and_the_end() -> None:
    reading = asyncio.Event()

    async def receive(request: web.Request) -> web.Response:
        reading.set()
        return web.Response(text=str(len(await read_body(request, limit=LIMIT, timeout=60))))

    async with edge([web.post("/", receive)]) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(
            b"POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabcde\r\n"
        )
        await reading.wait()
        writer.write(b"zzz\r\n")
        answer = parse_answer(await reader.read())
        assert (answer.status, answer.error["code"]) == (400, "invalid_body")
        writer.close()


async def test_chunks_that_break_after_the_answer_end_the_connection_and_are_no_fault_of_ours(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def refuse(request: web.Request) -> web.Response:
        return web.json_response({"error": {}}, status=404)

    async with edge([web.post("/", refuse)]) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(
            b"POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabcde\r\n"
        )
        assert (await reader.readuntil(b"}}")).startswith(b"HTTP/1.1 404 ")
        writer.write(b"zzz\r\n")
        assert await reader.read() == b""
        writer.close()
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


async def test_a_pipelined_body_may_come_in_pieces_while_the_request_before_it_is_answered() -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def receive(request: web.Request) -> web.Response:
        body = await read_body(request, limit=LIMIT, timeout=60)
        if not begun.is_set():
            begun.set()
            await go_on.wait()
        return web.Response(body=body)

    head = b"POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"
    async with edge([web.post("/", receive)]) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(head + b"3\r\none\r\n0\r\n\r\n")
        await begun.wait()
        for piece in (head + b"2\r\ntw\r\n", b"1\r\no\r\n", b"0\r\n\r\n"):
            writer.write(piece)
            await writer.drain()
            await settled()
        go_on.set()
        await reader.readuntil(b"one")
        assert (await reader.readuntil(b"two")).startswith(b"HTTP/1.1 200")
        writer.close()


async def settled() -> None:
    """Let the server read what was written."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_client_that_goes_while_sending_ends_the_reading() -> None:
    ended: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
    reading = asyncio.Event()

    async def receive(request: web.Request) -> web.Response:
        reading.set()
        try:
            await read_body(request, limit=LIMIT, timeout=60)
        except BaseException as error:
            ended.set_result(error)
            raise
        return web.Response()

    async with edge([web.post("/", receive)]) as running:
        _, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\n{")
        await reading.wait()
        writer.close()
        assert isinstance(await asyncio.wait_for(ended, 10), asyncio.CancelledError | ConnectionError)
