"""One connection to an upstream, and what comes over it.

aiohttp makes the connection, through proxies and TLS, and keeps it for the next request. Its own reader calls
three methods for each chunk of HTTP, and servers send a chunk for each event: that costs more than all that
is done with the event. Here llhttp, the parser behind both, puts pieces into a list and calls nothing.
"""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import ClientOSError, ClientPayloadError, ServerDisconnectedError, hdrs
from aiohttp.client_proto import ResponseHandler
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser
from multidict import CIMultiDict, CIMultiDictProxy

from maestro_daemon.content_coding import codings, decoders
from maestro_daemon.errors import RequestInvalid
from maestro_daemon.upstream.body import Body

_MOST_AROUND: Final = 128 * 1024
"""Bytes of a head, of trailers or of a chunk's frame: llhttp keeps the line that it is in."""

Head = tuple[int, CIMultiDictProxy[str]]
"""Status and headers."""


class NotHttp(ValueError):
    """What came is no HTTP, or has no end of what is around its content."""


class Incoming(ResponseHandler):
    """A connection; `expect` before each request, then `head` and `body`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._reader: HttpResponseParser | None = None
        self._fields: list[tuple[bytes, bytes]] = []
        self._head: Head | None = None
        self._no_head: Exception | None = None
        self._waits_for_head: asyncio.Future[None] | None = None
        self._stays = False
        self.body = Body(self, loop)

    def expect(self) -> None:
        """What comes from now on answers the request that is about to be sent.

        What a server says as it is connected to, it may be that it is full, is an answer as well. Raises
        `aiohttp.ServerDisconnectedError` where something came later that nobody had asked for.
        """
        early, self._tail = self._tail, b""
        if self.transport is None or (early and self.body.came):
            self._should_close = True
            raise ServerDisconnectedError
        self.body = Body(self, self._loop)
        self.on_body = self.body.add
        self._fields = []
        self._head = self._no_head = None
        self._should_close = True  # until the answer is whole
        self._reader = reader = HttpResponseParser(self)
        # What aiohttp's reader forgives servers as well.
        reader.set_dangerous_leniencies(
            lenient_headers=True, lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
        )
        if early:
            self._resume_reading_for_buffer()
            self.data_received(early)

    async def head(self) -> Head:
        """Wait for the headers. Raises `NotHttp`, or aiohttp's errors for a connection that was lost."""
        while self._head is None:
            if self._no_head is not None:
                raise self._no_head
            self._waits_for_head = self._loop.create_future()
            try:
                await self._waits_for_head
            finally:
                self._waits_for_head = None
        return self._head

    def data_received(self, data: bytes) -> None:
        """Take a read apart."""
        reader = self._reader
        if reader is None:
            super().data_received(data)  # a proxy's answer to CONNECT, or nobody's
            return
        body = self.body
        had_head = self._head is not None
        try:
            reader.feed_data(data)
        except HttpParserUpgrade:
            self._should_close = True  # what comes behind the answer is something else
            body.end()
        except HttpParserError as error:
            self._should_close = True
            if not body.whole:
                if not had_head and not body.holds_any:
                    self._head = None  # as long as nothing came behind it nobody has to know
                self._break(NotHttp(str(error)))
        body.heard(len(data))
        if body.whole:
            self._reader = None
        elif body.unread > _MOST_AROUND and not body.holds_any:
            self._break(NotHttp(f"{_MOST_AROUND} bytes without content"))

    def connection_lost(self, exc: BaseException | None) -> None:
        """Nothing more comes; where the house has cut the connection itself the transport is gone already."""
        if self._reader is not None:
            self._reader = None
            if self._head is None:
                lost = ClientOSError(*exc.args) if isinstance(exc, OSError) else ServerDisconnectedError()
                self._tell_no_head(lost)
            elif exc is None and self.transport is not None and _ends_with_connection(self._head[1]):
                self.body.end()
            else:
                self.body.fail(ClientPayloadError("the connection was lost in the middle of the body"))
        super().connection_lost(exc)

    def hold(self) -> None:
        """See `Tap`."""
        self._pause_transport_reading()

    def go_on(self) -> None:
        """See `Tap`."""
        self._resume_transport_reading()

    def on_message_begin(self) -> None:
        """The parser's: an answer begins; one to a request that was not made ends the connection."""
        if self.body.whole:
            raise NotHttp("two answers to one request")

    def on_header(self, name: bytes, value: bytes) -> None:
        """The parser's: one header, or trailer."""
        self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        """The parser's: the head is here."""
        reader = self._reader
        if reader is None:
            return
        status = reader.get_status_code()
        if 100 <= status < 200 and status != 101:
            return
        self._stays = reader.should_keep_alive()
        headers: CIMultiDict[str] = CIMultiDict(
            [
                (name.decode("utf-8", "surrogateescape"), value.decode("utf-8", "surrogateescape").strip())
                for name, value in self._fields
            ]
        )
        if hdrs.CONTENT_ENCODING in headers:
            self._decode(headers.getall(hdrs.CONTENT_ENCODING))
        self._head = status, CIMultiDictProxy(headers)
        self._wake()

    def on_message_complete(self) -> None:
        """The parser's: the answer is whole, or was only a word that one is to come."""
        if self._head is None:
            if self.body.holds_any:
                raise NotHttp("a word that an answer is to come has a body")
            self._fields = []
        else:
            self._should_close = not self._stays
            self.body.end()

    def _decode(self, said: list[str]) -> None:
        try:
            stages = decoders(codings(said))
        except RequestInvalid:
            return  # of a coding that nobody knows the bytes are given as they are
        if len(stages) == 1:
            self.body.decode(stages[0])

    def _break(self, error: NotHttp) -> None:
        if self.transport is not None:
            self.transport.close()
        self._reader = None
        if self._head is None:
            self._tell_no_head(error)
        else:
            self.body.fail(ClientPayloadError(str(error)))

    def _tell_no_head(self, error: Exception) -> None:
        self._no_head = error
        self._wake()

    def _wake(self) -> None:
        if self._waits_for_head is not None and not self._waits_for_head.done():
            self._waits_for_head.set_result(None)


def _ends_with_connection(headers: CIMultiDictProxy[str]) -> bool:
    """Whether nothing but the connection's end ends the body."""
    codings = ",".join(headers.getall(hdrs.TRANSFER_ENCODING, ()))
    is_chunked = codings.rpartition(",")[2].strip().lower() == "chunked"
    return hdrs.CONTENT_LENGTH not in headers and not is_chunked
