"""A native upstream: it speaks the Responses dialect, and what it says passes as it is."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Final

import structlog
from aiohttp import hdrs

from maestro_daemon.errors import UpstreamBroken
from maestro_daemon.events import DELTAS, TERMINAL, Accepted, DeltaBurst, ResponseEvent
from maestro_daemon.protocol import error_body, json, sse
from maestro_daemon.protocol.open_item import BEARS_ITEM_ID
from maestro_daemon.protocol.placing import Placing
from maestro_daemon.protocol.unsealed_input import unsealed
from maestro_daemon.providers.provider import Reply
from maestro_daemon.request import ResponseRequest
from maestro_daemon.upstream.http import HttpUpstream
from maestro_daemon.upstream.sniffed import is_json

CARRIED: Final = (
    "session-id",
    "thread-id",
    "x-client-request-id",
    "x-session-",
    "openai-beta",
    "traceparent",
    "tracestate",
)
"""The client's headers that any native upstream may get, by the beginning of their names."""

_DONE: Final = b"[DONE]"
_FAILED: Final = b'"failed"'
_OUTPUT: Final = b'"output"'
_FAILURES: Final = frozenset({"error", "response.failed"})
_PLAIN: Final = BEARS_ITEM_ID - DELTAS
"""Events that pass as they are, wherever an upstream names their places."""
_log: Final = structlog.get_logger(__name__)


class ResponsesUpstream:
    """``POST /responses`` at one upstream, which gets the request as it is.

    Only reasoning and summaries that other targets of the house made, and only the house can read, are taken
    out (see `protocol.unsealed_input`), whoever the provider is: it is this class that passes requests on.

    `carries` says which of the client's headers it gets, by the beginning of their lower-case names; `path`
    is appended to the base URL.
    """

    def __init__(
        self, http: HttpUpstream, *, carries: tuple[str, ...] = CARRIED, path: str = "/responses"
    ) -> None:
        self._http = http
        self._carries = carries
        self._path = path

    async def complete(self, request: ResponseRequest) -> Reply:
        """The upstream's own JSON, byte for byte. Raises the errors of `HttpUpstream.request`."""
        async with self._http.within(request.timeouts).request(
            "POST", self._path, body=self._text(request), headers=self._headers(request)
        ) as answer:
            body = await self._http.read(answer)
            if _FAILED in body or _OUTPUT not in body:
                body = self._http.credentials.masked(body)  # as with the events that tell of failures
            return Reply(body, self._http.credentials.heard(answer.headers))

    async def stream(self, request: ResponseRequest) -> AsyncGenerator[ResponseEvent, None]:
        """The upstream's events, payloads byte for byte, up to its terminal event or its end.

        Only what an upstream leaves away of an event's place in the answer is supplied (`protocol.placing`).
        """
        headers = {hdrs.ACCEPT: "text/event-stream", **self._headers(request)}
        async with self._http.within(request.timeouts).request(
            "POST", self._path, body=self._text(request), headers=headers
        ) as answer:
            if answer.content_type == "text/html":
                raise UpstreamBroken(f"{self._http.provider} answered with a page of HTML.")
            if answer.content_type == "application/json":
                # It does not stream: the whole answer is its only event.
                whole = self._whole(await self._http.read(answer))
                yield Accepted(self._http.credentials.heard(answer.headers))
                yield whole
                return
            yield Accepted(self._http.credentials.heard(answer.headers))
            if await is_json(answer):
                yield self._whole(await self._http.read(answer))
                return
            decoder = sse.Decoder()
            placing = Placing()
            try:
                async for chunk in answer.body:
                    for name, records in decoder.runs(chunk):
                        if name in DELTAS and not placing.needed:
                            if len(records) > 1:
                                yield DeltaBurst(name, records)
                            else:
                                yield ResponseEvent(name, records[0])
                            continue
                        if name in _PLAIN and not placing.needed:
                            for data in records:
                                yield ResponseEvent(name, data)
                            continue
                        for data in records:
                            if data == _DONE:
                                return
                            event = self._event(name, data)
                            if event is not None:
                                if event.type not in TERMINAL:
                                    yield placing.take(event)
                                    continue
                                try:
                                    yield event
                                finally:
                                    await self._http.finish(answer)
                                return
                for name, data in decoder.close():
                    event = self._event(name, data)
                    if event is not None:
                        yield placing.take(event)
            except sse.RecordTooLarge as error:
                raise UpstreamBroken(f"{self._http.provider}: {error}.") from error

    def _event(self, name: str, data: bytes) -> ResponseEvent | None:
        """As `_event_of`; what an upstream says of a failure may repeat the key that it was shown."""
        event = _event_of(name, data)
        if event is not None and event.type in _FAILURES:
            return ResponseEvent(event.type, self._http.credentials.masked(event.payload))
        return event

    def _whole(self, body: bytes) -> ResponseEvent:
        """The terminal event of an answer that came as one JSON object."""
        provider = self._http.provider
        if _FAILED in body or _OUTPUT not in body:
            body = self._http.credentials.masked(body)
        try:
            response = json.loads(body)
        except json.JSONInvalid as error:
            raise UpstreamBroken(f"{provider} answered with something else than JSON.") from error
        if isinstance(response, dict) and isinstance(response.get("output"), list):
            # The guard reads the status from the response.
            payload = json.dumps({"type": "response.done", "response": response})
            return ResponseEvent("response.done", payload)
        if isinstance(response, dict) and response.get("error"):
            raise error_body.stream_failure(response, provider=provider)
        raise UpstreamBroken(f"{provider} answered a request for a stream with something else.")

    def _text(self, request: ResponseRequest) -> bytes:
        """The body to send: the client's own text wherever there is nothing of ours in it."""
        request, left_out = unsealed(request)
        if left_out:
            _log.info("items sealed here left out", provider=self._http.provider, items=list(left_out[:20]))
        return json.dumps(request.body) if request.text is None else request.text

    def _headers(self, request: ResponseRequest) -> Mapping[str, str]:
        return {name: value for name, value in request.headers.items() if name.startswith(self._carries)}


def _event_of(name: str, data: bytes) -> ResponseEvent | None:
    """The event of one SSE record; None for ``[DONE]`` and for what is no event of this dialect."""
    if not data or data == _DONE:
        return None
    if name.startswith("response.") or name == "error":
        # `error` records of some servers hold a bare error object; the guard reads both shapes.
        return ResponseEvent(name, data)
    # Nameless, or named otherwise (`message`, `ping`): what the JSON says counts.
    try:
        parsed = json.loads(data)
    except json.JSONInvalid as error:
        if name:
            return None
        raise UpstreamBroken("The upstream sent a record that is not JSON.") from error
    kind = parsed.get("type") if isinstance(parsed, dict) else None
    if isinstance(kind, str) and kind:
        return ResponseEvent(kind, data)
    if isinstance(parsed, dict) and parsed.get("error"):
        return ResponseEvent("error", data)
    return None
