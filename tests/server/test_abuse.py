"""Clients that mean no good, over real sockets: each is bounded, and nobody else notices."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import MutableMapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from maestro_daemon.server.connections import Bounds, Connection, ConnectionRunner
from tests.support import native
from tests.support.edge import Edge, edge, parse_answer
from tests.support.fake_upstream import FakeUpstream, Reply
from tests.support.raw_client import raw_client
from tests.support.standing import SERVER, provider, standing, told, until

HOST = b"host: localhost\r\n"
GET = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"
LAST = b"GET / HTTP/1.1\r\nconnection: close\r\n" + HOST + b"\r\n"
PAGE = b"x" * (16 * 2**20)  # more than the system takes for a client that does not listen


async def fine(request: web.Request) -> web.Response:
    return web.Response(text="fine")


async def page(request: web.Request) -> web.Response:
    return web.Response(body=PAGE)


ROUTES = [web.get("/", fine), web.post("/", fine), web.get("/page", page)]


async def connect(running: Edge) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", running.port)


async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Whether a request on the connection is answered as ever."""
    writer.write(GET)
    return b" 200 " in await reader.readuntil(b"fine")


async def test_beyond_the_most_connections_a_client_is_told_to_come_back(
    logged: list[MutableMapping[str, Any]],
) -> None:
    async with edge(ROUTES, most=2) as running:
        first, second = await connect(running), await connect(running)
        assert await served(*first)
        assert await served(*second)
        for _ in range(3):
            answer = parse_answer(await running.raw(GET))
            assert (answer.status, answer.error["code"]) == (503, "too_many_connections")
            assert answer.headers["retry-after"] == "1"
            assert answer.headers["connection"] == "close"
            assert "[server] max_connections = 2" in answer.error["message"]
        assert await served(*first)
        first[1].close()
        await first[1].wait_closed()
        while parse_answer(await running.raw(LAST)).status == 503:
            pass
        second[1].close()
    assert len(told(logged, "connections refused: too many are open")) == 1


async def test_each_address_has_its_share() -> None:
    async with edge(ROUTES, most_per_address=1) as running:
        first = await connect(running)
        assert await served(*first)
        answer = parse_answer(await running.raw(GET))
        assert (answer.status, answer.error["code"]) == (503, "too_many_connections")
        assert "max_connections_per_address = 1" in answer.error["message"]
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port, local_addr=("127.0.0.2", 0))
        assert await served(reader, writer)
        for _, each in (first, (reader, writer)):
            each.close()


async def test_who_is_turned_away_and_does_not_go_is_cut_off() -> None:
    async with edge(ROUTES, most=1) as running, AsyncExitStack() as stack:
        first = await connect(running)
        assert await served(*first)
        stubborn = [await connect(running) for _ in range(100)]
        for _, writer in stubborn:
            stack.callback(writer.close)
        for reader, _ in stubborn:
            with_answer = await reader.read()
            assert not with_answer or b" 503 " in with_answer
        assert await served(*first)
        first[1].close()


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"garbage\r\n\r\n", 400, "bad_http_request"),
        (b"GET / HTTP/1.1\r\nx-big: " + b"k3y" * 8000 + b"\r\n\r\n", 431, "header_too_large"),
        (b"GET / HTTP/1.1\r\n" + b"x-many: k3y\r\n" * 500 + b"\r\n", 431, "header_too_large"),
        (b"GET / HTTP/1.1\r\nhost: loc", 408, "request_timeout"),
    ],
)
async def test_what_is_refused_before_it_is_a_request_has_a_line_in_the_log_and_no_word_of_it(
    logged: list[MutableMapping[str, Any]], sent: bytes, status: int, code: str
) -> None:
    async with edge(ROUTES, head_timeout=0.05, idle_timeout=5.0) as running:
        assert parse_answer(await running.raw(sent)).status == status
    (line,) = told(logged, "request refused")
    assert (line["http_status"], line["address"]) == (status, "127.0.0.1")
    assert "k3y" not in str(line)


async def test_an_expectation_that_cannot_be_met_is_refused_in_the_envelope_and_has_a_line_in_the_log(
    logged: list[MutableMapping[str, Any]],
) -> None:
    async with edge(ROUTES) as running:
        head = b"GET / HTTP/1.1\r\n" + HOST + b"connection: close\r\nexpect: 200-maybe\r\n\r\n"
        answer = parse_answer(await running.raw(head))
    assert (answer.status, answer.error["code"]) == (417, "bad_http_request")
    (line,) = told(logged, "request refused")
    assert (line["http_status"], line["path"], line["request_id"]) == (
        417,
        "/",
        answer.headers["x-request-id"],
    )


async def test_headers_under_way_have_their_own_time_though_an_idle_connection_would_have_less() -> None:
    async with edge(ROUTES, head_timeout=0.8, idle_timeout=0.5) as running:
        assert parse_answer(await running.raw(b"GET / HTTP/1.1\r\nhost: loc")).status == 408
        assert await running.raw(b"") == b""


async def test_the_longest_header_is_a_setting() -> None:
    async with edge(ROUTES, max_header=1024) as running:
        assert (await running.ask("GET", "/", "x-long: " + "a" * 900)).status == 200
        answer = await running.ask("GET", "/", "x-long: " + "a" * 1100)
        assert answer.status == 431
        assert "1024 bytes ([server] max_header)" in answer.error["message"]


