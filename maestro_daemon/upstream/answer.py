"""The answer of an upstream: its status and headers, and its body yet to be read."""

from __future__ import annotations

from typing import Final, Self

import aiohttp
from aiohttp import ClientResponseError, hdrs
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from multidict import CIMultiDictProxy

from maestro_daemon.upstream.body import Body
from maestro_daemon.upstream.incoming import Incoming, NotHttp

_NO_TYPE: Final = "application/octet-stream"


class Answer:
    """What came over `connection`: used once, and released at its end.

    `content_type` is the media type in lower case, without its parameters.

    aiohttp's own response knows cookies, redirects, charsets and writers besides, which costs as much as the
    rest of an exchange.
    """

    __slots__ = ("_connection", "body", "content_type", "headers", "status")

    def __init__(
        self, connection: Connection, status: int, headers: CIMultiDictProxy[str], body: Body
    ) -> None:
        self._connection = connection
        self.status = status
        self.headers = headers
        self.body = body
        said: str = headers.get(hdrs.CONTENT_TYPE, "")
        self.content_type = said.partition(";")[0].strip().lower() or _NO_TYPE

    @classmethod
    async def over(cls, connection: Connection, protocol: Incoming, asked: aiohttp.RequestInfo) -> Self:
        """Wait for the headers. Raises `aiohttp.ClientResponseError` for what is no HTTP, and OSErrors."""
        try:
            status, headers = await protocol.head()
        except NotHttp as error:
            raise ClientResponseError(asked, (), status=400, message=str(error)) from error
        return cls(connection, status, headers, protocol.body)

    def release(self) -> None:
        """Give the connection back; it is ended unless the whole request went and the whole body has come."""
        connection = self._connection
        if cut_if_unsent(connection.protocol) or not self.body.at_end:
            connection.close()
        else:
            connection.release()


def cut_if_unsent(protocol: ResponseHandler | None) -> bool:
    """Cut the connection if some of the request was not sent yet; whether that was so.

    If it were closed only, it and what is left would stay until its server reads on.
    """
    transport = None if protocol is None else protocol.transport
    if transport is None or not transport.get_write_buffer_size():
        return False
    transport.abort()
    return True
