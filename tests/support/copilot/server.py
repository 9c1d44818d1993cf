"""Both halves of the fake on one port."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.support.copilot.github import GitHubHalf
from tests.support.copilot.state import State


@asynccontextmanager
async def serve(*routes: Sequence[web.RouteDef]) -> AsyncIterator[str]:
    """Serve the routes of all halves; the base URL, without a trailing slash."""
    application = web.Application(client_max_size=2**26)
    for each in routes:
        application.add_routes(each)
    server = TestServer(application)
    await server.start_server()
    try:
        yield str(server.make_url("/")).rstrip("/")
    finally:
        await server.close()


@asynccontextmanager
async def fake_github() -> AsyncIterator[tuple[GitHubHalf, str]]:
    """A GitHub alone, and its URL."""
    half = GitHubHalf(State())
    async with serve(half.routes()) as url:
        yield half, url
