"""The login that is kept in the state directory: one file per provider, for the daemon's user only."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog

from maestro_copilot import github_answers
from maestro_copilot.github_answers import GitHubUser
from maestro_daemon.plugin import ProviderUnavailable, Secret, write_private

_LARGEST: Final = 64 * 1024
_log: Final = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class KeptLogin:
    """A GitHub token, and whose it is if that is known."""

    token: Secret
    user: GitHubUser | None


class LoginFile:
    """The file of the provider `name`, for a login at `host` (a GitHub's page, like ``github.com``).

    Every method blocks.
    """

    def __init__(self, state_directory: Path, name: str, host: str) -> None:
        self.path = state_directory / "copilot" / f"{name}.json"
        self._name = name
        self._host = host

    def read(self) -> KeptLogin | None:
        """The login; None without a file, and for one of another GitHub, whose token is not for this one.

        Raises `ProviderUnavailable` for a file that cannot be read.
        """
        try:
            with self.path.open("rb") as file:
                self._make_private(file.fileno())
                content = file.read(_LARGEST)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ProviderUnavailable(
                f"The login of provider {self._name!r} in {self.path} cannot be read: {error.strerror}."
            ) from None
        fields = github_answers.parsed(content)
        token = github_answers.token(fields.get("github_token"), f"the login in {self.path}")
        if token is None:
            raise ProviderUnavailable(
                f"{self.path} holds no login that can be read: run: maestro-daemon login {self._name}"
            )
        if fields.get("host") != self._host:
            _log.warning("a login for another GitHub is left alone", provider=self._name, path=str(self.path))
            return None
        return KeptLogin(token, github_answers.user(fields.get("user")))

    def version(self) -> tuple[int, ...] | None:
        """Another one after each writing; None without a file, or one that cannot be looked at."""
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def write(self, login: KeptLogin, client_id: str) -> None:
        """Keep the login in place of the one before. Raises `ProviderUnavailable`."""
        user = login.user
        fields = {
            "host": self._host,
            "client_id": client_id,
            "user": {"login": user.login, "id": user.id} if user is not None else None,
            "logged_in_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "github_token": login.token.reveal(),
        }
        try:
            write_private(self.path, json.dumps(fields, indent=2).encode() + b"\n")
        except OSError as error:
            raise ProviderUnavailable(
                f"The login cannot be kept in {self.path}: {error.strerror or type(error).__name__}. Set "
                "$STATE_DIRECTORY or $XDG_STATE_HOME to a directory that the daemon may write to."
            ) from None

    def remove(self) -> bool:
        """Forget the login; whether there was one. Raises `ProviderUnavailable`."""
        try:
            self.path.unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise ProviderUnavailable(f"{self.path} cannot be removed: {error.strerror}.") from None
        return True

    def _make_private(self, descriptor: int) -> None:
        mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
        if mode & 0o077:
            os.fchmod(descriptor, 0o600)
            _log.warning("a login could be read by others; its mode is 0600 now", path=str(self.path))
