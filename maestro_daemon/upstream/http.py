"""One upstream over HTTP: its session, timeouts, queue, and aiohttp's exceptions in the house's words."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from copy import copy
from typing import Any, Final

import aiohttp
from aiohttp import hdrs
from yarl import URL

from maestro_daemon.errors import (
    NO_HEADERS,
    ProviderUnavailable,
    UpstreamBroken,
    UpstreamUnreachable,
)
from maestro_daemon.protocol import json
from maestro_daemon.request import Timeouts
from maestro_daemon.ticker import Ticker
from maestro_daemon.upstream.answer import Answer
from maestro_daemon.upstream.credentials import Credentials
from maestro_daemon.upstream.exchange import Exchange
from maestro_daemon.upstream.proxies import proxy_for
from maestro_daemon.upstream.refused import refused
from maestro_daemon.upstream.silence import Silence
from maestro_daemon.upstream.slots import Slots
from maestro_daemon.upstream.unanswered import CONNECTION_LOST, unanswered
from maestro_daemon.upstream.wire import HeaderUnfit, Wire

_LARGEST_ANSWER: Final = 256 * 1024 * 1024
_MOST_COPIES: Final = 64
_POOLED_FOR: Final = 15.0  # seconds that an idle connection may be used again (aiohttp's default)
_LARGEST_END: Final = 4096
_PATIENCE_FOR_END: Final = 0.05
_STALE_WITHIN: Final = 2.0
"""Seconds within which a connection that was dead already tells so."""
_TURNS_UNTIL_TOLD: Final = 3  # of the loop, until a reader knows of an abort, TLS in between


class HttpUpstream:
    """The HTTP side of one provider; one object for all its requests.

    `base_url` is what paths are appended to. `headers` go with every request (credentials among them).
    Timeouts are in seconds: `connect_timeout` until the connection stands, `first_byte_timeout` from the
    request's last byte until the answer's headers (and as much for sending the request), `idle_timeout`
    between two reads of its body. `max_concurrent` bounds requests under way; more wait in order, up to
    `max_waiting`, and leave the queue when they are cancelled.
    `credentials` are what stands in `headers` and is kept out of what the upstream says.
    `force_close` opens a connection per request, for servers that close idle ones unannounced;
    `unix_socket` is the path of a socket to connect to instead of the URL's host.
    """

    def __init__(
        self,
        base_url: str,
        *,
        provider: str,
        headers: Mapping[str, str] = NO_HEADERS,
        connect_timeout: float = 5.0,
        first_byte_timeout: float = 300.0,
        idle_timeout: float = 300.0,
        max_concurrent: int | None = None,
        max_waiting: int = 256,
        force_close: bool = False,
        unix_socket: str | None = None,
    ) -> None:
        self.provider = provider
        self.base_url = base_url.rstrip("/")
        self._headers = {hdrs.ACCEPT_ENCODING: "identity", hdrs.USER_AGENT: "maestro-daemon", **headers}
        self.credentials = Credentials(self._headers)
        self._connect_timeout = connect_timeout
        self._first_byte_timeout = first_byte_timeout
        self._idle_timeout = idle_timeout
        self.slots = Slots(max_concurrent, max_waiting, provider) if max_concurrent else None
        self._loop = asyncio.get_running_loop()
        self._pooled_until = 0.0
        self._within: dict[Timeouts, HttpUpstream] = {}
        pooling: dict[str, Any] = {"limit": 0, "force_close": force_close}
        if not force_close:
            pooling["keepalive_timeout"] = _POOLED_FOR
        connector: aiohttp.BaseConnector
        if unix_socket is not None:
            connector = aiohttp.UnixConnector(unix_socket, **pooling)
        else:
            connector = aiohttp.TCPConnector(**pooling)
        if force_close:
            self._headers[hdrs.CONNECTION] = "close"
        self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        self._ticker = self._ticking()
        self._wire = self._wired()

    def _ticking(self) -> Ticker:
        return Ticker(min(self._first_byte_timeout, self._idle_timeout), self._loop)

    def _wired(self) -> Wire:
        local = isinstance(self._session.connector, aiohttp.UnixConnector)
        return Wire(
            self._session,
            self._loop,
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(total=None, connect=self._connect_timeout),
            proxy=None if local else proxy_for(URL(self.base_url)),
        )

    def at(self, base_url: str, headers: Mapping[str, str]) -> HttpUpstream:
        """The same connections, timeouts and queue, under another base URL and with `headers` besides.

        For an upstream whose address or credentials change during life; `headers` go before those of the
        original, which is the one to be closed. Raises `ProviderUnavailable` for a proxy that cannot be used.
        """
        other = copy(self)
        other.base_url = base_url.rstrip("/")
        other._within = {}
        other._headers = {**self._headers, **headers}
        other.credentials = self.credentials.and_of(headers)
        other._wire = other._wired()
        return other

    async def aclose(self) -> None:
        """Close every connection. Answers still being read end with `UpstreamBroken`."""
        connector = self._session.connector
        if connector is not None:
            await _ended(connector)
        await self._session.close()

    def within(self, timeouts: Timeouts | None) -> HttpUpstream:
        """The same with other timeouts, as far as `timeouts` says any. Made once for each."""
        if timeouts is None:
            return self
        other = self._within.get(timeouts)
        if other is None:
            other = copy(self)
            if timeouts.idle is not None:
                other._idle_timeout = timeouts.idle
            if timeouts.first_byte is not None:
                other._first_byte_timeout = timeouts.first_byte
            if timeouts.connect is not None:
                other._connect_timeout = timeouts.connect
            other._ticker = other._ticking()
            other._wire = other._wired()
            if len(self._within) < _MOST_COPIES:
                self._within[timeouts] = other
        return other

    def request(
        self, method: str, path: str, *, body: bytes | None = None, headers: Mapping[str, str] = NO_HEADERS
    ) -> Exchange:
        """For ``async with``: ask, and give the answer once its status is known to be 2xx.

        The connection ends with the block. Raises `UpstreamUnreachable`, `UpstreamRefused` (its body read,
        with the upstream's own message) and, for errors while the caller reads the body inside the block,
        `UpstreamBroken`.
        """
        return Exchange(self, method, path, body, headers)

    async def get_json(self, path: str, *, headers: Mapping[str, str] = NO_HEADERS) -> Any:
        """The parsed JSON of ``GET base_url + path``. Raises as `request`; `UpstreamBroken` if it is none."""
        return await self.exchange("GET", path, headers=headers)

    async def exchange(
        self, method: str, path: str, *, body: bytes | None = None, headers: Mapping[str, str] = NO_HEADERS
    ) -> Any:
        """Send `body`, return the parsed JSON of the answer. Raises as `get_json`."""
        async with self.request(method, path, body=body, headers=headers) as answer:
            raw = await self.read(answer)
        try:
            return json.loads(raw)
        except json.JSONInvalid as error:
            raise UpstreamBroken(f"{self.provider} answered {path} with something else than JSON.") from error

    async def read(self, answer: Answer) -> bytes:
        """The whole body, bounded. Inside the block of `request` only."""
        body = answer.body
        pieces: list[bytes] = []
        size = 0
        while True:
            piece = await body.readany()
            size += len(piece)
            if size > _LARGEST_ANSWER:
                raise UpstreamBroken(f"{self.provider} sent more than {_LARGEST_ANSWER} bytes in one answer.")
            if not pieces and body.at_end:
                return piece  # all came at once, as most do
            if not piece:
                return b"".join(pieces)
            pieces.append(piece)

    async def open(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], silence: Silence
    ) -> Answer:
        """Ask, and give the answer of a 2xx status, its body unread. Raises as `request`.

        `silence` is watched from here on; whoever calls ends that by `over`.
        """
        self._ticker.add(silence)
        url = self.base_url + path
        reused = self._loop.time() < self._pooled_until
        fresh = False
        while True:
            began = self._loop.time()
            try:
                answer = await self._wire.ask(method, url, headers, body, silence, fresh=fresh)
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                # A pooled connection that the server had closed meanwhile shows at once. A server that
                # worked on the request and then fell is not asked to do it all again.
                soon = not silence.fell and self._loop.time() - began < _STALE_WITHIN
                if soon and reused and not fresh and isinstance(error, CONNECTION_LOST):
                    fresh = True
                    self._pooled_until = 0.0  # none lies idle any more
                    continue
                raise unanswered(
                    TimeoutError() if silence.fell else error,
                    self.provider,
                    connect_timeout=self._connect_timeout,
                    first_byte_timeout=self._first_byte_timeout,
                    soon=soon,
                ) from error
            except HeaderUnfit as error:
                raise ProviderUnavailable(
                    f"{self.provider}: the value of the header {error.args[0]!r} holds a line end; check the "
                    "provider's headers."
                ) from error
            break
        silence.answered(answer, self._loop.time())
        if 200 <= answer.status < 300:
            return answer
        try:
            raise await refused(answer, self.provider, self.credentials)
        finally:
            self.release(answer)

    async def finish(self, answer: Answer) -> None:
        """Wait a moment for the body's end, all of whose content has come, so that its connection can stay.

        Through TLS a new connection costs the next request more than this wait can.
        """
        body = answer.body
        if body.at_end:
            return
        left = _LARGEST_END
        try:
            async with asyncio.timeout(_PATIENCE_FOR_END):
                while left > 0 and not body.at_end:
                    left -= len(await body.readany())
        except (aiohttp.ClientError, OSError, TimeoutError):
            return  # `release` ends what is not whole

    def over(self, silence: Silence) -> None:
        """The exchange that `silence` watched is over."""
        self._ticker.discard(silence)

    def release(self, answer: Answer) -> None:
        """Give the connection back if the body was read to its end, else close it: nothing is drained."""
        if answer.body.at_end:
            self._pooled_until = self._loop.time() + _POOLED_FOR
        answer.release()

    def silence(self) -> Silence:
        """The watch over one exchange."""
        return Silence(self._first_byte_timeout, self._idle_timeout)

    def silent(self) -> UpstreamUnreachable:
        """The error for an answer that stopped coming."""
        return UpstreamUnreachable(f"{self.provider} was silent for {self._idle_timeout:g} s.")

    def broken(self) -> UpstreamBroken:
        """The error for an answer whose connection broke."""
        return UpstreamBroken(f"{self.provider} broke off in the middle of its answer.")


async def _ended(connector: aiohttp.BaseConnector) -> None:
    """End the connections that are in use: closed by the connector, their readers would wait for ever."""
    ended = [each for each in connector._acquired if each.transport is not None]
    for each in ended:
        each.abort()
    if ended:
        for _ in range(_TURNS_UNTIL_TOLD):
            await asyncio.sleep(0)
