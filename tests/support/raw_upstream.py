"""A fake upstream below HTTP: each connection plays its own steps of bytes and silences.

    async with raw_upstream([READ, b"HTTP/1.1 200 OK\\r\\n…", CLOSE], [CLOSE]) as upstream: …

The first connection plays the first script, and so on; the last one is played again and again. A script may
be a function of the request: what it gives is played once that has been read.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from maestro_daemon.testing.held_port import held_port, shared_socket


class Act:
    """A step that is no bytes."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


READ: Final = Act("READ")
"""Read one whole request."""
CLOSE: Final = Act("CLOSE")
"""Close the connection."""
RESET: Final = Act("RESET")
"""Close it with a TCP reset."""
STALL: Final = Act("STALL")
"""Say nothing until the client closes."""
DEAF: Final = Act("DEAF")
"""Read nothing at all until the test ends."""


@dataclass(frozen=True)
class Slowly:
    """A step: each piece is followed by a silence of `pause` seconds."""

    pieces: tuple[bytes, ...]
    pause: float


Step = bytes | Act | Slowly
Script = Sequence[Step] | Callable[[bytes], Sequence[Step]]


def answer(body: bytes = b"{}", status: str = "200 OK", **headers: str) -> bytes:
    """A whole HTTP answer."""
    given = {"content-type": "application/json", "content-length": str(len(body))}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + body


STREAM_HEAD: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
)


def chunks(pieces: Iterable[bytes], *, end: bool = True) -> bytes:
    """Pieces of a body in chunked framing; without `end` more is to come."""
    framed = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces if piece)
    return framed + (b"0\r\n\r\n" if end else b"")


class RawUpstream:
    """The record of a running one; `url` ends in ``/v1``."""

    def __init__(self, scripts: Sequence[Script], asked: Callable[[], object]) -> None:
        self.url = ""
        self.requests: list[bytes] = []
        self.connections = 0
        self.left: asyncio.Queue[int] = asyncio.Queue()
        self.open: set[asyncio.StreamWriter] = set()
        self._nobody = asyncio.Event()
        self._scripts = list(scripts)
        self._asked = asked
        self._over = asyncio.Event()
        self._listening: socket.socket | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def listen(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        """Take connections at `port` of 127.0.0.1, which may be held by a socket of its own (`held_port`)."""
        self._listening = sock = shared_socket(port)
        sock.setblocking(False)
        sock.listen(100)
        asyncio.get_running_loop().add_reader(sock, self._accept, sock, tls)

    def refuse(self) -> None:
        """Take no more connections; those that are open go on."""
        # Not asyncio's server, nor its sock_accept: ended in the middle of accepting, they lose sockets.
        if self._listening is not None:
            asyncio.get_running_loop().remove_reader(self._listening)
            self._listening.close()
            self._listening = None

    async def aclose(self) -> None:
        """Take no more connections, and end those that are open."""
        self.refuse()
        await asyncio.sleep(0)  # what was accepted just now is begun, so that it can be ended
        self.end()
        for writer in tuple(self.open):
            writer.transport.abort()
        for task in tuple(self._tasks):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def _accept(self, sock: socket.socket, tls: ssl.SSLContext | None) -> None:
        try:
            connection, _ = sock.accept()
        except (BlockingIOError, ConnectionError):  # whoever came has left
            return
        connection.setblocking(False)
        task = asyncio.create_task(self._take(connection, tls))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _take(self, connection: socket.socket, tls: ssl.SSLContext | None) -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=2**26)
        protocol = asyncio.StreamReaderProtocol(reader)
        try:
            transport, _ = await loop.connect_accepted_socket(lambda: protocol, connection, ssl=tls)
        except BaseException as error:
            connection.close()
            if isinstance(error, OSError):  # a handshake that failed
                return
            raise
        await self.serve(reader, asyncio.StreamWriter(transport, protocol, reader, loop))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        script = self._scripts[min(self.connections, len(self._scripts) - 1)]
        self.connections += 1
        try:
            if not callable(script):
                with self._busy(writer):
                    for step in script:
                        await self._play(step, reader, writer)
            while callable(script) and not writer.is_closing():
                request = await _request(reader)
                with self._busy(writer):
                    self._asked()
                    for step in script(request):
                        await self._play(step, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            self.left.put_nowait(self.connections)
        finally:
            with suppress(ConnectionError):
                writer.close()

    @contextmanager
    def _busy(self, writer: asyncio.StreamWriter) -> Iterator[None]:
        self.open.add(writer)
        self._nobody.clear()
        try:
            yield
        finally:
            self.open.discard(writer)
            if not self.open:
                self._nobody.set()

    async def _play(self, step: Step, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if isinstance(step, bytes):
            writer.write(step)
            await writer.drain()
        elif isinstance(step, Slowly):
            for piece in step.pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(step.pause)
        elif step is READ:
            self.requests.append(await _request(reader))
            self._asked()
        elif step is CLOSE:
            writer.close()
        elif step is RESET:
            writer.transport.abort()
        elif step is DEAF:
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            await self._over.wait()
        else:
            if await reader.read():
                raise AssertionError("the client went on talking")
            self.left.put_nowait(self.connections)

    async def deserted(self) -> None:
        """Wait until no connection is open; one that waits for its next request counts as none."""
        if self.open:
            await self._nobody.wait()

    def end(self) -> None:
        """Let every `DEAF` connection go."""
        self._over.set()


async def _request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    return head + await reader.readexactly(length)


@asynccontextmanager
async def raw_upstream(
    *scripts: Script,
    asked: Callable[[], object] = lambda: None,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[RawUpstream]:
    """Serve the scripts on a free port of 127.0.0.1; `asked` is called for each whole request."""
    upstream = RawUpstream(scripts, asked)
    with held_port() as port:
        upstream.url = f"http{'s' if tls else ''}://127.0.0.1:{port}/v1"
        upstream.listen(port, tls)
        try:
            yield upstream
        finally:
            await upstream.aclose()
