"""An upstream of any dialect that streams JSON over HTTP, its answer told as deltas by whoever knows it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import aclosing
from typing import Any, Final, Protocol

import aiohttp
import structlog
from aiohttp import hdrs

from maestro_daemon.deltas import Delta, Finish
from maestro_daemon.errors import NO_HEADERS, UpstreamBroken
from maestro_daemon.events import Accepted, ResponseEvent
from maestro_daemon.protocol import json, sse
from maestro_daemon.protocol.collect import collect
from maestro_daemon.protocol.retelling import Retelling
from maestro_daemon.providers.provider import Reply
from maestro_daemon.upstream.answer import Answer
from maestro_daemon.upstream.http import HttpUpstream
from maestro_daemon.upstream.sniffed import is_json

_log: Final = structlog.get_logger(__name__)
_CARRIED: Final = ("traceparent", "tracestate")
_DONE: Final = b"[DONE]"


class DeltaReader(Protocol):
    """One answer's records in, deltas out. Made anew for each answer."""

    @property
    def ended(self) -> bool:
        """True once the last record came: nothing is read after it. Always False if none says so."""
        ...

    def feed(self, name: str, record: Any) -> Iterable[Delta]:
        """Read one record: the SSE event's `name` ("" if it has none) and its data, any parsed JSON value.

        An upstream that answers with one JSON body instead of a stream gives that as the only record, under
        the name "". Raises `UpstreamRefused` or `UpstreamBroken` for an error that the record tells of.
        """
        ...

    def close(self) -> Iterable[Delta]:
        """The stream is over: whatever was held back."""
        ...


class TranslatedUpstream:
    """``POST`` requests to one upstream that answers with a stream of JSON records.

    `carries` says which of the client's headers go along, by the beginning of their lower-case names.
    `answer_headers` may give the upstream's headers (lower-case names) other names: ``x-ratelimit-*`` and
    ``retry-after`` are what clients get to see.
    """

    def __init__(
        self,
        http: HttpUpstream,
        *,
        carries: tuple[str, ...] = _CARRIED,
        answer_headers: Callable[[Mapping[str, str]], Mapping[str, str]] | None = None,
    ) -> None:
        self._http = http
        self._carries = carries
        self._answer_headers = answer_headers

    async def stream(
        self,
        retelling: Retelling,
        path: str,
        body: Mapping[str, Any],
        reader: DeltaReader,
        *,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> AsyncGenerator[ResponseEvent, None]:
        """Post `body` as JSON to `path` and tell the answer as Responses events, up to the terminal one.

        The first event is `Accepted`. `headers` go with this request alone. Raises the errors of
        `HttpUpstream.request` and of `reader`, and `UpstreamBroken` for an answer that stops early or is no
        JSON.
        """
        request = retelling.request
        sent = {
            hdrs.ACCEPT: "text/event-stream",
            **{name: value for name, value in request.headers.items() if name.startswith(self._carries)},
            **headers,
        }
        reducer = retelling.reducer()
        http = self._http.within(request.timeouts)
        async with http.request("POST", path, body=json.dumps(dict(body)), headers=sent) as answer:
            if answer.content_type == "text/html":
                raise UpstreamBroken(f"{http.provider} answered with a page of HTML.")
            heard = http.credentials.heard(answer.headers)
            yield Accepted(self._answer_headers(heard) if self._answer_headers is not None else heard)
            finished = False
            try:
                async with aclosing(self._records(answer)) as records:
                    async for name, record in records:
                        for delta in reader.feed(name, record):
                            finished = finished or isinstance(delta, Finish)
                            for event in reducer.feed(delta):
                                yield event
                        if reader.ended:
                            break
                if reader.ended:
                    await http.finish(answer)
            except (aiohttp.ClientError, OSError, TimeoutError):
                # After the finish reason only facts about the answer can be missing: it is whole itself.
                if not finished:
                    raise
                _log.warning("the upstream was cut off after its answer", provider=http.provider)
        for delta in reader.close():
            for event in reducer.feed(delta):
                yield event
        for event in reducer.finish():
            yield event

    async def _records(self, answer: Answer) -> AsyncGenerator[tuple[str, Any], None]:
        if await is_json(answer):
            yield "", self._parsed(await self._http.read(answer))
            return
        decoder = sse.Decoder()
        try:
            async for read in answer.body:
                for name, data in decoder.feed(read):
                    if data == _DONE:
                        return
                    if data:
                        yield name, self._parsed(data)
            for name, data in decoder.close():
                if data and data != _DONE:
                    yield name, self._parsed(data)
        except sse.RecordTooLarge as error:
            raise UpstreamBroken(f"{self._http.provider}: {error}.") from error

    def _parsed(self, data: bytes) -> Any:
        try:
            # Some upstreams repeat the key that they refuse.
            return json.loads(self._http.credentials.masked(data) if b'"error"' in data else data)
        except json.JSONInvalid as error:
            raise UpstreamBroken(f"{self._http.provider} sent a record that is not JSON.") from error


async def folded(events: AsyncGenerator[ResponseEvent, None]) -> Reply:
    """The whole answer that `events` add up to: what `complete` of a provider gives that streams at heart.

    Raises what `events` raise, and for a stream that ends in a failure.
    """
    async with aclosing(events):
        accepted = await anext(events)
        headers = accepted.headers if isinstance(accepted, Accepted) else NO_HEADERS
        return Reply(json.dumps(await collect(events)), headers)
