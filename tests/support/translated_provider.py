"""A translated provider of the shortest kind."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any, Final

from maestro_daemon.plugin import (
    ChatDialect,
    ChatUpstream,
    HttpUpstream,
    Model,
    Reply,
    ResponseEvent,
    ResponseRequest,
)

_DIALECT: Final = ChatDialect()


class TranslatedProvider:
    """A chat-completions upstream at `base_url`; `options` are those of `HttpUpstream`."""

    def __init__(self, name: str, base_url: str, **options: Any) -> None:
        self.name = name
        self.http = HttpUpstream(
            base_url, provider=name, headers={"authorization": "Bearer sk-up"}, **options
        )
        self.upstream = ChatUpstream(self.http)

    async def complete(self, request: ResponseRequest) -> Reply:
        return await self.upstream.complete(request, _DIALECT)

    def stream(self, request: ResponseRequest) -> AsyncGenerator[ResponseEvent, None]:
        return self.upstream.stream(request, _DIALECT)

    async def models(self) -> Sequence[Model]:
        return [Model("gpt-test")]

    async def aclose(self) -> None:
        await self.http.aclose()
