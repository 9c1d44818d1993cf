"""The login that an editor's Copilot plugin has left on this machine, for a configuration that wants it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from maestro_copilot import github_answers
from maestro_daemon.plugin import ProviderUnavailable, Secret

_FILES: Final = ("apps.json", "hosts.json")
_LARGEST: Final = 1024 * 1024


def usual_folder(environ: Mapping[str, str] | None = None) -> Path:
    """``github-copilot`` in ``$XDG_CONFIG_HOME`` or ``~/.config`` (on Windows ``%LOCALAPPDATA%``)."""
    environ = os.environ if environ is None else environ
    if os.name == "nt" and (local := environ.get("LOCALAPPDATA")):
        return Path(local, "github-copilot")
    config = environ.get("XDG_CONFIG_HOME") or os.path.join(environ.get("HOME") or "~", ".config")
    return Path(config, "github-copilot").expanduser()


def read(place: Path, host: str, client_id: str) -> Secret | None:
    """The token for `host` in ``apps.json`` or ``hosts.json`` of the folder `place`, or in the file `place`.

    That of `client_id` goes before others. None if there is none. Blocks. Raises `ProviderUnavailable` for
    a file that is there and cannot be read.
    """
    files = [place / name for name in _FILES] if place.is_dir() else [place]
    found = [each for file in files for each in _tokens(file, host)]
    found.sort(key=lambda each: each[0] != f"{host}:{client_id}")
    return found[0][1] if found else None


def _tokens(file: Path, host: str) -> Iterator[tuple[str, Secret]]:
    try:
        with file.open("rb") as opened:
            fields = github_answers.parsed(opened.read(_LARGEST))
    except FileNotFoundError:
        return
    except OSError as error:
        raise ProviderUnavailable(
            f"The editor's login in {file} cannot be read: {error.strerror}. Remove editor_login, or let the "
            "daemon's user read the file."
        ) from None
    for key, value in fields.items():
        if key == host or key.startswith(f"{host}:"):
            token = github_answers.token(_oauth_token(value), f"the editor's login in {file}")
            if token is not None:
                yield key, token


def _oauth_token(value: Any) -> Any:
    return github_answers.mapping(value).get("oauth_token")
