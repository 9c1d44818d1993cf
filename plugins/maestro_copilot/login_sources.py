"""Where a provider's GitHub token comes from: the configuration, its own login, an editor's if wanted."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from maestro_copilot import login_editor
from maestro_copilot.github_answers import GitHubUser
from maestro_copilot.login_file import KeptLogin, LoginFile
from maestro_copilot.options import CopilotOptions
from maestro_daemon.plugin import ProviderUnavailable, Secret


@dataclass(frozen=True, slots=True)
class GitHubToken:
    """A GitHub token: where it came from in words, and whether logging in gives another one."""

    token: Secret
    source: str
    logs_in: bool
    user: GitHubUser | None = None


class LoginSources:
    """The sources of the provider `name`. What was read stays in memory until `read_again`."""

    def __init__(self, name: str, options: CopilotOptions, file: LoginFile, host: str) -> None:
        self._name = name
        self._file = file
        self._host = host
        self._client_id = options.client_id
        self._editor: Path | None = None
        if isinstance(options.editor_login, Path):
            self._editor = options.editor_login
        elif options.editor_login:
            self._editor = login_editor.usual_folder()
        given = options.given_token
        self._given = GitHubToken(given, given.source, logs_in=False) if given is not None else None
        self._held = self._given
        self._version: tuple[int, ...] | None = None

    @property
    def path(self) -> Path:
        """Where the own login is kept."""
        return self._file.path

    @property
    def given(self) -> GitHubToken | None:
        """The token of the configuration, which goes before all others."""
        return self._given

    @property
    def held(self) -> GitHubToken | None:
        """The token in memory."""
        return self._held

    async def find(self) -> GitHubToken:
        """The token, from memory or else from its file.

        Raises `ProviderUnavailable` that says to log in.
        """
        if self._held is None:
            self._held = await asyncio.to_thread(self._read)
        if self._held is None:
            raise ProviderUnavailable(self.lacking())
        return self._held

    async def read_again(self) -> bool:
        """Look into the files once more; whether there is another token now."""
        if self._given is not None:
            return False
        found = await asyncio.to_thread(self._read)
        if found is None or (self._held is not None and self._held.token == found.token):
            return False
        self._held = found
        return True

    async def look_again(self) -> bool:
        """Take the login as another process left its file; whether there is another token, or none, now.

        One that cannot be read changes nothing.
        """
        if self._given is not None or await asyncio.to_thread(self._file.version) == self._version:
            return False
        try:
            found = await asyncio.to_thread(self._read)
        except ProviderUnavailable:
            return False
        before, self._held = self._held, found
        return (before and before.token) != (found and found.token)

    async def keep(self, token: Secret, user: GitHubUser | None) -> None:
        """Take and keep the token of a login. Raises `ProviderUnavailable`."""
        await asyncio.to_thread(self._file.write, KeptLogin(token, user), self._client_id)
        self._version = await asyncio.to_thread(self._file.version)
        self._held = self._of_file(KeptLogin(token, user))

    async def remove(self) -> bool:
        """Forget the own login; whether there was one. Raises `ProviderUnavailable`."""
        removed = await asyncio.to_thread(self._file.remove)
        self._version = None
        self._held = self._given
        return removed

    def lacking(self) -> str:
        """The sentence about a provider without any token."""
        looked = f" (there is none of an editor in {self._editor} either)" if self._editor is not None else ""
        return f"Provider {self._name!r} is not logged in{looked}: run: maestro-daemon login {self._name}"

    def _read(self) -> GitHubToken | None:
        self._version = self._file.version()  # of before, so that nothing written meanwhile is missed
        kept = self._file.read()
        if kept is not None:
            return self._of_file(kept)
        if self._editor is None:
            return None
        token = login_editor.read(self._editor, self._host, self._client_id)
        return GitHubToken(token, token.source, logs_in=True) if token is not None else None

    def _of_file(self, kept: KeptLogin) -> GitHubToken:
        return GitHubToken(kept.token, f"the login in {self._file.path}", logs_in=True, user=kept.user)
