"""A whole provider for an API like OpenAI's: only its address, headers and quirks are left to be said."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence

from maestro_daemon.errors import NO_HEADERS
from maestro_daemon.events import ResponseEvent
from maestro_daemon.protocol.chat_dialect import ChatDialect
from maestro_daemon.providers.listed_models import listed_models
from maestro_daemon.providers.options import HttpOptions
from maestro_daemon.providers.provider import Model, Reply
from maestro_daemon.request import ResponseRequest
from maestro_daemon.upstream.chat import ChatUpstream
from maestro_daemon.upstream.http import HttpUpstream
from maestro_daemon.upstream.responses import ResponsesUpstream


class CompatibleProvider:
    """The provider `name` of an API like OpenAI's; may be subclassed.

    `options` say address, timeouts and further headers; `headers` are those of the credentials. `chat` says
    what the upstream understands of chat completions; None for one that speaks Responses.
    """

    def __init__(
        self,
        name: str,
        options: HttpOptions,
        headers: Mapping[str, str] = NO_HEADERS,
        *,
        chat: ChatDialect | None = None,
    ) -> None:
        self.name = name
        self.http = HttpUpstream(
            options.base_url,
            provider=name,
            headers={**options.headers, **headers},
            connect_timeout=options.connect_timeout,
            first_byte_timeout=options.first_byte_timeout,
            idle_timeout=options.idle_timeout,
            max_concurrent=options.max_concurrent,
        )
        self._dialect = chat
        self._chat = ChatUpstream(self.http)
        self._responses = ResponsesUpstream(self.http)

    async def models(self) -> Sequence[Model]:
        """``GET /models``, a list as OpenAI's; entries without an id are left out."""
        return listed_models(await self.http.get_json("/models"))

    async def complete(self, request: ResponseRequest) -> Reply:
        """The whole answer."""
        if self._dialect is None:
            return await self._responses.complete(request)
        return await self._chat.complete(request, self._dialect)

    def stream(self, request: ResponseRequest) -> AsyncGenerator[ResponseEvent, None]:
        """The answer's events."""
        if self._dialect is None:
            return self._responses.stream(request)
        return self._chat.stream(request, self._dialect)

    async def aclose(self) -> None:
        """Close the connections."""
        await self.http.aclose()
