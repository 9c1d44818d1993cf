"""The control socket: where it is, and how a command, without any event loop, asks the running daemon."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import stat
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from maestro_daemon.errors import ConfigInvalid, MaestroError
from maestro_daemon.protocol import json

NAME: Final = "control.sock"
_SYSTEM_SOCKET: Final = Path("/run/maestro-daemon", NAME)
_SYSTEM_UNIT: Final = Path("/etc/systemd/system/maestro-daemon.service")
_LARGEST_ANSWER: Final = 64 * 2**20
_LARGEST_STEP: Final = 2**20
LONGEST_PATH: Final = 107


class ControlUnreachable(MaestroError):
    """No daemon answers on the control socket; the message is the sentence for the user."""


def default_path(environ: Mapping[str, str] | None = None) -> Path:
    """Where the daemon puts its socket: ``$RUNTIME_DIRECTORY``, else ``$XDG_RUNTIME_DIR/maestro-daemon``.

    A login without a runtime directory (a container, a bare ssh) has the state directory instead, which is
    private as well.
    """
    environ = os.environ if environ is None else environ
    if given := environ.get("RUNTIME_DIRECTORY"):
        return Path(given.split(":")[0], NAME)
    if given := environ.get("XDG_RUNTIME_DIR"):
        return Path(given, "maestro-daemon", NAME)
    state = environ.get("XDG_STATE_HOME") or os.path.join(environ.get("HOME") or "~", ".local", "state")
    return Path(state, "maestro-daemon", NAME).expanduser()


def find(environ: Mapping[str, str] | None = None) -> Path:
    """The socket to ask: the user's own daemon if one listens, else the system's, else the default path.

    A daemon that was killed leaves its socket behind, which must not stand before the system's.
    """
    own = default_path(environ)
    if is_socket(_SYSTEM_SOCKET) and not (is_socket(own) and is_live(own)):
        return _SYSTEM_SOCKET
    return own


def other_daemon() -> str | None:
    """One sentence on the machine's daemon, where it is another one than `find` finds; None without one."""
    try:
        _SYSTEM_SOCKET.lstat()
    except PermissionError:
        return "The machine's daemon answers root alone: put sudo before the command."
    except OSError:
        if _SYSTEM_UNIT.exists():
            return "The machine's daemon is a service that is not running: systemctl start maestro-daemon."
    return None


def is_socket(path: Path) -> bool:
    """Whether a unix socket stands there, dead or alive."""
    try:
        return stat.S_ISSOCK(path.lstat().st_mode)
    except OSError:
        return False


def is_live(path: Path, timeout: float = 2.0) -> bool:
    """Whether somebody listens there. A listener whose backlog is full counts as one."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(timeout)
        try:
            probe.connect(os.fspath(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except (BlockingIOError, TimeoutError, PermissionError):
            return True
        return True


def too_long(path: Path) -> str | None:
    """The sentence about a path that no unix socket can have, or None."""
    if len(os.fsencode(path)) <= LONGEST_PATH:
        return None
    return (
        f"The path of the control socket is longer than {LONGEST_PATH} bytes: {path}. "
        "Name another one with --socket."
    )


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(os.fspath(self._path))


def ask(
    path: Path, what: str, fields: Mapping[str, str] | None = None, *, timeout: float = 5.0
) -> dict[str, Any]:
    """``GET what?fields`` (``/status``) from the daemon behind the socket: its JSON object.

    Blocks for at most about `timeout` seconds. Raises `ControlUnreachable` with one sentence, and
    `ConfigInvalid` where the daemon says so of its configuration.
    """
    target = f"{what}?{urlencode(fields)}" if fields else what
    with _asked(path, "GET", target, None, timeout) as response:
        return _document(path, response.status, response.read(_LARGEST_ANSWER))


def tell(path: Path, what: str, fields: Mapping[str, Any], *, timeout: float = 5.0) -> dict[str, Any]:
    """``POST what`` with `fields` to the daemon behind the socket: its JSON object. Raises as `ask`."""
    with _asked(path, "POST", what, json.dumps(fields), timeout) as response:
        return _document(path, response.status, response.read(_LARGEST_ANSWER))


def follow(
    path: Path, what: str, fields: Mapping[str, Any], *, timeout: float = 180.0
) -> Generator[dict[str, Any], None, None]:
    """``POST what`` with `fields`, and give each JSON object of the answer as it comes.

    `timeout` seconds may pass between two of them. Closing the generator ends what the daemon does for it.
    Raises as `ask`, also where the daemon ends in between.
    """
    with _asked(path, "POST", what, json.dumps(fields), timeout) as response:
        if response.status != 200:
            _document(path, response.status, response.read(_LARGEST_ANSWER))
        # `readline` would take an answer that was cut off for one that is over.
        waiting = b""
        while piece := response.read1(_LARGEST_STEP):
            *lines, waiting = (waiting + piece).split(b"\n")
            for line in lines:
                yield _document(path, 200, line)
            if len(waiting) > _LARGEST_STEP:
                raise ControlUnreachable(f"{path} does not answer as a maestro-daemon.")


@contextlib.contextmanager
def _asked(
    path: Path, method: str, target: str, body: bytes | None, timeout: float
) -> Iterator[http.client.HTTPResponse]:
    if sentence := too_long(path):
        raise ControlUnreachable(sentence)
    connection = _Connection(path, timeout)
    try:
        connection.request(method, target, body, {"content-type": "application/json"} if body else {})
        yield connection.getresponse()
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
        said = [
            f"No maestro-daemon is running here (nobody listens on {path}).",
            "Start one with 'maestro-daemon serve', or name its socket with --socket.",
            other_daemon(),
        ]
        raise ControlUnreachable(" ".join(filter(None, said))) from None
    except PermissionError:
        raise ControlUnreachable(
            f"The control socket {path} belongs to another user: only that user and root may ask."
        ) from None
    except TimeoutError:
        raise ControlUnreachable(
            f"The daemon on {path} did not answer within {timeout:g} s; it may be stuck."
        ) from None
    except (http.client.IncompleteRead, http.client.RemoteDisconnected):
        raise ControlUnreachable(f"The daemon on {path} ended before its answer was complete.") from None
    except (OSError, http.client.HTTPException) as error:
        raise ControlUnreachable(f"{path} does not answer as a maestro-daemon: {error}.") from None
    finally:
        connection.close()


def _document(path: Path, status: int, body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except MaestroError:
        document = None
    if not isinstance(document, dict):
        raise ControlUnreachable(f"{path} does not answer as a maestro-daemon.")
    if status != 200:
        error = document.get("error")
        error = error if isinstance(error, dict) else {}
        message = error.get("message") or f"The daemon answered with status {status}."
        if error.get("code") == ConfigInvalid.default_code:
            raise ConfigInvalid(message)
        raise ControlUnreachable(message)
    return document
