"""Where the daemon keeps what must outlive it (logins), and how a file is written there."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

_MODE = 0o600


def default_path(environ: Mapping[str, str] | None = None) -> Path:
    """``$STATE_DIRECTORY``, else ``maestro-daemon`` in ``$XDG_STATE_HOME`` or ``~/.local/state``."""
    environ = os.environ if environ is None else environ
    if given := environ.get("STATE_DIRECTORY"):
        return Path(given.split(":")[0])
    state = environ.get("XDG_STATE_HOME") or os.path.join(environ.get("HOME") or "~", ".local", "state")
    return Path(state, "maestro-daemon").expanduser()


def write_private(path: Path, content: bytes) -> None:
    """Put `content` into the file `path` for its owner only: whole or not at all, and kept through a crash.

    Directories that lack are made with mode 0700. Blocks. Raises `OSError`.
    """
    for folder in reversed([each for each in path.parents if not each.exists()]):
        folder.mkdir(mode=0o700, exist_ok=True)
    descriptor, written = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(descriptor, "wb") as file:
            os.fchmod(file.fileno(), _MODE)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(written, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(written)
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
