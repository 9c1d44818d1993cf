"""A native upstream whose ciphertext only the account that minted it can read again: a real aiohttp server.

As OpenAI does, it refuses a request with any other's, and one whose ciphertext comes back under another item
id. The account is that of the API key, of which it may have several.
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.support import native


class SealingUpstream:
    """The server's state. `accounts` maps API keys to accounts.

    With `down` it answers 503; with `dies` it accepts a stream and ends it at once. `code` and `reason` are
    what it says of ciphertext that it cannot read. `input` of every request that was asked of a model is in
    `inputs`, refused ones included; `minted` are its ciphertexts, in order.
    """

    def __init__(self, accounts: Mapping[str, str]) -> None:
        self.accounts = accounts
        self.url = ""
        self.down = False
        self.dies = False
        self.code: str | None = "invalid_encrypted_content"
        self.reason = "Encrypted content could not be decrypted or parsed."
        self.in_stream = False  # refuse by an event instead of a status
        self.refuses_all = False  # refuse whatever comes, as if it held unreadable ciphertext
        self.inputs: list[Any] = []
        self.minted: list[str] = []

    def thoughts(self, index: int = -1) -> list[str]:
        """The ciphertexts that a request brought, the latest one's by default."""
        return [item["encrypted_content"] for item in self.inputs[index] if "encrypted_content" in item]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        account = self.accounts[request.headers["authorization"].removeprefix("Bearer ")]
        items = body["input"] if isinstance(body["input"], list) else []
        self.inputs.append(items)
        if self.down:
            return web.json_response({"error": {"message": "Overloaded.", "code": None}}, status=503)
        read = all(self._reads(item, account) for item in items if item.get("encrypted_content"))
        if self.refuses_all or not read:
            return await self._refuse(request, body)
        number = len(self.minted)
        ids = f"rs_{account}{number}", f"msg_{account}{number}"
        blob = {"account": account, "id": ids[0], "padding": "thought " * 20}
        ciphertext = "gAAAAA" + base64.b64encode(json.dumps(blob).encode()).decode()
        self.minted.append(ciphertext)
        thought = native.thought_events("Hm.", id=ids[0])
        for event in (thought[0], thought[-1]):
            event["item"]["encrypted_content"] = ciphertext
        said = native.message_events([f"{account} says {number}"], index=1, id=ids[1])
        events = native.events(thought, said, id=f"resp_{account}{number}")
        if not body.get("stream"):
            return web.json_response(events[-1]["response"])
        return await self._send(request, native.frames(events[:2] if self.dies else events))

    def _reads(self, item: Any, account: str) -> bool:
        try:
            blob = json.loads(
                base64.b64decode(item["encrypted_content"].removeprefix("gAAAAA"), validate=True)
            )
        except ValueError:
            return False
        return bool(blob["account"] == account and item.get("id", blob["id"]) == blob["id"])

    async def _refuse(self, request: web.Request, body: Any) -> web.StreamResponse:
        error = {
            "message": f"The encrypted content gAAA...x could not be verified. Reason: {self.reason}",
            "type": "invalid_request_error",
            "param": None,
            "code": self.code,
        }
        if self.in_stream and body.get("stream"):
            failed = native.response(status="failed", error={"code": self.code, "message": error["message"]})
            return await self._send(request, native.frames([{"type": "response.failed", "response": failed}]))
        return web.json_response({"error": error}, status=400)

    async def _send(self, request: web.Request, frames: list[bytes]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for frame in frames:
            await response.write(frame)
        return response


@asynccontextmanager
async def sealing_upstream(**accounts: str) -> AsyncIterator[SealingUpstream]:
    """Serve one; ``key="account"``. Its `url` ends in ``/v1``."""
    upstream = SealingUpstream(accounts)
    app = web.Application()
    app.router.add_post("/v1/responses", upstream.handle)
    server = TestServer(app)
    await server.start_server()
    upstream.url = f"http://127.0.0.1:{server.port}/v1"
    try:
        yield upstream
    finally:
        await server.close()
