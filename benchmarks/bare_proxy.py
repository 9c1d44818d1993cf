"""The yardstick: ``python benchmarks/bare_proxy.py PORT UPSTREAM``, a proxy that only passes bytes on.

As fast as aiohttp lets one write it within its public interface: uvloop, one session without a limit, no
decoding, no log, each read written once. It knows nothing of models, events or failures.
"""

from __future__ import annotations

import sys

import aiohttp
import uvloop
from aiohttp import hdrs, web

UPSTREAM = web.AppKey("UPSTREAM", str)
SESSION = web.AppKey("SESSION", aiohttp.ClientSession)
HOP = {
    name.lower()
    for name in (
        hdrs.HOST,
        hdrs.CONNECTION,
        hdrs.KEEP_ALIVE,
        hdrs.TRANSFER_ENCODING,
        hdrs.CONTENT_LENGTH,
        hdrs.UPGRADE,
        hdrs.TE,
        hdrs.TRAILER,
    )
}


async def pass_on(request: web.Request) -> web.StreamResponse:
    headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP}
    body = await request.read()
    upstream = request.app[SESSION].request(
        request.method, request.app[UPSTREAM] + request.raw_path, data=body, headers=headers
    )
    async with upstream as answer:
        passed = {name: value for name, value in answer.headers.items() if name.lower() not in HOP}
        if answer.content_length is not None:
            return web.Response(status=answer.status, headers=passed, body=await answer.read())
        response = web.StreamResponse(status=answer.status, headers=passed)
        await response.prepare(request)
        async for piece in answer.content.iter_any():
            await response.write(piece)
        await response.write_eof()
        return response


async def make_app(upstream: str) -> web.Application:
    app = web.Application(client_max_size=64 * 2**20)
    app[UPSTREAM] = upstream
    app[SESSION] = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=None),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
    )

    async def close(app: web.Application) -> None:
        await app[SESSION].close()

    app.on_cleanup.append(close)
    app.router.add_route("*", "/{path:.*}", pass_on)
    return app


if __name__ == "__main__":
    web.run_app(
        make_app(sys.argv[2]),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        access_log=None,
        handler_cancellation=True,
        print=None,
        loop=uvloop.new_event_loop(),
    )
