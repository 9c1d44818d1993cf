"""Where an engine's socket is made, and that none is left there by an engine that was killed."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import tempfile
from pathlib import Path
from typing import Final

_FOLDER: Final = "maestro-engine-"
_SOCKET: Final = "engine.sock"
_LONGEST_PATH: Final = 100
"""Bytes; the kernels' own limit is 104 (macOS) or 108 (Linux)."""


def new_socket_path() -> str | None:
    """The path of a socket in a folder that does not exist yet; None if it is too long for the kernel.

    It lies in the service's runtime directory, the user's, or the one for temporary files. What engines left
    there that died without their own clean-up is removed. Reads the disk, so not for the event loop.
    """
    place = _place()
    _sweep(place)
    path = place / f"{_FOLDER}{secrets.token_hex(6)}" / _SOCKET
    return str(path) if len(os.fsencode(path)) <= _LONGEST_PATH else None


def remove_socket(path: str) -> None:
    """Remove the socket with its folder, if they are there."""
    shutil.rmtree(os.path.dirname(path), ignore_errors=True)


def _place() -> Path:
    named = (os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0], os.environ.get("XDG_RUNTIME_DIR", ""))
    for place in named:
        if os.path.isabs(place) and os.access(place, os.W_OK | os.X_OK):
            return Path(place)
    return Path(tempfile.gettempdir())


def _sweep(place: Path) -> None:
    for folder in place.glob(f"{_FOLDER}*"):
        if _is_dead(folder / _SOCKET):
            remove_socket(str(folder / _SOCKET))


def _is_dead(path: Path) -> bool:
    """Whether the socket is there and nobody listens on it; another user's counts as alive."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False
