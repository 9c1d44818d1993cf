"""A fake upstream: a real aiohttp server that plays scripted answers, one fault after another.

An answer is a list of steps for the body (bytes are written as they stand), or a refusal with a status:

    upstream.play(Stream(*native.text("Hello")))            # a whole stream
    upstream.play(Refusal(429, {"error": …}, {"retry-after": "2"}))
    upstream.play(Stream(*frames[:3], STALL))               # silent until the client leaves
    upstream.play(Stream(*frames[:3], CUT))                 # the connection is cut
    upstream.play(Fitting(Stream(…), Reply(…)))             # by whether the request wants a stream

Answers are used up in order; the last one stays. What was asked is in `requests`; `left` gets an entry
whenever a client left before its answer was complete. `models` is what ``GET …/models`` answers.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web
from aiohttp.test_utils import TestServer


class Fault:
    """A step that is no bytes."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


STALL: Final = Fault("STALL")
"""Say nothing more until the client leaves."""
CUT: Final = Fault("CUT")
"""Cut the connection without ending the body."""
PAUSE: Final = Fault("PAUSE")
"""Wait until the test calls `go_on`."""
TURN: Final = Fault("TURN")
"""Let the reader take what was written before going on."""


@dataclass(frozen=True)
class Stream:
    """A streamed 200 answer of `steps`."""

    steps: tuple[bytes | Fault, ...]
    headers: Mapping[str, str]

    def __init__(self, *steps: bytes | Fault, headers: Mapping[str, str] | None = None) -> None:
        object.__setattr__(self, "steps", steps)
        object.__setattr__(self, "headers", headers or {})


@dataclass(frozen=True)
class Reply:
    """A JSON answer."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Raw:
    """An answer of bytes with a content type of its own."""

    body: bytes
    content_type: str
    status: int = 200


def refusal(
    status: int, message: str = "refused", *, headers: Mapping[str, str] | None = None, **fields: Any
) -> Reply:
    """An error in OpenAI's envelope."""
    error = {"message": message, "type": "some_error", "param": None, "code": None, **fields}
    return Reply({"error": error}, status, headers or {})


@dataclass(frozen=True)
class Received:
    """One request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    raw: bytes
    peer: int = 0
    """The client's port: the same for requests on one connection."""
    query: str = ""

    @property
    def body(self) -> Any:
        """The parsed JSON body."""
        return json.loads(self.raw)


def _asks_for_a_stream(received: Received) -> bool:
    body = received.body
    return isinstance(body, dict) and body.get("stream") is True


@dataclass(frozen=True)
class Fitting:
    """`stream` for a request that `streams`, `whole` for any other."""

    stream: Stream | Reply
    whole: Stream | Reply
    streams: Callable[[Received], bool] = _asks_for_a_stream


Answer = Stream | Reply | Raw | Fault | Fitting


class FakeUpstream:
    """The server's script and record.

    `models` is the JSON, or the `Reply`, `Raw` or `Fault`, that a ``GET`` of a path gets which ends in
    `models_path`. Any other ``GET`` gets a 404, but for those in `also`, by the end of their path.
    """

    def __init__(self) -> None:
        self.requests: list[Received] = []
        self.left: asyncio.Queue[str] = asyncio.Queue()
        self.asked: asyncio.Queue[Received] = asyncio.Queue()
        self.models: Any = {"object": "list", "data": [{"id": "gpt-test", "object": "model"}]}
        self.models_path = "/models"
        self.also: dict[str, Any] = {}
        self.every: list[Received] = []  # whatever came, questions for lists among it
        self.url = ""
        self.sent = 0  # bytes of streams that were taken off our hands
        self._answers: list[Answer] = []
        self._resume = asyncio.Event()
        self._connections: Callable[[], int] = lambda: 0

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return self._connections()

    def play(self, *answers: Answer) -> None:
        """Script what the next requests get."""
        self._answers = list(answers)

    def go_on(self) -> None:
        """Release every `PAUSE`."""
        self._resume.set()

    def forget(self) -> None:
        """Drop script and record, so that another test can begin."""
        self.requests.clear()
        self.every.clear()
        self.left = asyncio.Queue()
        self.asked = asyncio.Queue()
        self._answers = []
        self._resume = asyncio.Event()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        peer = request.transport.get_extra_info("peername")[1]
        received = Received(
            request.method,
            request.path,
            dict(request.headers),
            await request.read(),
            peer,
            request.query_string,
        )
        self.every.append(received)
        if request.method == "GET" and request.path.endswith(self.models_path):
            if isinstance(self.models, Reply | Raw | Fault):
                return await self._answer(request, self.models)
            return web.json_response(self.models)
        for path, said in self.also.items():
            if request.path.endswith(path):
                return web.json_response(said)
        if request.method == "GET":
            # Providers look which server this is; no script is meant for that.
            raise web.HTTPNotFound
        self.requests.append(received)
        self.asked.put_nowait(received)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Fitting):
            answer = answer.stream if answer.streams(received) else answer.whole
        try:
            return await self._answer(request, answer)
        except (asyncio.CancelledError, ConnectionError):
            self.left.put_nowait(request.path)
            raise

    async def _answer(self, request: web.Request, answer: Stream | Reply | Raw | Fault) -> web.StreamResponse:
        if isinstance(answer, Reply):
            return web.json_response(answer.body, status=answer.status, headers=answer.headers)
        if isinstance(answer, Raw):
            return web.Response(body=answer.body, status=answer.status, content_type=answer.content_type)
        if isinstance(answer, Fault):
            return await self._misbehave(request, answer, None)
        response = web.StreamResponse(headers={"content-type": "text/event-stream", **answer.headers})
        await response.prepare(request)
        for step in answer.steps:
            if isinstance(step, Fault):
                await self._misbehave(request, step, response)
            else:
                await response.write(step)
                self.sent += len(step)
        return response

    async def _misbehave(
        self, request: web.Request, fault: Fault, response: web.StreamResponse | None
    ) -> web.StreamResponse:
        if fault is STALL:
            await asyncio.Event().wait()
        elif fault is PAUSE:
            await self._resume.wait()
        elif fault is TURN:
            for _ in range(20):
                await asyncio.sleep(0)
        elif fault is CUT:
            assert request.transport is not None
            request.transport.close()
        return response or web.Response()


@asynccontextmanager
async def fake_upstream() -> AsyncIterator[FakeUpstream]:
    """Serve a `FakeUpstream`; its `url` ends in ``/v1``."""
    upstream = FakeUpstream()
    app = web.Application(client_max_size=256 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", upstream.handle)
    server = TestServer(app)
    await server.start_server(access_log=None)
    upstream._connections = lambda: len(server.handler.connections)
    upstream.url = f"http://127.0.0.1:{server.port}/v1"
    try:
        yield upstream
    finally:
        await server.close()
