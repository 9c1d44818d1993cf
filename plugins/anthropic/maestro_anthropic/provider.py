"""Claude as an upstream: requests are retold, answers told as deltas."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Final

import structlog

from maestro_anthropic.facts import Knowledge
from maestro_anthropic.message_request import message_call
from maestro_anthropic.options import AnthropicOptions
from maestro_anthropic.refusals import explain, refuses_thinking, told_limits
from maestro_anthropic.stream_reader import MessageReader
from maestro_daemon.plugin import (
    HttpUpstream,
    Model,
    Reply,
    ResponseEvent,
    ResponseRequest,
    TranslatedUpstream,
    UpstreamRefused,
    folded,
    retell,
)

_log: Final = structlog.get_logger(__name__)
_QUESTION_TIMEOUT: Final = 10.0


class AnthropicProvider:
    """One account at Anthropic, or at a gateway that speaks the Messages API."""

    def __init__(self, name: str, options: AnthropicOptions) -> None:
        self.name = name
        self._options = options
        self._account = _identity(options)
        headers = {**options.headers, "anthropic-version": options.version}
        key = options.api_key.reveal()
        if options.auth == "bearer":
            headers["authorization"] = f"Bearer {key}"
        else:
            headers["x-api-key"] = key
        if options.betas:
            headers["anthropic-beta"] = ",".join(options.betas)
        self._http = HttpUpstream(
            options.base_url,
            provider=name,
            headers=headers,
            connect_timeout=options.connect_timeout,
            first_byte_timeout=options.first_byte_timeout,
            idle_timeout=options.idle_timeout,
            max_concurrent=options.max_concurrent,
        )
        self._questions = HttpUpstream(
            options.base_url,
            provider=name,
            headers=headers,
            connect_timeout=min(options.connect_timeout, _QUESTION_TIMEOUT),
            first_byte_timeout=_QUESTION_TIMEOUT,
            idle_timeout=_QUESTION_TIMEOUT,
        )
        self._upstream = TranslatedUpstream(self._http, answer_headers=told_limits)
        self._knowledge = Knowledge(self._questions)

    def account(self) -> str:
        """The same for providers with one key at one address."""
        return self._account

    async def models(self) -> Sequence[Model]:
        """``GET /models``, all pages."""
        return await self._knowledge.listed()

    async def complete(self, request: ResponseRequest) -> Reply:
        """The whole answer: what the stream adds up to."""
        return await folded(self.stream(request))

    async def stream(self, request: ResponseRequest) -> AsyncGenerator[ResponseEvent, None]:
        """The answer's events. Earlier thinking that the API cannot verify is left out in a second try."""
        retelling = retell(request, provider=self.name)
        facts = await self._knowledge.of(request.model)
        thoughts = True
        while True:
            call = message_call(retelling, facts, self._options, thoughts=thoughts)
            if call.dropped:
                _log.info("request fields dropped", provider=self.name, dropped=call.dropped)
            reader = MessageReader(provider=self.name, answer_tool=call.answer_tool)
            events = self._upstream.stream(retelling, "/messages", call.body, reader)
            accepted = False
            try:
                async with aclosing(events):
                    async for event in events:
                        accepted = True
                        yield event
                return
            except UpstreamRefused as refusal:
                if not accepted and call.thinks_back and refuses_thinking(refusal):
                    _log.warning("earlier thinking was refused and is left out", provider=self.name)
                    thoughts = False
                    continue
                explain(refusal)
                raise

    async def aclose(self) -> None:
        """Close the connections."""
        await self._knowledge.aclose()
        await self._questions.aclose()
        await self._http.aclose()


def _identity(options: AnthropicOptions) -> str:
    # Clients see a part of this. A slow hash, as not every server that is asked so has keys beyond guessing.
    key = hashlib.scrypt(
        options.api_key.reveal().encode(), salt=options.base_url.encode(), n=2**12, r=8, p=1, dklen=16
    )
    return f"{options.base_url} key {key.hex()}"
