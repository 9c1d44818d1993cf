"""Which file is the configuration, and its text."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from maestro_daemon.errors import ConfigInvalid

CONFIG_NAME: Final = "maestro.toml"
_OF_THE_MACHINE: Final = Path("/etc/maestro-daemon/config.toml")
_LARGEST: Final = 4 * 2**20


@dataclass(frozen=True, slots=True)
class ConfigText:
    """The text of one configuration file. `private`: neither group nor others can read it."""

    path: Path
    text: str
    private: bool


def candidates(environ: Mapping[str, str]) -> list[Path]:
    """Where a configuration is looked for when none is named, first come first served."""
    home = environ.get("XDG_CONFIG_HOME") or os.path.join(environ.get("HOME") or "~", ".config")
    return [
        Path(CONFIG_NAME),
        Path(home, "maestro-daemon", "config.toml"),
        _OF_THE_MACHINE,
    ]


def find(named: Path | None, environ: Mapping[str, str]) -> Path | None:
    """The file to read: the `named` one, ``$MAESTRO_CONFIG``, or the first candidate there is; else None."""
    if named is not None:
        return named
    if said := environ.get("MAESTRO_CONFIG"):
        return Path(said)
    return next((path for path in candidates(environ) if os.path.lexists(path)), None)


def read(path: Path) -> ConfigText:
    """Read the file. Raises `ConfigInvalid` with one sentence."""
    try:
        # Non-blocking, so that a named pipe is refused below instead of waited for.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
        with open(descriptor, "rb") as file:
            mode = os.fstat(descriptor).st_mode
            content: bytes | None = file.read(_LARGEST + 1)
    except IsADirectoryError:
        raise ConfigInvalid(f"{path}: is a directory; a TOML file is wanted.") from None
    except OSError as error:
        raise ConfigInvalid(f"{path}: cannot be read: {error.strerror}.") from None
    if content is None or len(content) > _LARGEST:
        raise ConfigInvalid(f"{path}: is no configuration; a TOML file of at most 4 MiB is wanted.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigInvalid(f"{path}:{line}: is not UTF-8 text (at byte {error.start}).") from None
    return ConfigText(path, text, private=os.name != "posix" or not mode & 0o044)
