"""The fake's Copilot half: its catalogue and both dialects, as hostile as the real one is said to be.

    async with fake_copilot() as fake:
        fake.copilot.play((Think(), Call("add", "{}")), (Say("Done."),))      # the next answers
        fake.copilot.faults = [Refused(429, "…", headers={"retry-after": "7200"})]   # what comes before them

Turns are used up, the last one stays; a fault takes the place of one answer. What was asked is in `requests`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from tests.support import native
from tests.support.copilot.catalogues import OFFER
from tests.support.copilot.chat_half import ChatHalf
from tests.support.copilot.github import GitHubHalf
from tests.support.copilot.native_half import NativeHalf
from tests.support.copilot.refusing import Refused
from tests.support.copilot.server import serve
from tests.support.copilot.state import State
from tests.support.copilot.turns import Say, Turn


@dataclass(frozen=True)
class Received:
    """One request for an answer; `headers` by lower-case name, `peer` the same for one connection."""

    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]
    peer: int

    @property
    def initiator(self) -> str | None:
        return self.headers.get("x-initiator")


@dataclass(frozen=True)
class Cut:
    """Break the connection after so many records of the stream."""

    after: int


@dataclass(frozen=True)
class Stall:
    """Say nothing more after so many records of the stream, until the client leaves."""

    after: int


class CopilotHalf:
    """The server's script and record.

    `tokens_end_after` are the numbers of answers behind each of which no token is good any more.
    `catalogue` is what ``GET /models`` lists, `catalogue_faults` what the next questions for it get,
    `catalogue_held` what they wait for;
    `as_text` calls JSON ``text/plain``. `served_at` has the endpoints of models that it lists wrongly.
    """

    def __init__(self, state: State) -> None:
        self.state = state
        self.native = NativeHalf()
        self.chat = ChatHalf()
        self.catalogue: Any = {"object": "list", "data": list(OFFER)}
        self.catalogue_faults: list[Refused] = []
        self.catalogue_held: asyncio.Event | None = None
        self.catalogue_asked = asyncio.Event()
        self.catalogue_reads: list[Mapping[str, str]] = []
        self.faults: list[Refused | Cut | Stall] = []
        self.left: asyncio.Queue[str] = asyncio.Queue()
        self.requests: list[Received] = []
        self.as_text = False
        self.tokens_end_after: set[int] = set()
        self.answers = 0
        self.quota_header = "ent=300&ov=0.0&ovPerm=false&rem=41.5&rst=2026-12-01T00%3A00%3A00Z"
        self._turns: list[Turn] = [(Say("Hi"),)]
        self.served_at: dict[str, tuple[str, ...]] = {}

    def forget(self) -> None:
        """Drop script and record, so that another test can begin; no ciphertext of before can be read."""
        self.native = NativeHalf()
        self.chat = ChatHalf()
        self.requests.clear()
        self.faults = []
        self._turns = [(Say("Hi"),)]

    def play(self, *turns: Turn) -> None:
        """Script what the model does."""
        self._turns = list(turns)

    def routes(self) -> list[web.RouteDef]:
        """What the half serves."""
        return [
            web.get("/models", self._models),
            web.post("/responses", self._responses),
            web.post("/chat/completions", self._completions),
        ]

    async def _models(self, request: web.Request) -> web.Response:
        self.catalogue_reads.append({name.lower(): value for name, value in request.headers.items()})
        self.catalogue_asked.set()
        if self.catalogue_held is not None:
            await self.catalogue_held.wait()
        try:
            self._check_caller(request)
            if self.catalogue_faults:
                raise self.catalogue_faults.pop(0)
        except Refused as refused:
            return refused.response()
        body = json.dumps(self.catalogue).encode()
        etag = f'W/"{hash(body)}"'
        if request.headers.get("if-none-match") == etag:
            return web.Response(status=304, headers={"etag": etag})
        return web.Response(body=body, content_type="application/json", headers={"etag": etag})

    async def _responses(self, request: web.Request) -> web.StreamResponse:
        try:
            received, model, cut = await self._admitted(request, "/responses")
            self.native.check(received.body, received.peer, model)
        except Refused as refused:
            return refused.response()
        turn = self._next()
        streams = received.body.get("stream") and model["capabilities"]["supports"].get("streaming", True)
        if received.body.get("stream") and not streams:
            return Refused(400, "streaming is not supported", code="invalid_request_body").response()
        if not streams:
            return self._json(self.native.whole(turn, received.peer))
        frames = native.frames(self.native.events(turn, received.peer))
        return await self._stream(request, frames, cut)

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        try:
            received, model, cut = await self._admitted(request, "/chat/completions")
            self.chat.check(received.body, model)
        except Refused as refused:
            return refused.response()
        turn = self._next()
        if not received.body.get("stream"):
            return self._json(self.chat.chunks(turn, whole=True)[0])
        return await self._stream(request, self.chat.frames(turn), cut)

    async def _admitted(
        self, request: web.Request, path: str
    ) -> tuple[Received, dict[str, Any], Cut | Stall | None]:
        assert request.transport is not None
        headers = {name.lower(): value for name, value in request.headers.items()}
        peer = request.transport.get_extra_info("peername")[1]
        received = Received(path, headers, await request.json(), peer)
        self.requests.append(received)
        self._check_caller(request)
        cut: Cut | Stall | None = None
        if self.faults:
            fault = self.faults.pop(0)
            if isinstance(fault, Refused):
                raise fault
            cut = fault
        name = received.body["model"]
        entries = self.catalogue["data"] if isinstance(self.catalogue, dict) else []
        found = [each for each in entries if isinstance(each, dict) and each.get("id") == name]
        if not found:
            raise Refused(
                400, "The requested model is not supported.", code="model_not_supported", param="model"
            )
        endpoints = self.served_at.get(name) or found[0].get("supported_endpoints", ["/chat/completions"])
        if path not in endpoints:
            said = f"model {name} is not accessible via the {path} endpoint"
            raise Refused(400, said, code="unsupported_api_for_model")
        said = json.dumps(received.body.get("input") or received.body.get("messages"))
        shown = '"type": "input_image"' in said or '"type": "image_url"' in said
        if shown and headers.get("copilot-vision-request") != "true":
            raise Refused(400, "missing required Copilot-Vision-Request header for vision requests")
        return received, found[0], cut

    def _check_caller(self, request: web.Request) -> None:
        if self.state.copilot_user(request.headers.get("authorization")) is None:
            raise Refused(401, "unauthorized: token expired", shape="text", content_type="text/plain")
        if "editor-version" not in request.headers:
            raise Refused(
                400,
                "bad request: missing Editor-Version header for IDE auth",
                shape="text",
                content_type="text/plain",
            )

    def _next(self) -> Turn:
        self.answers += 1
        if self.answers in self.tokens_end_after:
            self.state.revoke_copilot_tokens()
        return self._turns.pop(0) if len(self._turns) > 1 else self._turns[0]

    def _headers(self) -> dict[str, str]:
        return {"x-quota-snapshot-premium_interactions": self.quota_header, "x-github-request-id": "AB:CD"}

    def _json(self, body: Any) -> web.Response:
        kind = "text/plain" if self.as_text else "application/json"
        return web.Response(body=json.dumps(body).encode(), content_type=kind, headers=self._headers())

    async def _stream(
        self, request: web.Request, frames: list[bytes], cut: Cut | Stall | None
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream", **self._headers()})
        await response.prepare(request)
        for place, frame in enumerate(frames):
            if isinstance(cut, Cut) and place == cut.after:
                assert request.transport is not None
                request.transport.abort()
                return response
            if cut is not None and place == cut.after:
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    self.left.put_nowait(request.path)
                    raise
            await response.write(frame)
        return response


@dataclass(frozen=True)
class Fake:
    """Both halves, what they share, and their URL."""

    github: GitHubHalf
    copilot: CopilotHalf
    state: State
    url: str


@asynccontextmanager
async def fake_copilot() -> AsyncIterator[Fake]:
    """Serve a GitHub and its Copilot."""
    state = State()
    github, copilot = GitHubHalf(state), CopilotHalf(state)
    async with serve(github.routes(), copilot.routes()) as url:
        yield Fake(github, copilot, state, url)
