"""The front door without a router behind it: real sockets, and HTTP written by hand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from maestro_daemon.server.access import Access
from maestro_daemon.server.connections import Bounds, ConnectionRunner
from maestro_daemon.server.front_door import FRONT_DOOR, FrontDoor
from maestro_daemon.server.paths import websocket_routes
from maestro_daemon.server.refusals import Refusals


@dataclass(frozen=True)
class Answer:
    """An HTTP answer taken apart."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> dict[str, Any]:
        """The error of the envelope; fails unless it is OpenAI's, whole and alone."""
        document = json.loads(self.body)
        assert set(document) == {"error"}
        assert set(document["error"]) == {"message", "type", "param", "code"}
        assert isinstance(document["error"]["message"], str)
        assert self.headers["content-type"].startswith("application/json")
        assert self.headers["x-request-id"]
        error: dict[str, Any] = document["error"]
        return error


def parse_answer(raw: bytes) -> Answer:
    """Read one answer with a content-length, or without a body."""
    head, _, body = raw.partition(b"\r\n\r\n")
    status_line, *lines = head.decode().split("\r\n")
    headers = {}
    for line in lines:
        name, _, value = line.partition(": ")
        headers[name.lower()] = value
    return Answer(int(status_line.split()[1]), headers, body)


@dataclass(frozen=True)
class Edge:
    """A running front door."""

    port: int

    @property
    def url(self) -> str:
        """Its base URL, without a path."""
        return f"http://127.0.0.1:{self.port}"

    async def raw(self, sent: bytes, *, close_sending: bool = False) -> bytes:
        """Send bytes on a new connection and read until the server closes it."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(sent)
            await writer.drain()
            if close_sending:
                writer.write_eof()
            return await reader.read()
        finally:
            writer.close()

    async def ask(
        self, method: str, path: str, *headers: str, body: bytes = b"", version: str = "1.1"
    ) -> Answer:
        """One request, its headers as lines; ``connection: close`` and a length are added."""
        lines = [f"{method} {path} HTTP/{version}", *headers, "connection: close"]
        if not any(line.lower().startswith("host:") for line in headers):
            lines.append("host: localhost")
        if body:
            lines.append(f"content-length: {len(body)}")
        head = "\r\n".join(lines).encode("utf-8", "surrogateescape")
        return parse_answer(await self.raw(head + b"\r\n\r\n" + body))


@asynccontextmanager
async def edge(
    routes: Iterable[web.RouteDef] = (),
    *,
    access: Access | None = None,
    configure: Callable[[web.Application], None] | None = None,
    **bounds: Any,
) -> AsyncIterator[Edge]:
    """Serve `routes` behind all that stands around every handler."""
    app = web.Application()
    app[FRONT_DOOR] = FrontDoor((access or Access({})).admitted, Refusals(), {})
    app.add_routes(websocket_routes())
    app.add_routes(routes)
    if configure is not None:
        configure(app)
    runner = ConnectionRunner(app, Bounds(**bounds))
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield Edge(site.port)
    finally:
        await runner.cleanup()
