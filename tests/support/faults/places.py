"""The addresses of a plan's targets: real sockets, at which a fault is met or a whole answer is given."""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Final

import trustme

from tests.support.faults.table import Fault, Place
from tests.support.faults.wording import WHOLE, Wording
from tests.support.raw_upstream import CLOSE, RawUpstream, Step, held_port, raw_upstream

NOWHERE: Final = "nowhere.invalid"
"""A host that no resolver knows; `no_such_names` answers for the system's."""
_NO_HTTP: Final = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
"""What an HTTP server says to the beginning of a TLS handshake."""


@dataclass(frozen=True)
class Spot:
    """Where a target is. `server` is what stands there, if anything does."""

    url: str
    server: RawUpstream | None = None


@asynccontextmanager
async def spot(name: str, fault: Fault | None, wording: Wording, asked: list[str]) -> AsyncIterator[Spot]:
    """The place of `fault` (None: nothing is wrong there); a request that arrives adds `name` to `asked`."""
    place = Place.SERVER if fault is None else fault.place
    if place is Place.NOBODY:
        with held_port() as port:
            yield Spot(f"http://127.0.0.1:{port}/v1")
    elif place is Place.FULL:
        with _full() as port:
            yield Spot(f"http://127.0.0.1:{port}/v1")
    elif place is Place.NO_NAME:
        yield Spot(f"http://{NOWHERE}/v1")
    else:
        tls = await asyncio.to_thread(_untrusted) if place is Place.UNTRUSTED else None
        script: list[Step] = wording.script(WHOLE if fault is None else fault.recipe)
        if place is Place.NO_TLS:
            script = [_NO_HTTP, CLOSE]
        async with raw_upstream(script, asked=functools.partial(asked.append, name), tls=tls) as server:
            url = server.url
            if place is Place.NO_TLS:
                url = url.replace("http:", "https:")
            yield Spot(url, server)


@contextmanager
def no_such_names() -> Iterator[None]:
    """On the running loop, looking for `NOWHERE` fails at once, as with a resolver that was asked."""
    loop: Any = asyncio.get_running_loop()
    ask = loop.getaddrinfo

    async def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host == NOWHERE:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return await ask(host, *args, **kwargs)

    loop.getaddrinfo = getaddrinfo
    try:
        yield
    finally:
        del loop.getaddrinfo


@contextmanager
def _full() -> Iterator[int]:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen(0)
        waiting: Sequence[socket.socket] = [socket.socket() for _ in range(3)]
        try:
            for each in waiting:
                each.setblocking(False)
                each.connect_ex(held.getsockname())
            yield held.getsockname()[1]
        finally:
            for each in waiting:
                each.close()


@functools.cache
def _untrusted() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    return context
