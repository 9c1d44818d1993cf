"""A native upstream that answers each request with words of its own, and may die."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.support import native


class AnsweringUpstream:
    """Every answer is one message that nobody else says: ``<name> says <number>``."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.url = ""
        self.asked: list[Any] = []
        self._server: TestServer | None = None

    async def start(self) -> None:
        """Listen on a port of its own."""
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/v1/responses", self._answer)
        self._server = TestServer(app)
        await self._server.start_server()
        self.url = f"http://127.0.0.1:{self._server.port}/v1"

    async def die(self) -> None:
        """Stop listening; connections are refused from now on."""
        if self._server is not None:
            await self._server.close()
            self._server = None

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.asked.append(body)
        text = f"{self.name} says {len(self.asked)}"
        id = f"msg_{self.name}_{len(self.asked)}"
        if body.get("stream"):
            frames = native.frames(native.events(native.message_events([text], id=id)))
            return web.Response(body=b"".join(frames), content_type="text/event-stream")
        output = [native.message(text, id)]
        return web.json_response(native.response(f"resp_{id}", "completed", output))


@asynccontextmanager
async def answering_upstreams(*names: str) -> AsyncIterator[dict[str, AnsweringUpstream]]:
    """Serve one for each name."""
    upstreams = {name: AnsweringUpstream(name) for name in names}
    try:
        for upstream in upstreams.values():
            await upstream.start()
        yield upstreams
    finally:
        for upstream in upstreams.values():
            await upstream.die()
