"""One GitHub account with a Copilot subscription: its login, its bearer for Copilot, and its quota."""

from __future__ import annotations

import asyncio
import copy
import hashlib
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from maestro_copilot import github_refusals, tokens
from maestro_copilot.account_login import AccountLogin
from maestro_copilot.bearer import Bearer
from maestro_copilot.github import GitHub
from maestro_copilot.github_answers import GitHubUser
from maestro_copilot.github_hosts import Hosts
from maestro_copilot.github_refusals import Holder
from maestro_copilot.known_user import KnownUser
from maestro_copilot.login_file import LoginFile
from maestro_copilot.login_sources import GitHubToken, LoginSources
from maestro_copilot.options import CopilotOptions
from maestro_copilot.quota import QuotaBook
from maestro_copilot.tokens import CopilotToken, TokenMint
from maestro_daemon.plugin import (
    CredentialsRefused,
    LoginState,
    LoginStep,
    MaestroError,
    ProviderUnavailable,
    QuotaReport,
    Secret,
    UpstreamError,
    UpstreamRefused,
)

_PATIENCE_FOR_NAME: Final = 5.0
_CHECKED_FOR: Final = 60.0
_REFUSED_FOR: Final = 5.0

__all__ = ["Account", "Bearer"]


class Account:
    """The account of the provider `name`. Its login is kept in `state_directory`.

    Made on the running loop; no file is read and nothing is asked before `start` or the first `bearer`.
    """

    def __init__(self, name: str, options: CopilotOptions, state_directory: Path) -> None:
        self.name = name
        self.options = options
        self.hosts = Hosts.of(options)
        self.sources = LoginSources(
            name, options, LoginFile(state_directory, name, self.hosts.page), self.hosts.page
        )
        self.github = GitHub(self.hosts, options)
        self._noted = KnownUser(state_directory, name, self.hosts.page)
        self.mint = TokenMint(self._exchange, provider=name)
        self._login = AccountLogin(self)
        self._quota = QuotaBook()
        self._problem: str | None = None
        self._known: tuple[Secret, GitHubUser | None] | None = None
        self._checked_at = -_CHECKED_FOR
        self._refused: CredentialsRefused | None = None
        self._bearer: Bearer | None = None
        self._renewing = asyncio.Lock()

    async def start(self) -> None:
        """Read the login from its file, so that `problem` and `identity` know of it. Asks nobody."""
        with suppress(ProviderUnavailable):  # it is kept as the problem
            held = await self.github_token()
            user = held.user or await asyncio.to_thread(self._noted.read, held.token)
            if user is not None:
                self._known = (held.token, user)

    async def bearer(self) -> Bearer:
        """The bearer for a request to Copilot, from memory while it is good.

        Renewed ahead of its expiry, once for all who wait. Raises `ProviderUnavailable` (not logged in; the
        sentence names ``maestro-daemon login NAME``), `CredentialsRefused` (GitHub refuses the login or the
        subscription, in GitHub's own words), `UpstreamRefused` (429: GitHub limits the rate), or
        `UpstreamUnreachable` / `UpstreamBroken`.
        """
        if self.options.exchanges:
            return (await self.mint.current()).bearer
        held = self.sources.held
        if held is None or self._known is None or self._known[0] is not held.token:
            held = await self.github_token()
            await self._learn_user(held)
        return self._direct(held)

    async def renewed(self, refused: Bearer) -> Bearer | None:
        """A newer bearer after Copilot answered 401 or 403 to `refused`; None when there is no better one.

        Once for all who ask; whoever comes with a bearer that was renewed meanwhile gets the new one. Raises
        `CredentialsRefused` or `ProviderUnavailable` when GitHub says that the login itself is over.
        """
        if self.options.exchanges:
            token = await self.mint.renewed(refused)
            return token.bearer if token is not None else None
        held = self.sources.held
        if held is not None and held.token != refused.token:
            return self._direct(held)
        async with self._renewing:
            held = self.sources.held
            if (held is not None and held.token != refused.token) or await self.sources.read_again():
                self._problem, self._refused, self._checked_at = None, None, -_CHECKED_FOR
                return await self.bearer()
            try:
                await self._check_direct()
            except CredentialsRefused:
                raise
            except UpstreamError:
                pass  # it is not GitHub that says no
        return None

    def problem(self) -> str | None:
        """Why no request can be served now, with the remedy; None when all is well as far as is known."""
        return self._problem

    def identity(self) -> str:
        """Who this is: the same after a restart or a new login of the same user; "" while not known."""
        held = self.sources.held
        if held is None:
            return ""
        if (user := self._user_of(held)) is not None:
            return f"{self.hosts.page}/{user.id}"
        if self._known is None or self._known[0] is not held.token:
            return ""
        digest = hashlib.sha256(b"maestro copilot account\0" + held.token.reveal().encode())
        return f"{self.hosts.page}/token/{digest.hexdigest()[:16]}"

    def note_quota(self, headers: Mapping[str, str]) -> None:
        """Keep the quota snapshots that stand in an answer's headers (lower-case names)."""
        self._quota.note_headers(headers)

    def note_snapshots(self, snapshots: Mapping[str, Any]) -> None:
        """Keep the ``copilot_quota_snapshots`` of a terminal event."""
        self._quota.note_snapshots(snapshots)

    def login(self) -> AsyncGenerator[LoginStep, None]:
        """The steps of a login by the device flow; see the ability `Login`."""
        return self._login.steps()

    async def logout(self) -> str:
        """Forget the login, also on disk; a sentence of what was done. Raises `ProviderUnavailable`."""
        return await self._login.logout()

    async def look_again(self) -> bool:
        """Heed a login or a logout by another process; whether the account is another one now."""
        return await self._login.look_again()

    async def login_state(self) -> LoginState:
        """Whether the login works, tried at GitHub if that is not known."""
        return await self._login.state()

    async def quota(self) -> QuotaReport:
        """What is left of the plan: GitHub's answer now, and what the headers of answers said since.

        Raises as `bearer`.
        """
        held = await self.github_token()
        account = self.user_name(held)
        try:
            answer = await self.ask_copilot_user(held)
        except CredentialsRefused:
            raise
        except UpstreamError as error:
            report = self._quota.report(
                f"from earlier answers, since GitHub could not be asked: {error.message}"
            )
            if not report.allowances:
                raise
            return report if report.account else replace(report, account=account)
        note = None
        if answer is None:
            note = "this GitHub tells no quota (HTTP 404)"
        else:
            self._quota.note_user(answer, account)
        report = self._quota.report(note)
        if report.account:
            return report
        await self._learn_user(held)
        return replace(report, account=self.user_name(held))

    async def aclose(self) -> None:
        """End what runs beside the requests and close the connections."""
        await self.mint.aclose()
        await self.github.aclose()

    async def github_token(self) -> GitHubToken:
        """The GitHub token. Raises `ProviderUnavailable` that says to log in."""
        lacked = self.sources.held is None
        try:
            held = await self.sources.find()
        except ProviderUnavailable as error:
            self._problem = error.message
            raise
        if lacked:
            self._problem = None
        return held

    async def exchange(self, held: GitHubToken) -> CopilotToken:
        """One exchange of a GitHub token. Raises as `bearer`."""
        asked_at = tokens.uptime()
        try:
            answer, their_time = await self.github.exchange(held.token)
        except UpstreamRefused as error:
            raise github_refusals.of_exchange(error, self._holder(held)) from None
        return tokens.read(answer, self.hosts, asked_at=asked_at, their_time=their_time)

    async def try_login(self) -> None:
        """Find out whether GitHub accepts the login, unless that is known. Raises as `bearer`."""
        if self.options.exchanges:
            await self.mint.current()
            return
        await self._learn_user(await self.github_token())
        await self._check_direct()

    async def ask_copilot_user(self, held: GitHubToken) -> dict[str, Any] | None:
        """Plan and quota as GitHub tells them; None where it does not. Raises as `bearer`."""
        try:
            return await self.github.copilot_user(held.token)
        except UpstreamRefused as error:
            raise github_refusals.of_token(error, self._holder(held)) from None

    async def ask_user(self, token: Secret) -> GitHubUser | None:
        """Whose token it is; None if GitHub does not tell within a few seconds."""
        try:
            async with asyncio.timeout(_PATIENCE_FOR_NAME):
                return await self.github.user(token)
        except (MaestroError, TimeoutError):
            return None

    def user_name(self, held: GitHubToken) -> str:
        """The GitHub login name of a token; "" while not known."""
        user = self._user_of(held)
        return user.login if user is not None else ""

    def become_another(self) -> None:
        """Forget all that was known of the account, but for its GitHub token."""
        self.mint.forget()
        self._quota.clear()
        self._known = None
        self._problem = None
        self._refused = None
        self._checked_at = -_CHECKED_FOR

    async def _exchange(self) -> CopilotToken:
        """One exchange. If GitHub refuses the login, its file is read once more: it may be a new one."""
        held = await self.github_token()
        try:
            token = await self.exchange(held)
        except CredentialsRefused as error:
            if error.status != 401 or not await self.sources.read_again():
                self._problem = error.message
                raise
            held = await self.github_token()
            token = await self.exchange(held)
        self._problem = None
        await self._learn_user(held)
        return token

    async def _learn_user(self, held: GitHubToken) -> None:
        """Find out once whose token it is; one that cannot be told is known by the token alone."""
        if self._known is not None and self._known[0] is held.token:
            return
        user = held.user or await self.ask_user(held.token)
        self._known = (held.token, user)
        if held.user is None and user is not None:
            await asyncio.to_thread(self._noted.write, held.token, user)

    async def _check_direct(self) -> None:
        """Whether GitHub still accepts the token, as it told within the last minute. Raises as `bearer`."""
        if self._refused is not None and tokens.uptime() - self._checked_at < _REFUSED_FOR:
            raise copy.copy(self._refused)
        if self._refused is None and tokens.uptime() - self._checked_at < _CHECKED_FOR:
            return
        held = await self.github_token()
        try:
            await self.ask_copilot_user(held)
        except CredentialsRefused as error:
            self._refused, self._checked_at = error, tokens.uptime()
            self._problem = error.message
            raise
        self._refused, self._checked_at = None, tokens.uptime()
        self._problem = None

    def _direct(self, held: GitHubToken) -> Bearer:
        """The GitHub token as a bearer: the same object for the same token."""
        if self._bearer is None or self._bearer.token is not held.token:
            self._bearer = Bearer(held.token, self.hosts.copilot)
        return self._bearer

    def _user_of(self, held: GitHubToken) -> GitHubUser | None:
        if held.user is None and self._known is not None and self._known[0] is held.token:
            return self._known[1]
        return held.user

    def _holder(self, held: GitHubToken) -> Holder:
        return Holder(self.name, held.source, held.logs_in)
