"""The daemon's side of the control socket: HTTP on a unix socket, for root and the daemon's own user."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from maestro_daemon.errors import AccessForbidden, MaestroError, RequestInvalid
from maestro_daemon.protocol import json
from maestro_daemon.server.control_socket import is_live, is_socket, too_long
from maestro_daemon.server.error_answers import InternalError, error_response

Answer = Callable[[], Mapping[str, Any]]

_MODE = 0o600
_log = structlog.get_logger(__name__)


class ControlRefused(MaestroError):
    """The control socket cannot be had; the message is the sentence for the operator."""


@contextlib.asynccontextmanager
async def serve(path: Path, answers: Mapping[str, Answer]) -> AsyncIterator[Path]:
    """Answer on the unix socket `path` (mode 0600) while the block runs.

    ``GET /status`` gives the JSON object that ``answers["/status"]()`` returns, and so on. A socket that
    nobody listens on any more is replaced. Raises `ControlRefused` if a daemon listens there, if something
    else stands there, or if the place cannot be written.
    """
    listening, identity = await asyncio.to_thread(_bind, path)
    runner = web.AppRunner(_application(answers), access_log=None, handle_signals=False, shutdown_timeout=1.0)
    try:
        await runner.setup()
        await web.SockSite(runner, listening).start()
        _log.debug("control socket open", path=str(path))
        yield path
    finally:
        await runner.cleanup()
        listening.close()
        await asyncio.to_thread(_remove, path, identity)


def _application(answers: Mapping[str, Answer]) -> web.Application:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=json.dumps(answers[request.path]()), content_type="application/json")

    application = web.Application(middlewares=[_in_envelope], client_max_size=2**20)
    for path in answers:
        application.router.add_get(path, answer)
    return application


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


def _bind(path: Path) -> tuple[socket.socket, tuple[int, int]]:
    """A bound socket that only we can open, and its device and inode."""
    if sentence := too_long(path):
        raise ControlRefused(sentence)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _clear(path)
        # On Linux the file is born with this mode; elsewhere there is a moment until the chmod below.
        with contextlib.suppress(OSError):
            os.fchmod(listening.fileno(), _MODE)
        listening.bind(os.fspath(path))
        # Until it listens it looks like one that nobody uses any more.
        listening.listen(64)
        path.chmod(_MODE)
        found = path.lstat()
    except OSError as error:
        listening.close()
        raise ControlRefused(f"The control socket {path} cannot be made: {error.strerror}.") from error
    except BaseException:
        listening.close()
        raise
    return listening, (found.st_dev, found.st_ino)


def _clear(path: Path) -> None:
    if not os.path.lexists(path):
        return
    if not is_socket(path):
        raise ControlRefused(
            f"{path} is there already and is no socket; it is left alone. Name another one with --socket."
        )
    if is_live(path):
        raise ControlRefused(
            f"A maestro-daemon is already running: it listens on {path}. "
            "Stop it, or name another socket with --socket."
        )
    path.unlink(missing_ok=True)


def _remove(path: Path, identity: tuple[int, int]) -> None:
    """Remove our socket, unless another daemon has put its own there."""
    with contextlib.suppress(OSError):
        found = path.lstat()
        if (found.st_dev, found.st_ino) == identity:
            path.unlink()
