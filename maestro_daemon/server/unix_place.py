"""A place in the file system where one process listens on a unix socket."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path
from typing import Final

from maestro_daemon.errors import MaestroError
from maestro_daemon.server.control_socket import LONGEST_PATH, is_live, is_socket

_BACKLOG: Final = 1024
_MODE: Final = 0o600


class PlaceTaken(MaestroError):
    """Nobody can listen there; the message is one sentence that names the place."""


class PlaceInUse(PlaceTaken):
    """Somebody listens there."""


class UnixPlace:
    """A listening `socket` at `path`, which only our own user can connect to. Blocks.

    A socket that nobody listens on any more is replaced. Raises `PlaceTaken`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if len(os.fsencode(path)) > LONGEST_PATH:
            raise PlaceTaken(f"The path of the unix socket is longer than {LONGEST_PATH} bytes: {path}.")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _clear(path)
            # On Linux the file is born with this mode; elsewhere there is a moment until the chmod below.
            with contextlib.suppress(OSError):
                os.fchmod(self.socket.fileno(), _MODE)
            self.socket.bind(os.fspath(path))
            # Until it listens it looks like one that nobody uses any more.
            self.socket.listen(_BACKLOG)
            path.chmod(_MODE)
            self._file = _identity(path)
        except OSError as error:
            self.socket.close()
            raise PlaceTaken(f"The unix socket {path} cannot be made: {error.strerror}.") from error
        except BaseException:
            self.socket.close()
            raise

    def leave(self) -> None:
        """Remove the socket, unless another process has put its own there. Blocks."""
        self.socket.close()
        with contextlib.suppress(OSError):
            if _identity(self.path) == self._file:
                self.path.unlink()


def _identity(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_dev, found.st_ino


def _clear(path: Path) -> None:
    if not os.path.lexists(path):
        return
    if not is_socket(path):
        raise PlaceTaken(f"{path} is there already and is no socket; it is left alone.")
    if is_live(path):
        raise PlaceInUse(f"Another program listens on {path}: stop it, or name another socket.")
    path.unlink(missing_ok=True)