async def test_a_client_that_takes_nothing_of_a_page_is_dropped_whatever_the_page(
    logged: list[MutableMapping[str, Any]],
) -> None:
    async with edge(ROUTES, send_timeout=0.1) as running, AsyncExitStack() as stack:
        deaf = [await stack.enter_async_context(raw_client(running.url, deaf=True)) for _ in range(10)]
        for each in deaf:
            each._writer.write(b"GET /page HTTP/1.1\r\n" + HOST + b"\r\n")
        await until(lambda: len(told(logged, "client dropped: it took nothing")) == 10)
        for each in deaf:
            each.listen()
            body = await each.read_all_that_comes()
            assert len(body) < len(PAGE)


class Buffer(asyncio.Transport):
    """A transport whose buffer holds `unsent` bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.unsent = 0
        self.aborted = False

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def abort(self) -> None:
        self.aborted = True

    def close(self) -> None:
        pass

    def is_closing(self) -> bool:
        return False


@pytest.mark.parametrize(
    ("sizes", "dropped"),
    [
        ([0, 0, 0, 0], False),
        ([900, 800, 700, 600], False),  # slow, but it takes something
        ([900, 900, 900, 899, 899, 899], False),
        ([900, 900, 900, 900, 900], True),
        ([900, 0, 900, 900, 900], False),  # each time something new
        ([300, 500, 700, 900, 900], True),
    ],
)
async def test_only_who_takes_nothing_at_all_is_dropped(sizes: list[int], dropped: bool) -> None:
    runner = ConnectionRunner(web.Application(), Bounds(send_timeout=3.5))
    await runner.setup()
    assert runner.server is not None
    connection, wire = runner.server(), Buffer()
    assert isinstance(connection, Connection)
    connection.connection_made(wire)
    now = asyncio.get_running_loop().time()
    for second, size in enumerate(sizes):
        wire.unsent = size
        connection.look(now + second)
    assert wire.aborted is dropped
    connection.connection_lost(None)
    await runner.cleanup()


async def taken(writer: asyncio.StreamWriter, data: bytes) -> bool:
    """Whether the server takes what is sent."""
    writer.write(data)
    try:
        await asyncio.wait_for(writer.drain(), 1.0)
    except TimeoutError:
        return False
    return True


async def test_a_client_that_asks_on_and_on_without_listening_fills_no_memory() -> None:
    async with edge(ROUTES, send_timeout=60.0) as running, raw_client(running.url, deaf=True) as deaf:
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            sent = 0
            while sent < 256 * 2**20 and await taken(deaf._writer, GET * 1000):
                sent += 1000 * len(GET)
            grown = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
        assert grown < 2 * 2**20
        assert sent < 256 * 2**20


async def test_many_connections_that_say_nothing_hold_nobody_up_and_little_memory(
    tmp_path: Path, upstream: FakeUpstream
) -> None:
    upstream.play(Reply(native.response("resp_1", "completed", [native.message("Hello")])))
    text = SERVER + 'idle_timeout = "10s"\nmax_connections = 300\n' + provider("one", upstream.url)
    async with standing(tmp_path, text) as daemon, AsyncExitStack() as stack:
        for _ in range(200):
            stack.callback((await asyncio.open_connection("127.0.0.1", port_of(daemon.url)))[1].close)
        await until(lambda: daemon.daemon.listening.connections == 200)
        assert (await daemon.post("one/gpt-test"))[0] == 200


async def test_idle_connections_are_closed_after_the_setting(tmp_path: Path, upstream: FakeUpstream) -> None:
    text = SERVER + 'idle_timeout = "50ms"\n' + provider("one", upstream.url)
    async with standing(tmp_path, text) as daemon:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(daemon.url))
        assert await reader.read() == b""
        writer.close()
        await until(lambda: daemon.daemon.listening.connections == 0)


async def test_other_bounds_hold_after_a_reload(tmp_path: Path, upstream: FakeUpstream) -> None:
    text = SERVER + provider("one", upstream.url)
    async with standing(tmp_path, text) as daemon:
        opened = [await asyncio.open_connection("127.0.0.1", port_of(daemon.url)) for _ in range(3)]
        await until(lambda: daemon.daemon.listening.connections == 3)
        become = await daemon.reload(text.replace("port = 0", "port = 0\nmax_connections = 3"))
        assert become["changed"] == ["server.max_connections"]
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(daemon.url))
        assert parse_answer(await reader.read()).error["code"] == "too_many_connections"
        for _, each in [*opened, (reader, writer)]:
            each.close()


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/models", "/nowhere"])
async def test_a_body_that_drips_ends_wherever_it_is_sent(
    tmp_path: Path, upstream: FakeUpstream, path: str
) -> None:
    text = SERVER + 'body_timeout = "100ms"\n' + provider("one", upstream.url)
    async with standing(tmp_path, text) as daemon:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(daemon.url))
        head = f"POST {path} HTTP/1.1\r\ncontent-length: 1000\r\n".encode()
        writer.write(head + HOST + b"\r\nx")
        status = int((await reader.readline()).split()[1])
        assert status == (408 if path == "/v1/responses" else 405 if path == "/v1/models" else 404)
        writer.close()
        await until(lambda: daemon.daemon.listening.connections == 0)


def port_of(url: str) -> int:
    return int(url.removesuffix("/v1").rpartition(":")[2])
