from __future__ import annotations

import asyncio
import ssl

import pytest
from aiohttp import web

from maestro_daemon.server.connections import Bounds, Connection, ConnectionRunner, EventStream
from tests.support.edge import edge, parse_answer


async def fine(request: web.Request) -> web.Response:
    return web.Response(text="fine")


async def echo_size(request: web.Request) -> web.Response:
    return web.Response(text=str(len(await request.read())))


ROUTES = [web.get("/", fine), web.post("/", echo_size)]
HOST = b"host: localhost\r\n"


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"garbage\r\n\r\n", 400, "bad_http_request"),
        (b"GET / HTTP/9.9\r\n\r\n", 400, "bad_http_request"),
        (b"BREW /coffee HTTP/1.1\r\n\r\n", 400, "bad_http_request"),
        (b"GET\r\n\r\n", 400, "bad_http_request"),
        (b"\x00\x01\x02\x03\r\n\r\n", 400, "bad_http_request"),
        (b"GET / HTTP/1.1\r\nno colon here\r\n\r\n", 400, "bad_http_request"),
        (
            b"GET / HTTP/1.1\r\nauthorization: Bearer k3y\r\nbad header name: k3y\r\n\r\n",
            400,
            "bad_http_request",
        ),
        (b"GET / HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n", 400, "bad_http_request"),
        (b"GET / HTTP/1.1\r\ncontent-length: -5\r\n\r\n", 400, "bad_http_request"),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: gzip\r\n\r\n", 400, "bad_http_request"),
        (b"GET / HTTP/1.1\r\nx-big: " + b"k3y" * 8000 + b"\r\n\r\n", 431, "header_too_large"),
        (b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n", 431, "header_too_large"),
    ],
)
async def test_what_is_not_http_is_answered_in_the_envelope(sent: bytes, status: int, code: str) -> None:
    async with edge(ROUTES) as running:
        answer = parse_answer(await running.raw(sent))
        assert (answer.status, answer.error["code"]) == (status, code)
        assert "k3y" not in answer.error["message"]


async def test_too_many_headers_are_answered_in_the_envelope() -> None:
    async with edge(ROUTES) as running:
        lines = b"".join(b"x-%d: 1\r\n" % n for n in range(500))
        answer = parse_answer(await running.raw(b"GET / HTTP/1.1\r\n" + HOST + lines + b"\r\n"))
        assert answer.status in (400, 431)
        assert answer.error["type"] == "invalid_request_error"


async def test_tls_on_the_plain_port_is_told_so() -> None:
    async with edge(ROUTES) as running:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        hello = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
        with pytest.raises(ssl.SSLWantReadError):
            hello.do_handshake()
        answer = parse_answer(await running.raw(outgoing.read()))
        assert answer.status == 400
        assert answer.error["type"] == "invalid_request_error"


async def test_an_expectation_that_is_not_known_is_answered_in_the_envelope() -> None:
    async with edge(ROUTES) as running:
        for path in ("/", "/nowhere"):
            answer = await running.ask("GET", path, "expect: 200-maybe")
            assert answer.status == 417
            assert answer.error["type"] == "invalid_request_error"


