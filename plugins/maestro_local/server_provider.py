"""A provider of kind ``local`` whose models run in a server program."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, contextmanager, suppress
from typing import Any, Final

from maestro_daemon.plugin import (
    HttpUpstream,
    Model,
    Reply,
    ResponseEvent,
    ResponseRequest,
    ResponsesUpstream,
    UpstreamError,
    UpstreamRefused,
    UpstreamUnreachable,
    exact,
)
from maestro_local.chatting import Chat
from maestro_local.listing import listed, loaded_windows, native_listing, with_props, with_show
from maestro_local.options import LocalOptions
from maestro_local.refusals import explain
from maestro_local.servers import Server, dialect_of, identify

_PATIENCE: Final = 2.0
"""Seconds that a request waits to learn what it talks to; it is sent without that knowledge then."""

_QUESTION_TIMEOUT: Final = 10.0
_ASK_AGAIN: Final = 30.0
_QUESTIONS_AT_ONCE: Final = 4


class ServerProvider:
    """The models of one local server, which may come, go and change at any time."""

    def __init__(self, name: str, options: LocalOptions) -> None:
        self.name = name
        self._dialect = options.dialect
        self._base_url = base_url = options.base_url or ""
        on_this_machine = base_url.startswith("http:")  # elsewhere only https is allowed
        self._costs_nothing = on_this_machine
        headers = dict(options.headers)
        if options.api_key is not None:
            headers["authorization"] = f"Bearer {options.api_key.reveal()}"
        self._http = HttpUpstream(
            base_url,
            provider=name,
            headers=headers,
            connect_timeout=options.connect_timeout,
            first_byte_timeout=options.first_byte_timeout,
            idle_timeout=options.idle_timeout,
            max_concurrent=options.max_concurrent,
            # llama.cpp closes a connection after each stream though it promised to keep it.
            force_close=on_this_machine,
        )
        # Apart from the requests: its questions neither wait in their queue nor have their patience.
        root = base_url.removesuffix("/v1")
        self._root = HttpUpstream(
            root,
            provider=name,
            headers=headers,
            connect_timeout=min(options.connect_timeout, _QUESTION_TIMEOUT),
            first_byte_timeout=_QUESTION_TIMEOUT,
            idle_timeout=_QUESTION_TIMEOUT,
            force_close=True,
        )
        self._models_path = f"{base_url[len(root) :]}/models"
        self._chat = Chat(self._http)
        self._native = ResponsesUpstream(self._http)
        self._server: Server | None = None
        self._facts: dict[str, Model] = {}
        self._asking: asyncio.Task[None] | None = None
        self._ask_again = 0.0

    def account(self) -> str:
        """Whoever asks this server is the same to it."""
        return f"local {self._base_url}"

    def unmetered_rank(self) -> int | None:
        """A server on this machine costs nothing; of one elsewhere that is not known."""
        return 0 if self._costs_nothing else None

    def keeps_responses(self, model: str) -> bool:
        """Whether a response can be continued by its id: LM Studio keeps them, the others do not."""
        return self._dialect == "responses" and self._server is Server.LM_STUDIO

    async def models(self) -> Sequence[Model]:
        """The server's chat models, with what it says about each in its own way."""
        server = await self._identify()
        listing = listed(await self._root.get_json(self._models_path))
        match server:
            case Server.LLAMA_CPP:
                listing = await self._ask_llama_cpp(listing)
            case Server.OLLAMA:
                listing = await self._ask_ollama(listing)
            case Server.LM_STUDIO:
                listing = await self._ask_lm_studio(listing)
            case _:
                pass
        self._facts = {model.id: model for model in listing}
        return listing

    async def complete(self, request: ResponseRequest) -> dict[str, Any] | bytes | Reply:
        """The whole answer: of a chat the fold of its stream, else the server's own."""
        server = await self._server_now()
        with self._heeding_failures():
            if self._dialect == "chat":
                facts = self._facts.get(request.model)
                return await self._chat.complete(request, dialect_of(server, self.name), facts)
            return await self._native.complete(request)

    async def stream(self, request: ResponseRequest) -> AsyncGenerator[ResponseEvent, None]:
        """The answer's events."""
        server = await self._server_now()
        if self._dialect == "chat":
            facts = self._facts.get(request.model)
            events = self._chat.stream(request, dialect_of(server, self.name), facts)
        elif server is Server.LLAMA_CPP:
            events = self._native.stream(exact(request).aimed_at(request.model, return_progress=True))
        else:
            events = self._native.stream(request)
        with self._heeding_failures():
            async with aclosing(events):
                async for event in events:
                    yield event

    async def aclose(self) -> None:
        """Close the connections."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait({self._asking})
        await self._root.aclose()
        await self._http.aclose()

    @contextmanager
    def _heeding_failures(self) -> Iterator[None]:
        try:
            yield
        except UpstreamUnreachable:
            self._forget()
            raise
        except UpstreamRefused as refusal:
            explain(refusal)
            raise

    async def _server_now(self) -> Server:
        """What the server is as far as can be known within a short wait."""
        if self._server is None and asyncio.get_running_loop().time() >= self._ask_again:
            if self._asking is None or self._asking.done():
                self._asking = asyncio.create_task(self._ask(), name=f"what server is {self.name}")
            await asyncio.wait({self._asking}, timeout=_PATIENCE)
        return self._server or Server.OTHER

    async def _ask(self) -> None:
        try:
            await self._identify()
            if self._server is Server.LLAMA_CPP:
                await self.models()  # whether its template knows tools counts for the first request too
        except UpstreamError:
            pass  # the request that is about to be sent meets the same, and tells it

    async def _identify(self) -> Server:
        try:
            self._server = await identify(self._root, self._models_path)
        except UpstreamUnreachable:
            self._forget()
            raise
        if self._server is None:
            self._ask_again = asyncio.get_running_loop().time() + _ASK_AGAIN
        return self._server or Server.OTHER

    def _forget(self) -> None:
        """Whatever answers next may be another server, with other models under the same names."""
        self._server = None
        self._facts = {}
        self._ask_again = 0.0

    async def _ask_llama_cpp(self, listing: list[Model]) -> list[Model]:
        if len(listing) != 1:  # a router of several models says nothing about any one of them
            return listing
        with suppress(UpstreamError):
            return [with_props(listing[0], await self._root.get_json("/props"))]
        return listing

    async def _ask_ollama(self, listing: list[Model]) -> list[Model]:
        loaded: dict[str, int] = {}
        with suppress(UpstreamError):
            loaded = loaded_windows(await self._root.get_json("/api/ps"))
        free = asyncio.Semaphore(_QUESTIONS_AT_ONCE)

        async def shown(model: Model) -> Model | None:
            async with free:
                with suppress(UpstreamError):
                    question = json.dumps({"model": model.id}).encode()
                    show = await self._root.exchange("POST", "/api/show", body=question)
                    return with_show(model, show, loaded)
            return model

        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(shown(model)) for model in listing]
        return [model for each in asked if (model := each.result()) is not None]

    async def _ask_lm_studio(self, listing: list[Model]) -> list[Model]:
        for path in ("/api/v1/models", "/api/v0/models"):
            with suppress(UpstreamError):
                known = native_listing(await self._root.get_json(path))
                if known:
                    fuller = [known.get(model.id, model) for model in listing]
                    return [model for model in fuller if model is not None]
        return listing
