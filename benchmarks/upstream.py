"""The upstream of the benchmark: ``python benchmarks/upstream.py PORT``, answers as `traffic.Shape` says.

Written on bare sockets, so that it leaves the cores to what is measured.

``POST /v1/responses`` and ``POST /v1/chat/completions`` answer by shape; ``GET /v1/models`` lists none.
``GET /seen/TAG`` waits until a request with that tag is here, ``GET /closed/TAG`` until its connection was
closed by the other side; both answer with the time of it, in seconds of the monotonic clock, which all
processes of a machine share.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from functools import cache
from typing import cast

import uvloop
from traffic import Script, Shape, chat_script, compact, native_script, response

PACE = 0.010
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\ncontent-type: text/plain\r\ncontent-length: 9\r\n\r\nnot found"
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
phases = itertools.cycle(number / 16 for number in range(16))
moments: dict[str, asyncio.Future[float]] = {}


@cache
def script(path: bytes, count: int) -> Script:
    """The answer with `count` deltas in the dialect of `path`."""
    make = chat_script if path.endswith(b"/chat/completions") else native_script
    return make("bench-model", count)


@cache
def json_answer() -> bytes:
    return json_reply(compact(response("bench-model", "completed", "A proxy adds little. " * 20)))


def json_reply(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
        len(body),
        body,
    )


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Connection(asyncio.Protocol):
    """One keep-alive connection: one request at a time, its body by content-length."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.tag = ""
        self.timer: asyncio.TimerHandle | None = None
        self.waiting: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not inherit from it.
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self.timer is not None:
            self.timer.cancel()
        if self.waiting is not None:
            self.waiting.cancel()
        if self.tag:
            moment("closed/" + self.tag).set_result(time.monotonic())

    def data_received(self, data: bytes) -> None:
        self.received += data
        while (end := self.received.find(b"\r\n\r\n")) >= 0:
            head = bytes(self.received[:end])
            length = 0
            for line in head.split(b"\r\n")[1:]:
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
                elif name.lower() == b"transfer-encoding":
                    raise ValueError("this upstream reads bodies with a content-length only")
            if len(self.received) < end + 4 + length:
                return
            body = self.received[end + 4 : end + 4 + length]
            del self.received[: end + 4 + length]
            method, path, _ = head.split(b" ", 2)
            self.answer(method, path, body)

    def answer(self, method: bytes, path: bytes, body: bytearray) -> None:
        if method == b"GET" and path.startswith((b"/seen/", b"/closed/")):
            self.waiting = asyncio.create_task(self.tell(path.decode().removeprefix("/")))
        elif method == b"GET" and path.endswith(b"/models"):
            self.transport.write(json_reply(compact({"object": "list", "data": []})))
        elif method == b"POST" and path.endswith((b"/responses", b"/chat/completions")):
            self.serve(Shape.of(body), path)
        else:
            self.transport.write(NOT_FOUND)

    def serve(self, shape: Shape, path: bytes) -> None:
        self.tag = shape.tag
        if shape.tag:
            moment("seen/" + shape.tag).set_result(time.monotonic())
        match shape.name:
            case "json":
                self.transport.write(json_answer())
            case "burst":
                frames = script(path, shape.count)
                # A chunk per event, as servers send them, all here before the reader looks.
                chunks = map(chunk, (frames.opening, *frames.deltas, frames.closing))
                self.transport.write(STREAM_HEAD + b"".join(chunks) + b"0\r\n\r\n")
            case "paced":
                frames = script(path, shape.count)
                self.transport.write(STREAM_HEAD + chunk(frames.opening))
                # Streams of many users do not tick together.
                start = asyncio.get_running_loop().time() + PACE * next(phases)
                self.next_delta(frames, 0, start)
            case "silent":
                self.transport.write(STREAM_HEAD + chunk(script(path, 0).opening))
            case "mute":
                pass
            case unknown:
                raise ValueError(f"no shape {unknown}")

    def next_delta(self, frames: Script, number: int, start: float) -> None:
        if number == len(frames.deltas):
            self.transport.write(chunk(frames.closing) + b"0\r\n\r\n")
            return
        self.transport.write(chunk(frames.deltas[number]))
        self.timer = asyncio.get_running_loop().call_at(
            start + PACE * (number + 1), self.next_delta, frames, number + 1, start
        )

    async def tell(self, name: str) -> None:
        self.transport.write(json_reply(compact({"at": await moment(name)})))


def moment(name: str) -> asyncio.Future[float]:
    """When ``seen/TAG`` or ``closed/TAG`` came true, once it does."""
    return moments.setdefault(name, asyncio.get_running_loop().create_future())


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", port, backlog=512)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
