"""A provider of kind ``local`` whose model runs in the daemon's own engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from maestro_daemon.plugin import (
    HttpUpstream,
    Model,
    Reply,
    ResponseEvent,
    ResponseRequest,
    UpstreamBroken,
    UpstreamRefused,
)
from maestro_local.chatting import Chat
from maestro_local.engine import Engine, Serving
from maestro_local.listing import listed, with_props
from maestro_local.options import LocalOptions
from maestro_local.servers import Server, dialect_of


@dataclass(frozen=True, slots=True)
class _Reach:
    """One life of the engine, and the connections to it."""

    serving: Serving
    requests: HttpUpstream
    questions: HttpUpstream
    chat: Chat
    model: Model

    async def aclose(self) -> None:
        await self.questions.aclose()
        await self.requests.aclose()


class EmbeddedProvider:
    """One model in one child process, loaded in the background from `start` on."""

    def __init__(self, name: str, options: LocalOptions) -> None:
        self.name = name
        self._options = options
        self._engine = Engine(
            name,
            model=options.model,
            context=options.context,
            parallel=options.parallel,
            threads=options.threads,
            patience=options.first_byte_timeout,
        )
        self._dialect = dialect_of(Server.LLAMA_CPP, name)
        self._reach: _Reach | None = None
        self._reaching = asyncio.Lock()

    def unmetered_rank(self) -> int | None:
        """It costs nothing, and any server's model is better."""
        return 1

    async def start(self) -> None:
        """Begin to load."""
        self._engine.start()

    def problem(self) -> str | None:
        """Why the engine cannot serve, in one sentence with the remedy; None if it serves or loads."""
        return self._engine.problem()

    async def models(self) -> Sequence[Model]:
        """The one model, once it is loaded. Raises `ProviderUnavailable` if that cannot be."""
        return [(await self._reached()).model]

    async def complete(self, request: ResponseRequest) -> Reply:
        """The fold of the stream."""
        reach = await self._reached()
        self._refuse_others(request.model, reach.model)
        return await reach.chat.complete(request, self._dialect, reach.model)

    async def stream(self, request: ResponseRequest) -> AsyncGenerator[ResponseEvent, None]:
        """The answer's events. A request that comes while the engine loads waits for it."""
        reach = await self._reached()
        self._refuse_others(request.model, reach.model)
        async with aclosing(reach.chat.stream(request, self._dialect, reach.model)) as events:
            async for event in events:
                yield event

    async def aclose(self) -> None:
        """End the engine and close the connections to it."""
        await self._engine.aclose()
        if self._reach is not None:
            await self._reach.aclose()

    def _refuse_others(self, wanted: str, model: Model) -> None:
        # llama.cpp would answer any name with the one model it has.
        if wanted != model.id:
            raise UpstreamRefused(
                f"{self.name} serves {model.id} and no model {wanted!r}.",
                status=404,
                type="invalid_request_error",
                param="model",
                code="model_not_found",
            )

    async def _reached(self) -> _Reach:
        serving = await self._engine.serving()
        async with self._reaching:
            if self._reach is None or self._reach.serving is not serving:
                if self._reach is not None:
                    await self._reach.aclose()
                    self._reach = None
                self._reach = await self._connect(serving)
            return self._reach

    async def _connect(self, serving: Serving) -> _Reach:
        listening = serving.process.listening
        where: dict[str, Any] = {
            "provider": self.name,
            "headers": {"authorization": f"Bearer {listening.api_key}"},
            "unix_socket": listening.unix_socket,
            # It closes a connection after each stream though it promised to keep it.
            "force_close": True,
        }
        requests = HttpUpstream(
            listening.base_url,
            first_byte_timeout=self._options.first_byte_timeout,
            idle_timeout=self._options.idle_timeout,
            max_concurrent=self._options.max_concurrent or self._options.parallel,
            **where,
        )
        questions = HttpUpstream(listening.base_url.removesuffix("/v1"), first_byte_timeout=30.0, **where)
        try:
            models = listed(await questions.get_json("/v1/models"))
            if not models:
                raise UpstreamBroken(f"{self.name}: the embedded engine lists no model.")
            model = with_props(models[0], await questions.get_json("/props"))
        except BaseException:
            await questions.aclose()
            await requests.aclose()
            raise
        return _Reach(serving, requests, questions, Chat(requests), model)
