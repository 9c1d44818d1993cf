"""How connections end when the daemon does."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from maestro_daemon.config import ServerOptions
from maestro_daemon.draining import drain_text
from maestro_daemon.errors import MaestroError
from maestro_daemon.listening import Listening
from maestro_daemon.server.connections import EventStream
from maestro_daemon.service.handed import HandedSocket
from tests.support.standing import until

GET = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"


@dataclass
class Open:
    """A listening application whose answers wait until they may go on."""

    listening: Listening
    port: int
    asked: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.release()
        body = await request.read()
        await self.go_on.wait()
        return web.Response(body=b"fine" + body)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        response = EventStream()
        await response.prepare(request)
        await response.write(b"one,")
        self.asked.release()
        await self.go_on.wait()
        await response.write(b"two")
        return response

    async def late_stream(self, request: web.Request) -> web.StreamResponse:
        self.asked.release()
        await self.go_on.wait()
        response = EventStream()
        await response.prepare(request)
        await response.write(b"one")
        return response


@asynccontextmanager
async def opened() -> AsyncIterator[Open]:
    app = web.Application()
    listening = Listening(app, ServerOptions(port=0))
    made = Open(listening, 0)
    app.add_routes([web.get("/", made.answer), web.post("/", made.answer)])
    app.add_routes([web.get("/stream", made.stream), web.get("/late", made.late_stream)])
    async with listening.opened():
        made.port = int(listening.urls[0].removesuffix("/v1").rpartition(":")[2])
        yield made


async def test_an_idle_connection_is_closed_at_once() -> None:
    async with opened() as one:
        one.go_on.set()
        reader, writer = await one.connect()
        writer.write(GET)
        assert b"fine" in await reader.readuntil(b"fine")
        one.listening.end_after_answers()
        assert await reader.read() == b""
        await one.listening.deserted()
        writer.close()


@pytest.mark.parametrize("path", [b"/", b"/late"])
async def test_an_answer_under_way_says_that_it_is_the_last_one(path: bytes) -> None:
    async with opened() as one:
        reader, writer = await one.connect()
        writer.write(GET.replace(b" / ", b" %b " % path))
        await one.asked.acquire()
        one.listening.end_after_answers()
        one.go_on.set()
        head, _, _ = (await reader.read()).partition(b"\r\n\r\n")
        assert b"connection: close" in head.lower().split(b"\r\n")
        await one.listening.deserted()
        writer.close()


async def test_a_stream_under_way_goes_on_to_its_end_and_its_connection_with_it() -> None:
    async with opened() as one:
        reader, writer = await one.connect()
        writer.write(GET.replace(b" / ", b" /stream "))
        await one.asked.acquire()
        one.listening.end_after_answers()
        one.go_on.set()
        assert b"two" in await reader.read()
        await one.listening.deserted()
        writer.close()


async def test_a_body_under_way_is_read_to_its_end() -> None:
    async with opened() as one:
        one.go_on.set()
        reader, writer = await one.connect()
        writer.write(b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 6\r\n\r\nabc")
        await one.asked.acquire()
        one.listening.end_after_answers()
        writer.write(b"def")
        assert (await reader.read()).endswith(b"fineabcdef")
        writer.close()


@pytest.mark.parametrize("begun", [b"", GET[:20]])
async def test_a_client_that_has_just_connected_may_ask_once(begun: bytes) -> None:
    async with opened() as one:
        one.go_on.set()
        reader, writer = await one.connect()
        writer.write(begun)
        await until(lambda: one.listening.connections == 1)
        one.listening.end_after_answers()
        writer.write(GET[len(begun) :])
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        assert body == b"fine"
        assert b"connection: close" in head.lower().split(b"\r\n")
        writer.close()


async def test_a_client_that_asks_for_nothing_is_not_waited_for() -> None:
    async with opened() as one:
        reader, writer = await one.connect()
        await until(lambda: one.listening.connections == 1)
        one.listening.end_after_answers()
        assert one.listening.connections == 1
        one.listening.end_silent()
        assert await reader.read() == b""
        await one.listening.deserted()
        writer.close()


async def test_of_pipelined_requests_one_is_answered() -> None:
    async with opened() as one:
        reader, writer = await one.connect()
        writer.write(GET + GET)
        await one.asked.acquire()
        one.listening.end_after_answers()
        one.go_on.set()
        answers = await reader.read()
        assert answers.count(b"HTTP/1.1 200") == 1
        assert b"connection: close" in answers.lower()
        writer.close()


def test_the_line_about_the_end_says_what_is_waited_for() -> None:
    assert drain_text(0, 60.0) == "stopping"
    assert drain_text(1, 4.6) == "stopping: 1 answer may go on for up to 5 s"
    assert drain_text(2, -1.0) == "stopping: 2 answers may go on for up to 0 s"


# Sockets


async def ask(path: str) -> bytes:
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(GET)
    answer = await reader.readuntil(b"fine")
    writer.close()
    return answer


@asynccontextmanager
async def listening(options: ServerOptions, *handed: HandedSocket) -> AsyncIterator[Listening]:
    async def fine(request: web.Request) -> web.Response:
        return web.Response(text="fine")

    app = web.Application()
    app.add_routes([web.get("/", fine)])
    made = Listening(app, options, handed)
    async with made.opened():
        yield made


def options(path: Path | None = None, **more: Any) -> ServerOptions:
    return ServerOptions.model_construct(
        **{**ServerOptions().__dict__, "port": 0, "unix_socket": path, **more}
    )


async def test_a_unix_socket_is_listened_on_beside_the_address(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "http.sock"
    async with listening(options(path)) as made:
        assert made.unix_sockets == (str(path),)
        assert made.urls[0].startswith("http://127.0.0.1:")
        assert b"200 OK" in await ask(str(path))
        assert await asyncio.to_thread(lambda: path.stat().st_mode & 0o777) == 0o600
    assert not await asyncio.to_thread(path.exists)


async def test_a_unix_socket_that_nobody_listens_on_any_more_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "http.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    async with listening(options(path)):
        assert b"fine" in await ask(str(path))


async def test_a_place_that_is_taken_is_named(tmp_path: Path) -> None:
    path = tmp_path / "http.sock"
    async with listening(options(path)):
        with pytest.raises(MaestroError, match="Another program listens on"):
            async with listening(options(path)):
                pass
        assert b"fine" in await ask(str(path))
    await asyncio.to_thread(path.write_text, "no socket")
    with pytest.raises(MaestroError, match="is no socket"):
        async with listening(options(path)):
            pass
    assert await asyncio.to_thread(path.read_text) == "no socket"


async def test_sockets_that_were_handed_over_are_listened_on_and_stay(tmp_path: Path) -> None:
    path = str(tmp_path / "handed.sock")
    tcp, unix = socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_UNIX)
    unix.bind(path)
    unix.listen()
    port = tcp.getsockname()[1]
    kept = [tcp.dup(), unix.dup()]  # as systemd keeps its own
    with contextlib.ExitStack() as stack:
        for each in kept:
            stack.enter_context(each)
        async with listening(options(), HandedSocket("a", tcp), HandedSocket("b", unix)) as made:
            assert made.urls == (f"http://127.0.0.1:{port}/v1",)
            assert made.unix_sockets == (path,)
            assert b"fine" in await ask(path)
        # Nobody accepts now, and nobody is refused: who comes waits for whoever is started next.
        waiting_reader, waiting = await asyncio.open_unix_connection(path)
        also_reader, also = await asyncio.open_connection("127.0.0.1", port)
        waiting.write(GET)
        also.write(GET)
        async with listening(options(), HandedSocket("a", kept[0].dup()), HandedSocket("b", kept[1].dup())):
            assert b"fine" in await waiting_reader.readuntil(b"fine")
            assert b"fine" in await also_reader.readuntil(b"fine")
        waiting.close()
        also.close()


async def test_an_abstract_socket_is_shown_as_systemd_writes_it() -> None:
    abstract = socket.socket(socket.AF_UNIX)
    abstract.bind(f"\0maestro-test-{id(abstract)}")
    abstract.listen()
    async with listening(options(), HandedSocket("", abstract)) as made:
        assert made.unix_sockets == (f"@maestro-test-{id(abstract)}",)
