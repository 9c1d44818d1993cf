"""What is said on connections where there is no request yet, or none that can be read."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp.http_exceptions import BadHttpMessage, BadHttpMethod, LineTooLong

from maestro_daemon.errors import MaestroError, RequestInvalid
from maestro_daemon.protocol import json
from maestro_daemon.server.error_answers import InternalError, error_response
from maestro_daemon.server.request_id import HEADER, new_request_id


class RequestTooSlow(RequestInvalid):
    """The headers did not arrive in time."""

    default_status = 408
    default_code = "request_timeout"


class TooManyConnections(MaestroError):
    """The daemon has as many connections open as it may have."""

    default_status = 503
    default_code = "too_many_connections"


def protocol_error(status: int, exc: BaseException | None, max_header: int) -> MaestroError:
    """The error for what aiohttp could not take for a request; nothing of what was sent is in it."""
    # A broken header may be the one with the key.
    if status >= 500:
        return InternalError("The daemon failed to serve this request; its log says more.", status=status)
    if isinstance(exc, LineTooLong):
        return RequestInvalid(
            f"The request line or a header is longer than {max_header} bytes ([server] max_header).",
            status=431,
            code="header_too_large",
        )
    if isinstance(exc, BadHttpMessage) and exc.message.startswith("Too many headers"):
        return RequestInvalid("The request has too many headers.", status=431, code="header_too_large")
    if isinstance(exc, BadHttpMethod) and "HTTPS" in exc.message:
        return RequestInvalid("This port speaks plain HTTP; use an http:// URL.", code="bad_http_request")
    return RequestInvalid("The request is not valid HTTP.", status=status, code="bad_http_request")


def raw_answer(error: MaestroError) -> bytes:
    """The same answer as bytes, for a connection on which there is no request yet."""
    response = error_response(error, headers={HEADER: new_request_id()})
    body = json.dumps(error.envelope())
    head = [
        f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}",
        *(f"{name}: {value}" for name, value in response.headers.items() if name.lower() != "content-length"),
        f"content-length: {len(body)}",
        "connection: close",
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body
