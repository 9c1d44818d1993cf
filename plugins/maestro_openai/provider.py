"""OpenAI as an upstream: every event and every answer passes as it is."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Sequence

from maestro_daemon.plugin import (
    CARRIED_HEADERS,
    HttpUpstream,
    Model,
    Reply,
    ResponseEvent,
    ResponseRequest,
    ResponsesUpstream,
    listed_models,
)
from maestro_openai.options import OpenAIOptions

# Read by OpenAI alone: Codex's turn state and metadata, and who asks.
_OPENAI_HEADERS = ("x-codex-", "x-openai-", "originator", "version")


class OpenAIProvider:
    """One OpenAI account."""

    def __init__(self, name: str, options: OpenAIOptions) -> None:
        self.name = name
        self._account = _identity(options)
        headers = {**options.headers, "authorization": f"Bearer {options.api_key.reveal()}"}
        if options.organization is not None:
            headers["openai-organization"] = options.organization
        if options.project is not None:
            headers["openai-project"] = options.project
        self._http = HttpUpstream(
            options.base_url,
            provider=name,
            headers=headers,
            connect_timeout=options.connect_timeout,
            first_byte_timeout=options.first_byte_timeout,
            idle_timeout=options.idle_timeout,
            max_concurrent=options.max_concurrent,
        )
        self._responses = ResponsesUpstream(self._http, carries=(*CARRIED_HEADERS, *_OPENAI_HEADERS))

    def keeps_responses(self, model: str) -> bool:
        """OpenAI keeps responses, so that they can be continued by their id."""
        return True

    def account(self) -> str:
        """The same for all keys of one organization, else of one project; of neither, the key says it."""
        return self._account

    async def models(self) -> Sequence[Model]:
        """``GET /models``; entries without an id are left out."""
        return listed_models(await self._http.get_json("/models"))

    async def complete(self, request: ResponseRequest) -> Reply:
        """The whole answer, byte for byte."""
        return await self._responses.complete(request)

    def stream(self, request: ResponseRequest) -> AsyncGenerator[ResponseEvent, None]:
        """The answer's events, byte for byte."""
        return self._responses.stream(request)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()


def _identity(options: OpenAIOptions) -> str:
    if options.organization is not None:
        return f"{options.base_url} organization {options.organization}"
    if options.project is not None:
        return f"{options.base_url} project {options.project}"
    # Clients see a part of this. A slow hash, as not every server that is asked so has keys beyond guessing.
    key = hashlib.scrypt(
        options.api_key.reveal().encode(), salt=options.base_url.encode(), n=2**12, r=8, p=1, dklen=16
    )
    return f"{options.base_url} key {key.hex()}"
