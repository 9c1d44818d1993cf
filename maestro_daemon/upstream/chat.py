"""A translated upstream: it speaks chat completions, and its answer becomes Responses events here."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Final

import aiohttp
import structlog
from aiohttp import hdrs

from maestro_daemon.deltas import Finish
from maestro_daemon.errors import NO_HEADERS, UpstreamBroken
from maestro_daemon.events import Accepted, ResponseEvent
from maestro_daemon.protocol import json, sse
from maestro_daemon.protocol.chat_chunks import ChunkReader
from maestro_daemon.protocol.chat_dialect import ChatDialect
from maestro_daemon.protocol.chat_mending import ChatMending
from maestro_daemon.protocol.chat_request import chat_call
from maestro_daemon.protocol.collect import collect
from maestro_daemon.protocol.compaction_answer import CompactionReducer
from maestro_daemon.protocol.exact_request import exact
from maestro_daemon.protocol.reducer import ResponseReducer
from maestro_daemon.protocol.translatable import check_translated
from maestro_daemon.providers.provider import Reply
from maestro_daemon.request import ResponseRequest
from maestro_daemon.upstream.answer import Answer
from maestro_daemon.upstream.http import HttpUpstream
from maestro_daemon.upstream.sniffed import is_json

_log: Final = structlog.get_logger(__name__)
_CARRIED: Final = ("traceparent", "tracestate")
_DONE: Final = b"[DONE]"


class ChatUpstream:
    """``POST /chat/completions`` at one upstream, always asked for a stream.

    `think_tags` reads a leading ``<think>`` block as reasoning; `carries` says which of the client's headers
    go along, by the beginning of their lower-case names.
    """

    def __init__(
        self,
        http: HttpUpstream,
        *,
        think_tags: bool = True,
        carries: tuple[str, ...] = _CARRIED,
        path: str = "/chat/completions",
    ) -> None:
        self._http = http
        self._think_tags = think_tags
        self._carries = carries
        self._path = path

    async def complete(
        self, request: ResponseRequest, dialect: ChatDialect, mending: ChatMending | None = None
    ) -> Reply:
        """The Response that the stream adds up to, with the upstream's headers. Raises as `stream`."""
        async with aclosing(self.stream(request, dialect, mending)) as events:
            accepted = await anext(events)
            headers = accepted.headers if isinstance(accepted, Accepted) else NO_HEADERS
            return Reply(json.dumps(await collect(events)), headers)

    async def stream(
        self, request: ResponseRequest, dialect: ChatDialect, mending: ChatMending | None = None
    ) -> AsyncGenerator[ResponseEvent, None]:
        """The answer as Responses events, up to its terminal event; `mending` is for what no dialect says.

        Raises `RequestInvalid` for what this dialect cannot say, the errors of `HttpUpstream.request`, and
        `UpstreamBroken` for an answer that makes no sense or stops early.
        """
        request = exact(request)
        if not dialect.provider:
            dialect = replace(dialect, provider=self._http.provider)
        check_translated(request)
        call = chat_call(request, dialect)
        if call.dropped:
            _log.info("request fields dropped", provider=self._http.provider, dropped=list(call.dropped))
        headers = {
            hdrs.ACCEPT: "text/event-stream",
            **{name: value for name, value in request.headers.items() if name.startswith(self._carries)},
        }
        plain = ResponseReducer(
            request,
            names=call.names,
            provider=dialect.provider,
            input_characters=call.input_characters,
        )
        reducer = CompactionReducer(plain) if call.compacts else plain
        reader = ChunkReader(think_tags=self._think_tags)
        body = call.body if mending is None else mending.body(call.body)
        async with self._http.within(request.timeouts).request(
            "POST", self._path, body=json.dumps(body), headers=headers
        ) as answer:
            if answer.content_type == "text/html":
                raise UpstreamBroken(f"{self._http.provider} answered with a page of HTML.")
            yield Accepted(self._http.credentials.heard(answer.headers))
            finished = False
            try:
                async with aclosing(self._chunks(answer)) as chunks:
                    async for chunk in chunks:
                        if mending is not None:
                            chunk = mending.chunk(chunk)
                        for delta in reader.feed(chunk):
                            finished = finished or isinstance(delta, Finish)
                            for event in reducer.feed(delta):
                                yield event
            except (aiohttp.ClientError, OSError, TimeoutError):
                # After the finish reason only the usage can be missing: the answer itself is whole.
                if not finished:
                    raise
                _log.warning("the upstream was cut off after its answer", provider=self._http.provider)
        for delta in reader.close():
            for event in reducer.feed(delta):
                yield event
        for event in reducer.finish():
            yield event

    async def _chunks(self, answer: Answer) -> AsyncGenerator[Any, None]:
        """The parsed chunks of a streamed answer; a whole completion counts as one."""
        if await is_json(answer):
            yield self._chunk("", await self._http.read(answer))
            return
        decoder = sse.Decoder()
        try:
            async for read in answer.body:
                for name, data in decoder.feed(read):
                    if data == _DONE:
                        return
                    if data:
                        yield self._chunk(name, data)
            for name, data in decoder.close():
                if data and data != _DONE:
                    yield self._chunk(name, data)
        except sse.RecordTooLarge as error:
            raise UpstreamBroken(f"{self._http.provider}: {error}.") from error

    def _chunk(self, name: str, data: bytes) -> Any:
        chunk = self._parsed(
            self._http.credentials.masked(data) if b'"error"' in data or name == "error" else data
        )
        if name == "error" and isinstance(chunk, Mapping) and not chunk.get("error"):
            return {"error": chunk}
        return chunk

    def _parsed(self, data: bytes) -> Any:
        try:
            return json.loads(data, keep_surrogates=True)
        except json.JSONInvalid as error:
            raise UpstreamBroken(f"{self._http.provider} sent a chunk that is not JSON.") from error
