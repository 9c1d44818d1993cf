"""Requests over aiohttp's connections and parser, their heads and bodies written here.

`ClientSession.request` does for each request what an upstream needs once (it merges headers, builds the URL,
looks for cookies, credentials and proxies) and starts a task that writes the body: together a third of what
a whole request costs. Here what stays the same is made once, and head and body leave at one go. Some of
aiohttp that is used for it is no public interface; this and `incoming` are the places that know.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop, Transport
from collections.abc import Mapping
from functools import cached_property, partial
from typing import Any, Final

import aiohttp
from aiohttp import hdrs
from aiohttp.client_reqrep import ClientRequest, ConnectionKey
from aiohttp.helpers import TimerNoop
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from maestro_daemon.upstream.answer import Answer, cut_if_unsent
from maestro_daemon.upstream.incoming import Incoming
from maestro_daemon.upstream.silence import Silence

_MOST_ADDRESSES: Final = 64
_JOINED_UP_TO: Final = 128 * 1024  # bytes; to copy so many costs less than to write twice
_NO_TIMER: Final = TimerNoop()
_FRAMING: Final = frozenset({"content-length", "transfer-encoding", "content-type"})


class HeaderUnfit(ValueError):
    """The header of this name holds what would end its line."""


class _Asked(ClientRequest):
    """What aiohttp connects for. Asked for its key each time, it would make it anew."""

    @cached_property
    def connection_key(self) -> ConnectionKey:
        """Which connections are good for it."""
        return super().connection_key


class _Address:
    """What all requests of one method to one URL have in common."""

    __slots__ = ("head", "lines", "request", "request_info", "start", "url")

    def __init__(self, request: ClientRequest) -> None:
        self.request = request
        # It goes into the reprs of exceptions: without headers, which hold credentials.
        nothing: CIMultiDictProxy[str] = CIMultiDictProxy(CIMultiDict())
        self.request_info = aiohttp.RequestInfo(request.url, request.method, nothing, request.original_url)
        self.url = request.original_url
        through_proxy = request.proxy is not None and not request.is_ssl()
        self.start = (
            f"{request.method} {request.url if through_proxy else request.url.raw_path_qs} HTTP/1.1\r\n"
        )
        self.lines = {
            name.lower(): _line(name, value)
            for name, value in request.headers.items()
            if name.lower() not in _FRAMING
        }
        self.head = self.start + "".join(self.lines.values())

    def head_for(self, headers: Mapping[str, str], body: bytes | None) -> str:
        """The request line and all header lines; `headers` go above the usual ones."""
        said = {name.lower() for name in headers}
        if self.lines.keys().isdisjoint(said):
            head = self.head
        else:
            head = self.start + "".join([line for name, line in self.lines.items() if name not in said])
        head += "".join([_line(name, value) for name, value in headers.items()])
        if body is None:
            return head + "\r\n"
        kind = "" if "content-type" in said else "content-type: application/json\r\n"
        return f"{head}{kind}content-length: {len(body)}\r\n\r\n"


class Wire:
    """The connections of one upstream.

    `session` owns them. `headers` go with each request, those of the request itself above them. `timeout`
    bounds the making of a connection, `proxy` is the one to go through.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        loop: AbstractEventLoop,
        *,
        headers: Mapping[str, str],
        timeout: aiohttp.ClientTimeout,
        proxy: URL | None,
    ) -> None:
        self._session = session
        made: partial[Any] = partial(Incoming, loop)
        if session.connector is not None:
            session.connector._factory = made
        self._loop = loop
        self._headers = headers
        self._timeout = timeout
        self._proxy = proxy
        self._addresses: dict[tuple[str, str], _Address] = {}

    async def ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        silence: Silence,
        *,
        fresh: bool = False,
    ) -> Answer:
        """Send one request, `body` as JSON; gives the answer once its headers are here, its body unread.

        With `fresh` it goes over a new connection, and those that lie idle are closed.

        Raises aiohttp's exceptions, also after `silence` has cut the connection, and `HeaderUnfit`.
        """
        address = self._addresses.get((method, url)) or self._address(method, url)
        head = address.head_for(headers, body)
        connector = self._session.connector
        if connector is None:
            raise aiohttp.ClientConnectionError("the session is closed")
        request = address.request
        if fresh:
            for idle, _ in connector._conns.pop(request.connection_key, ()):
                idle.close()
        try:
            connection = await connector.connect(request, traces=[], timeout=self._timeout)
        except TimeoutError as error:
            raise aiohttp.ConnectionTimeoutError(f"no connection to {address.url.host}") from error
        try:
            protocol = connection.protocol
            if not isinstance(protocol, Incoming) or protocol.transport is None:
                raise aiohttp.ServerDisconnectedError
            protocol.expect()
            if request.proxy is not None and not request.is_ssl():
                # The connector has put it there as it connected.
                head = _with_proxy_credentials(head, request)
            _write(protocol.transport, head.encode(), body)
            silence.asked(protocol, self._loop.time())
            return await Answer.over(connection, protocol, address.request_info)
        except BaseException:
            cut_if_unsent(connection.protocol)
            connection.close()
            raise

    def _address(self, method: str, url: str) -> _Address:
        address = _Address(
            _Asked(
                method,
                URL(url, encoded=True),
                headers=self._headers,
                loop=self._loop,
                session=self._session,
                proxy=self._proxy,
                timer=_NO_TIMER,
            )
        )
        if len(self._addresses) < _MOST_ADDRESSES:
            self._addresses[method, url] = address
        return address


def _write(transport: Transport, head: bytes, body: bytes | None) -> None:
    if body is None:
        transport.write(head)
    elif len(body) <= _JOINED_UP_TO:
        transport.write(head + body)
    else:
        transport.write(head)
        transport.write(body)


def _line(name: str, value: str) -> str:
    line = f"{name}: {value}\r\n"
    if "\n" in value or "\r" in value or "\0" in value or "\n" in name or "\r" in name:
        raise HeaderUnfit(name)
    return line


def _with_proxy_credentials(head: str, request: ClientRequest) -> str:
    credentials = request.headers.get(hdrs.PROXY_AUTHORIZATION)
    if credentials is None:
        return head
    return head[:-2] + _line("proxy-authorization", credentials) + "\r\n"
