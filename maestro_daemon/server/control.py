"""The daemon's side of the control socket: HTTP on a unix socket, for root and the daemon's own user."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from maestro_daemon.errors import AccessForbidden, MaestroError, RequestInvalid
from maestro_daemon.protocol import json
from maestro_daemon.server.body import read_body
from maestro_daemon.server.error_answers import InternalError, error_response
from maestro_daemon.server.unix_place import PlaceInUse, PlaceTaken, UnixPlace

Fields = Mapping[str, Any]
Answer = Callable[[], Mapping[str, Any]]
Action = Callable[[Fields], Awaitable[Mapping[str, Any]]]
Steps = Callable[[Fields], AsyncGenerator[Mapping[str, Any], None]]


@dataclass(frozen=True, slots=True)
class Surface:
    """What the control socket serves, by path.

    `answers` are asked with GET and answered at once, `questions` with GET and a query, `actions` with POST
    and a JSON object; each is answered with a JSON object. `flows` are asked as actions are, and answered
    with a JSON object per line (NDJSON) as the steps come; who leaves before the end ends the flow.
    """

    answers: Mapping[str, Answer] = field(default_factory=dict)
    questions: Mapping[str, Action] = field(default_factory=dict)
    actions: Mapping[str, Action] = field(default_factory=dict)
    flows: Mapping[str, Steps] = field(default_factory=dict)


_LARGEST_BODY = 2**20
_BODY_TIMEOUT = 30.0
_log = structlog.get_logger(__name__)


class ControlRefused(MaestroError):
    """The control socket cannot be had; the message is the sentence for the operator."""


@contextlib.asynccontextmanager
async def serve(path: Path, surface: Surface) -> AsyncIterator[Path]:
    """Answer on the unix socket `path` (mode 0600) while the block runs.

    A socket that nobody listens on any more is replaced. Raises `ControlRefused` if a daemon listens there,
    if something else stands there, or if the place cannot be written.
    """
    place = await asyncio.to_thread(_place, path)
    runner = web.AppRunner(
        _application(surface),
        access_log=None,
        auto_decompress=False,
        handle_signals=False,
        handler_cancellation=True,
        shutdown_timeout=1.0,
    )
    try:
        await runner.setup()
        await web.SockSite(runner, place.socket).start()
        _log.debug("control socket open", path=str(path))
        yield path
    finally:
        await runner.cleanup()
        await asyncio.to_thread(place.leave)


def surface_routes(surface: Surface, prefix: str = "") -> list[web.RouteDef]:
    """What the surface serves, each path behind `prefix`. What its parts raise, the handlers raise."""

    def answering(answer: Answer) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            return _document(answer())

        return handle

    def questioned(question: Action) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            return _document(await question(request.query))

        return handle

    def acting(action: Action) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            return _document(await action(await _fields(request)))

        return handle

    def flowing(steps: Steps) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            return await _follow(request, steps(await _fields(request)))

        return handle

    return [
        *(web.get(prefix + path, answering(each)) for path, each in surface.answers.items()),
        *(web.get(prefix + path, questioned(each)) for path, each in surface.questions.items()),
        *(web.post(prefix + path, acting(each)) for path, each in surface.actions.items()),
        *(web.post(prefix + path, flowing(each)) for path, each in surface.flows.items()),
    ]


def _application(surface: Surface) -> web.Application:
    application = web.Application(middlewares=[_in_envelope])
    application.add_routes(surface_routes(surface))
    return application


def _document(document: Mapping[str, Any]) -> web.Response:
    return web.Response(body=json.dumps(document), content_type="application/json")


async def _fields(request: web.Request) -> Fields:
    body = await read_body(request, limit=_LARGEST_BODY, timeout=_BODY_TIMEOUT)
    fields = json.loads(body or b"{}")
    if not isinstance(fields, dict):
        raise RequestInvalid("The body must be a JSON object.")
    return fields


async def _follow(request: web.Request, steps: AsyncGenerator[Mapping[str, Any], None]) -> web.StreamResponse:
    """Send each step as it comes. What fails before the first one is still an answer with a status."""
    async with contextlib.aclosing(steps):
        first = await anext(steps, None)
        answer = web.StreamResponse(headers={"content-type": "application/x-ndjson"})
        await answer.prepare(request)
        if first is not None:
            await answer.write(json.dumps(first) + b"\n")
        async for step in steps:
            await answer.write(json.dumps(step) + b"\n")
        await answer.write_eof()
        return answer


@web.middleware
async def _in_envelope(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        _admit(request)
        return await handler(request)
    except web.HTTPException as error:
        message = f"The control socket does not serve {request.method} {request.path}."
        return error_response(RequestInvalid(message, status=error.status, code="not_served"))
    except MaestroError as error:
        return error_response(error)
    except ConnectionResetError:
        raise  # whoever asked has left
    except Exception:  # noqa: BLE001  (logged, and answered without its text)
        _log.exception("a control request failed", path=request.path)
        return error_response(InternalError("The daemon failed to answer; its log says why."))


def _admit(request: web.Request) -> None:
    """Refuse everybody but root and our own user. Where the system cannot tell, the file's mode decides."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return
    peer = request.transport.get_extra_info("socket") if request.transport is not None else None
    if peer is None:
        raise AccessForbidden("Who asks cannot be told.")
    _, user, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, option, struct.calcsize("3i")))
    if user not in {0, os.geteuid()}:
        raise AccessForbidden("Only root and the daemon's own user may use the control socket.")


def _place(path: Path) -> UnixPlace:
    try:
        return UnixPlace(path)
    except PlaceInUse:
        raise ControlRefused(
            f"A maestro-daemon is already running: it listens on {path}. "
            "Stop it, or name another socket with --socket."
        ) from None
    except PlaceTaken as error:
        raise ControlRefused(f"{error.message} Name another one with --socket.") from error
