"""What stands around every handler: who calls, the request id, and errors as answers."""

from __future__ import annotations

from collections.abc import Callable

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from maestro_daemon.errors import MaestroError
from maestro_daemon.server.access import CLIENT
from maestro_daemon.server.error_answers import InternalError, error_response
from maestro_daemon.server.paths import method_not_allowed, unknown_path
from maestro_daemon.server.refusals import REFUSALS
from maestro_daemon.server.request_id import HEADER, request_id_of

_LONGEST_PATH = 200
_log = structlog.get_logger("maestro_daemon.server")


def front_door(admitted: Callable[[web.BaseRequest], str]) -> Middleware:
    """The one middleware: who calls, under which id, and whatever is raised as an answer in the envelope.

    `admitted` gives the client's name, or raises; see `Access.admitted`.

    An exception after an answer has begun ends the connection: a second answer would stand inside the first.
    """

    @web.middleware
    async def admit(request: web.Request, handler: Handler) -> web.StreamResponse:
        request_id = request_id_of(request)
        try:
            request[CLIENT] = admitted(request)
            answer = await handler(request)
        except web.HTTPRedirection as redirection:
            redirection.headers[HEADER] = request_id
            raise
        except Exception as error:  # noqa: BLE001  (answered, and logged where unforeseen)
            answer = _refused(request, error)
        if not answer.prepared:  # who prepares its answer has said it already
            answer.headers[HEADER] = request_id
        return answer

    return admit


def _refused(request: web.Request, error: Exception) -> web.StreamResponse:
    if request.transport is None or request.transport.is_closing():
        raise ConnectionResetError("the client is gone") from error
    answer = answer_for(request, error)
    if (refusals := request.app.get(REFUSALS)) is not None:
        refusals.add(answer.status, _code_of(error))
    if request.writer.output_size > 0:
        raise ConnectionResetError("the answer had begun when the handler failed") from error
    _log.warning(
        "request refused",
        request_id=request_id_of(request),
        method=request.method,
        path=request.path[:_LONGEST_PATH],
        http_status=answer.status,
        reason=error.message[:500] if isinstance(error, MaestroError) else None,
    )
    return answer


def _code_of(error: Exception) -> str | None:
    if isinstance(error, MaestroError):
        return error.code
    return "not_served" if isinstance(error, web.HTTPException) else InternalError.default_code


def answer_for(request: web.Request, error: Exception) -> web.StreamResponse:
    """The answer for anything that was raised while serving `request`; the unforeseen is logged."""
    if isinstance(error, MaestroError):
        return error_response(error)
    if isinstance(error, web.HTTPException):
        return _http_answer(request, error)
    request_id = request_id_of(request)
    _log.error("request failed unforeseen", request_id=request_id, path=request.path, exc_info=error)
    return error_response(
        InternalError(f"The daemon failed to serve this request; its log says more under {request_id}.")
    )


def _http_answer(request: web.Request, error: web.HTTPException) -> web.StreamResponse:
    if isinstance(error, web.HTTPNotFound):
        return error_response(unknown_path(request.method, request.path))
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        return error_response(method_not_allowed(request.method, request.path, allowed))
    return error_response(http_error(error.status, error.reason))


def http_error(status: int, reason: str) -> MaestroError:
    """The error for an HTTP status of aiohttp's own making."""
    return MaestroError(
        f"The request cannot be served: {reason}.",
        status=status,
        code="bad_http_request" if status < 500 else "internal_error",
        type="invalid_request_error" if status < 500 else "server_error",
    )
