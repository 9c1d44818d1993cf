"""What stands before every handler: who calls, the request id, and errors as answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import structlog
from aiohttp import hdrs, web

from maestro_daemon.errors import MaestroError
from maestro_daemon.server.access import CLIENT
from maestro_daemon.server.error_answers import InternalError, error_response
from maestro_daemon.server.paths import method_not_allowed, unknown_path
from maestro_daemon.server.refusals import Refusals
from maestro_daemon.server.request_id import HEADER, request_id_of

_LONGEST_PATH = 200
_log = structlog.get_logger("maestro_daemon.server")

Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]
"""Answers one request."""

Straight = Mapping[tuple[str, str], Handle]
"""Who answers a method and path to which the application would lead as well, after a longer way."""


class FrontDoor:
    """Who calls, under which id, and whatever is raised as an answer in the envelope.

    `admitted` gives the client's name, or raises; see `Access.admitted`. `refusals` counts who was turned
    away, `straight` are those who need no application. Used in front of one and not as its middleware: to
    find a route, and to go through aiohttp's middlewares, costs as much as the routing of a request among its
    targets.

    An exception after an answer has begun ends the connection: a second answer would stand inside the first.
    """

    def __init__(
        self,
        admitted: Callable[[web.BaseRequest], str],
        refusals: Refusals,
        straight: Straight,
    ) -> None:
        self._admitted = admitted
        self._straight = straight
        self.refusals = refusals

    def before(self, application: Handle) -> Handle:
        """What answers all requests, most of them by `application`."""

        async def admit(request: web.Request) -> web.StreamResponse:
            request_id = request_id_of(request)
            try:
                request[CLIENT] = self._admitted(request)
                handle = self._straight.get((request.method, request.raw_path))
                if handle is None or hdrs.EXPECT in request.headers:
                    handle = application
                answer = await handle(request)
            except web.HTTPRedirection as redirection:
                redirection.headers[HEADER] = request_id
                raise
            except Exception as error:  # noqa: BLE001  (answered, and logged where unforeseen)
                answer = self._refused(request, error)
            if not answer.prepared:  # who prepares its answer has said it already
                answer.headers[HEADER] = request_id
            return answer

        return admit

    def _refused(self, request: web.Request, error: Exception) -> web.StreamResponse:
        if request.transport is None or request.transport.is_closing():
            raise ConnectionResetError("the client is gone") from error
        answer = answer_for(request, error)
        self.refusals.add(answer.status, _code_of(error))
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


FRONT_DOOR = web.AppKey("front_door", FrontDoor)
"""Where the application carries it."""


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
