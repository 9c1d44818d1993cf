"""The machine's own daemon, kept from the tests: whatever asks a daemon and finds no other would ask it."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Final

from maestro_daemon.server import control_socket

_CLONE_NEWNS: Final = 0x20000
_MS_REC: Final = 0x4000
_MS_PRIVATE: Final = 0x40000


def hide_system_daemon(socket: Path = control_socket._SYSTEM_SOCKET) -> bool:
    """Put an empty folder over that of the daemon's socket, for this process and those it starts.

    False where there is none, and where the process may not: then it is not root, whom alone it answers.
    """
    if not control_socket.is_socket(socket):
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    folder = os.fsencode(socket.parent)
    return bool(
        libc.unshare(_CLONE_NEWNS) == 0
        and libc.mount(b"none", b"/", None, ctypes.c_ulong(_MS_REC | _MS_PRIVATE), None) == 0
        and libc.mount(b"tmpfs", folder, b"tmpfs", ctypes.c_ulong(0), b"mode=700") == 0
    )