async def test_100_continue_is_honoured() -> None:
    async with edge(ROUTES) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(b"POST / HTTP/1.1\r\n" + HOST + b"content-length: 3\r\nexpect: 100-continue\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
        writer.write(b"abc")
        assert b" 200 OK" in await reader.readuntil(b"\r\n\r\n")
        writer.close()


async def test_headers_that_drip_are_a_408() -> None:
    async with edge(ROUTES, head_timeout=0.05) as running:
        answer = parse_answer(await running.raw(b"GET / HTTP/1.1\r\nhost: loc"))
        assert (answer.status, answer.error["code"]) == (408, "request_timeout")


async def test_headers_that_drip_on_a_kept_connection_are_a_408() -> None:
    async with edge(ROUTES, head_timeout=0.05) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        assert (await reader.readuntil(b"fine")).startswith(b"HTTP/1.1 200")
        writer.write(b"GET / HTTP/1.1\r\nx-slow: ")
        assert parse_answer(await reader.read()).status == 408
        writer.close()


class Wire(asyncio.Transport):
    """A transport that keeps what is written until it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.closed: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._written = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._written += bytes(data)

    def close(self) -> None:
        if not self.closed.done():
            self.closed.set_result(self._written)

    def is_closing(self) -> bool:
        return self.closed.done()


async def test_headers_that_begin_in_the_moment_of_connecting_are_timed_too() -> None:
    runner = ConnectionRunner(web.Application(), Bounds(head_timeout=0.01))
    await runner.setup()
    assert runner.server is not None
    connection, wire = runner.server(), Wire()
    connection.connection_made(wire)
    connection.data_received(b"GET / HTTP/1.1\r\nhost: loc")  # before the connection's own task has run
    assert parse_answer(await wire.closed).status == 408
    connection.connection_lost(None)
    await runner.cleanup()


async def test_a_body_that_nobody_read_is_not_taken_for_headers() -> None:
    timers: list[object] = []

    async def refuse(request: web.Request) -> web.Response:
        return web.Response(status=403)

    async def watch(request: web.Request) -> web.Response:
        assert isinstance(request.protocol, Connection)
        timers.append(request.protocol._head_timer)
        return web.Response(text="fine")

    async with edge([web.post("/", refuse), web.get("/", watch)]) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(b"POST / HTTP/1.1\r\n" + HOST + b"content-length: 4\r\n\r\nab")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 403")
        writer.write(b"c")
        await writer.drain()
        writer.write(b"d" + b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        assert (await reader.readuntil(b"fine")).startswith(b"HTTP/1.1 200")
        writer.close()
    assert timers == [None]


async def test_only_headers_are_timed_and_neither_body_nor_handler() -> None:
    timers: list[object] = []
    reading = asyncio.Event()

    async def watch(request: web.Request) -> web.Response:
        assert isinstance(request.protocol, Connection)
        timers.append(request.protocol._head_timer)
        reading.set()
        body = await request.read()
        timers.append(request.protocol._head_timer)
        return web.Response(body=body)

    async with edge([web.post("/", watch)]) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(b"POST / HTTP/1.1\r\nhost: loc")
        await writer.drain()
        writer.write(b"alhost\r\ncontent-length: 4\r\n\r\nab")
        await reading.wait()
        writer.write(b"cd")
        assert (await reader.readuntil(b"abcd")).startswith(b"HTTP/1.1 200")
        writer.close()
    assert timers == [None, None]


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"])
async def test_an_idle_connection_is_closed(sent: bytes) -> None:
    async with edge(ROUTES, idle_timeout=0.05) as running:
        answered = await running.raw(sent)
        assert answered.count(b"HTTP/1.1 200") == (1 if sent else 0)


async def test_a_kept_connection_serves_many_requests() -> None:
    async with edge(ROUTES) as running:
        raw = await running.raw((b"GET / HTTP/1.1\r\n" + HOST + b"\r\n") * 3 + b"GET / HTTP/1.0\r\n\r\n")
        assert raw.count(b" 200 OK") == 4


async def test_a_stream_ends_for_a_client_that_knows_no_chunks_and_would_keep_its_connection() -> None:
    async def stream(request: web.Request) -> web.StreamResponse:
        answer = EventStream()
        await answer.prepare(request)
        await answer.write(b"data: 1\n\n")
        return answer

    async with edge([web.get("/", stream)]) as running:
        raw = await running.raw(b"GET / HTTP/1.0\r\nconnection: keep-alive\r\n" + HOST + b"\r\n")
        assert raw.endswith(b"\r\n\r\ndata: 1\n\n")


async def test_a_client_that_leaves_cancels_its_handler() -> None:
    begun = asyncio.Event()
    ended = asyncio.Event()

    async def waiting(request: web.Request) -> web.Response:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return web.Response()

    async with edge([web.get("/", waiting)]) as running:
        _, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        await begun.wait()
        writer.close()
        await asyncio.wait_for(ended.wait(), 10)


async def test_an_error_outside_every_middleware_is_answered_in_the_envelope() -> None:
    async def failing(request: web.Request, response: web.StreamResponse) -> None:
        if request.path == "/" and response.status == 200:
            raise RuntimeError("s3cret")

    def configure(app: web.Application) -> None:
        app.on_response_prepare.append(failing)

    async with edge(ROUTES, configure=configure) as running:
        raw = await running.raw(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        assert b"s3cret" not in raw
        assert b"200 OK" not in raw
