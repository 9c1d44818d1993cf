"""Whose a token of the configuration is, kept so that a daemon that starts anew knows it before it asks.

What Copilot sealed for an account goes back to that account alone, from the first request after a restart on.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Final

import structlog

from maestro_copilot import github_answers
from maestro_copilot.github_answers import GitHubUser
from maestro_daemon.plugin import Secret, write_private

_LARGEST: Final = 64 * 1024
_log: Final = structlog.get_logger(__name__)


class KnownUser:
    """The note of the provider `name` about a token at `host`; it holds a hash of the token, not the token.

    Every method blocks, and none raises: without the note GitHub is asked.
    """

    def __init__(self, state_directory: Path, name: str, host: str) -> None:
        self._path = state_directory / "copilot" / "users" / f"{name}.json"
        self._host = host

    def read(self, token: Secret) -> GitHubUser | None:
        """The user of `token`; None if the note lacks, or is about another one."""
        try:
            with self._path.open("rb") as file:
                fields = github_answers.parsed(file.read(_LARGEST))
        except OSError:
            return None
        if fields.get("token_hash") != self._hash(token):
            return None
        return github_answers.user(fields.get("user"))

    def write(self, token: Secret, user: GitHubUser) -> None:
        """Note the user of `token` in place of what was noted before."""
        fields = {"token_hash": self._hash(token), "user": {"login": user.login, "id": user.id}}
        try:
            write_private(self._path, json.dumps(fields, indent=2).encode() + b"\n")
        except OSError as error:
            _log.debug("the user of a token cannot be noted", path=str(self._path), reason=error.strerror)

    def _hash(self, token: Secret) -> str:
        return hashlib.sha256(f"maestro copilot user\0{self._host}\0{token.reveal()}".encode()).hexdigest()
