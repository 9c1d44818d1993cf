"""The clients of the benchmark: keep-alive connections on bare sockets, so that they cost little.

Every answer is awaited whole; the first one of each connection, and every paced one, is looked into.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import cast


class WrongAnswer(Exception):
    """A server under test answered with something else than the scenario's answer."""


class Client(asyncio.Protocol):
    """One connection: `send` a request, wait for the whole answer, look at its status and body."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.answer: asyncio.Future[None] | None = None
        self.begun: asyncio.Future[None] | None = None
        self.ends_at = -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not inherit from it.
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self.answer is not None and not self.answer.done():
            begin = bytes(self.received[:300])
            self.answer.set_exception(WrongAnswer(f"the connection was closed after {begin!r}"))

    def data_received(self, data: bytes) -> None:
        self.received += data
        if self.begun is not None and not self.begun.done():
            self.begun.set_result(None)
        if self.ends_at < 0:
            head_end = self.received.find(b"\r\n\r\n")
            if head_end < 0:
                return
            self.ends_at = 0
            for line in bytes(self.received[:head_end]).lower().split(b"\r\n"):
                if line.startswith(b"content-length:"):
                    self.ends_at = head_end + 4 + int(line.partition(b":")[2])
        if self.ends_at:
            whole = len(self.received) >= self.ends_at
        else:
            whole = self.received.endswith(b"\r\n0\r\n\r\n")
        if whole and self.answer is not None and not self.answer.done():
            self.answer.set_result(None)

    def send(self, request: bytes) -> asyncio.Future[None]:
        """Send `request`; the future is done when the whole answer is here."""
        self.received.clear()
        self.ends_at = -1
        self.answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return self.answer

    async def first_bytes(self, request: bytes) -> None:
        """Send `request` and return as soon as the answer has begun."""
        self.begun = asyncio.get_running_loop().create_future()
        self.send(request)
        await self.begun

    def status(self) -> int:
        return int(self.received[9:12])

    def body(self) -> bytes:
        """The body of the answer that `send` waited for, its chunks joined."""
        head_end = self.received.find(b"\r\n\r\n") + 4
        if self.ends_at:
            return bytes(self.received[head_end:])
        joined = bytearray()
        position = head_end
        while True:
            line_end = self.received.find(b"\r\n", position)
            size = int(self.received[position:line_end], 16)
            if size == 0:
                return bytes(joined)
            joined += self.received[line_end + 2 : line_end + 2 + size]
            position = line_end + 2 + size + 2

    def drop(self) -> None:
        """Go away at once, as a client does that was killed."""
        self.answer = None
        self.transport.abort()


@dataclass(frozen=True, slots=True)
class Expected:
    """What a right answer holds: `marker` exactly `times` times."""

    marker: bytes
    times: int

    def check(self, client: Client) -> None:
        body = client.body()
        found = body.count(self.marker)
        if client.status() != 200 or found != self.times:
            raise WrongAnswer(
                f"status {client.status()}, {found} of {self.times} times {self.marker!r} in {body[:500]!r}"
            )


def http_request(port: int, path: str, body: bytes | None = None) -> bytes:
    """A whole HTTP request as a client's library sends it."""
    if body is None:
        return f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\r\n".encode()
    head = (
        f"POST {path} HTTP/1.1\r\n"
        f"host: 127.0.0.1:{port}\r\n"
        "accept: application/json\r\n"
        "accept-encoding: identity\r\n"
        "authorization: Bearer sk-benchmark\r\n"
        "content-type: application/json\r\n"
        f"content-length: {len(body)}\r\n"
        "user-agent: OpenAI/Python 3.51.0\r\n"
        "x-stainless-lang: python\r\n\r\n"
    )
    return head.encode() + body


async def connect(port: int) -> Client:
    _, client = await asyncio.get_running_loop().create_connection(Client, "127.0.0.1", port)
    return client


async def ask(port: int, path: str, body: bytes | None = None) -> bytes:
    """One request on a connection of its own; returns the body of a 200. Raises `WrongAnswer`, `OSError`."""
    client = await connect(port)
    try:
        await client.send(http_request(port, path, body))
        if client.status() != 200:
            raise WrongAnswer(f"{path}: status {client.status()}: {client.body()[:500]!r}")
        return client.body()
    finally:
        client.transport.close()


@dataclass(frozen=True, slots=True)
class Load:
    """`clients` that each send `body` to `path` again and again for `seconds`, or once if that is 0."""

    path: str
    body: bytes
    clients: int
    seconds: float
    expected: Expected

    async def run(self, port: int) -> tuple[int, float]:
        """Returns how many answers came, and in how many seconds."""
        request = http_request(port, self.path, self.body)
        connections = [await connect(port) for _ in range(self.clients)]
        began = time.perf_counter()

        async def one(client: Client) -> int:
            answers = 0
            while answers == 0 or time.perf_counter() - began < self.seconds:
                await client.send(request)
                if answers == 0:
                    self.expected.check(client)
                answers += 1
            return answers

        try:
            async with asyncio.timeout(self.seconds + 60):
                counts = await asyncio.gather(*map(one, connections))
        finally:
            for client in connections:
                client.transport.close()
        return sum(counts), time.perf_counter() - began
