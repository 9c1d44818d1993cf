"""A fake Messages API: a real aiohttp server, as strict with requests as the real one, with scripted answers.

    api.play(Answer(thinking("Hm."), text("Hello")), Refused(529, "overloaded_error", "Overloaded"))

Answers are used up in order; the last one stays. `requests` holds what was asked, also what was refused.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web
from aiohttp.test_utils import TestServer

from request_rules import Refusal, check_request
from scripted_answers import (
    Page,
    Refused,
    Script,
    message_of,
    signature_of,
    stream_of,
)

KEY: Final = "sk-ant-api03-secret-key-of-the-tests"


@dataclass(frozen=True)
class Received:
    """One request as it came."""

    headers: Mapping[str, str]
    body: dict[str, Any]


class MessagesAPI:
    """The server's script and record."""

    def __init__(self) -> None:
        self.requests: list[Received] = []
        self.questions: list[str] = []
        self.left: asyncio.Queue[str] = asyncio.Queue()
        self.models: Any = [model_entry("claude-test")]
        self.page = 1000
        self.models_fail = False
        self.bearer = False
        self.url = ""
        self._answers: list[Script] = []

    def play(self, *answers: Script) -> None:
        """Script what the next accepted requests get."""
        self._answers = list(answers)

    @property
    def bodies(self) -> Sequence[dict[str, Any]]:
        """The bodies of all requests."""
        return [request.body for request in self.requests]

    def entry(self, model: str) -> dict[str, Any] | None:
        """What the list of models says of one."""
        return next((entry for entry in self.models if _id(entry) == model), None)

    async def messages(self, request: web.Request) -> web.StreamResponse:
        """``POST /v1/messages``."""
        try:
            self._authenticate(request)
            body = json.loads(await request.read())
            self.requests.append(Received(dict(request.headers), body))
            check_request(
                body,
                version=request.headers.get("anthropic-version", ""),
                facts=self.entry(body.get("model", "")),
                signature_of=signature_of,
            )
        except Refusal as refusal:
            return _error(refusal.status, refusal.type, str(refusal))
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        try:
            return await self._answer(request, body, answer)
        except (asyncio.CancelledError, ConnectionError):
            self.left.put_nowait(request.path)
            raise

    async def list_models(self, request: web.Request) -> web.StreamResponse:
        """``GET /v1/models``, paginated."""
        return self._listed(request, self._page)

    async def one_model(self, request: web.Request) -> web.StreamResponse:
        """``GET /v1/models/{id}``."""
        return self._listed(request, self._one)

    def _listed(self, request: web.Request, answer: Any) -> web.StreamResponse:
        self.questions.append(request.path_qs)
        try:
            self._authenticate(request)
            if self.models_fail:
                raise Refusal("Internal server error", status=500, type="api_error")
            return web.json_response(answer(request))
        except Refusal as refusal:
            return _error(refusal.status, refusal.type, str(refusal))

    def _page(self, request: web.Request) -> Any:
        if not isinstance(self.models, list):
            return self.models
        ids = [_id(entry) for entry in self.models]
        after = request.query.get("after_id")
        start = ids.index(after) + 1 if after is not None else 0
        size = min(self.page, int(request.query.get("limit", "20")))
        data = self.models[start : start + size]
        return {
            "data": data,
            "has_more": start + size < len(self.models),
            "first_id": _id(data[0]) if data else None,
            "last_id": _id(data[-1]) if data else None,
        }

    def _one(self, request: web.Request) -> dict[str, Any]:
        entry = self.entry(request.match_info["id"])
        if entry is None:
            raise Refusal(f"model: {request.match_info['id']}", status=404, type="not_found_error")
        return entry

    def _authenticate(self, request: web.Request) -> None:
        shown = request.headers.get("x-api-key")
        if shown is None:
            shown = request.headers.get("authorization", "").removeprefix("Bearer ")
        if shown != KEY:
            raise Refusal("invalid x-api-key", status=401, type="authentication_error")
        if not request.headers.get("anthropic-version"):
            raise Refusal("anthropic-version: header is required")

    async def _answer(self, request: web.Request, body: dict[str, Any], answer: Script) -> web.StreamResponse:
        if isinstance(answer, Refused):
            return _error(answer.status, answer.type, answer.message, answer.headers)
        if isinstance(answer, Page):
            return web.Response(body=answer.body, status=answer.status, content_type=answer.content_type)
        headers = {"request-id": "req_01", **answer.headers}
        if answer.whole or body.get("stream") is not True:
            return web.json_response(message_of(answer, body["model"]), headers=headers)
        response = web.StreamResponse(headers={"content-type": "text/event-stream; charset=utf-8", **headers})
        await response.prepare(request)
        said = stream_of(answer, body["model"])
        size = answer.size or len(said)
        for at in range(0, len(said), size):
            await response.write(said[at : at + size])
        if answer.stall:
            await asyncio.Event().wait()
        if answer.cut:
            assert request.transport is not None
            request.transport.close()
        return response


def _id(entry: Any) -> Any:
    return entry.get("id") if isinstance(entry, dict) else None


def model_entry(id: str, **changes: Any) -> dict[str, Any]:
    """An entry of the list of models: one that may think adaptively, and need not."""
    yes, no = {"supported": True}, {"supported": False}
    capabilities = {
        "batch": yes,
        "image_input": yes,
        "pdf_input": yes,
        "structured_outputs": yes,
        "effort": {"supported": True, "low": yes, "medium": yes, "high": yes, "max": yes, "xhigh": no},
        "thinking": {
            "supported": True,
            "types": {"adaptive": yes, "enabled": no, "disabled": yes, "between_tools": no},
        },
    }
    return {
        "type": "model",
        "id": id,
        "display_name": f"Claude {id}",
        "created_at": "2026-05-01T00:00:00Z",
        "lifecycle": "active",
        "max_input_tokens": 1_000_000,
        "max_tokens": 64_000,
        "capabilities": {**capabilities, **changes},
    }


def thinking_of(*, adaptive: bool, enabled: bool, disabled: bool) -> dict[str, Any]:
    """The ``thinking`` of a model's capabilities."""
    kinds = {"adaptive": adaptive, "enabled": enabled, "disabled": disabled, "between_tools": False}
    types = {kind: {"supported": able} for kind, able in kinds.items()}
    return {"thinking": {"supported": adaptive or enabled, "types": types}}


def _error(
    status: int, type: str, message: str, headers: Mapping[str, str] | None = None
) -> web.StreamResponse:
    body = {"type": "error", "error": {"type": type, "message": message}, "request_id": "req_01"}
    return web.json_response(body, status=status, headers=headers)


@asynccontextmanager
async def messages_api() -> AsyncIterator[MessagesAPI]:
    """Serve a `MessagesAPI`; its `url` ends in ``/v1``."""
    api = MessagesAPI()
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_post("/v1/messages", api.messages)
    app.router.add_get("/v1/models", api.list_models)
    app.router.add_get("/v1/models/{id}", api.one_model)
    server = TestServer(app)
    await server.start_server()
    api.url = f"http://127.0.0.1:{server.port}/v1"
    try:
        yield api
    finally:
        await server.close()
