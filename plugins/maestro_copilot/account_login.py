"""Logging in to a Copilot account and out of it, and how its login stands."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

from maestro_copilot.github_answers import Granted
from maestro_copilot.login_flow import device_flow
from maestro_copilot.login_sources import GitHubToken
from maestro_copilot.tokens import CopilotToken, TokenMint
from maestro_daemon.plugin import (
    CredentialsRefused,
    LoggedIn,
    LoginFailed,
    LoginState,
    LoginStep,
    MaestroError,
    ProviderUnavailable,
    Secret,
)

if TYPE_CHECKING:
    from maestro_copilot.account import Account


class AccountLogin:
    """The login of one account, as the ability `Login` has it."""

    def __init__(self, account: Account) -> None:
        self._account = account

    async def steps(self) -> AsyncGenerator[LoginStep, None]:
        """A login by the device flow, kept and in use with its last step."""
        account = self._account
        if (given := account.sources.given) is not None:
            yield LoginFailed(
                "failed",
                f"Provider {account.name!r} takes its token from {given.source}, which goes before a login: "
                "remove token (or api_key) from its table to log in.",
            )
            return
        async with aclosing(device_flow(account.github)) as steps:
            async for step in steps:
                yield await self._taken(step.token) if isinstance(step, Granted) else step

    async def logout(self) -> str:
        """Forget the login, also on disk. Raises `ProviderUnavailable`."""
        account = self._account
        if (given := account.sources.given) is not None:
            raise ProviderUnavailable(
                f"Provider {account.name!r} has no login to end: it takes its token from {given.source}."
            )
        removed = await account.sources.remove()
        account.become_another()
        await account.start()
        if not removed:
            return f"Provider {account.name!r} was not logged in."
        left = account.sources.held
        rest = f" It uses {left.source} from now on." if left is not None else ""
        return (
            f"Provider {account.name!r} is logged out: {account.sources.path} is removed. The grant itself "
            f"can be ended at {account.hosts.github}/settings/applications.{rest}"
        )

    async def look_again(self) -> bool:
        """Heed a login or a logout by another process; whether the account is another one now."""
        account = self._account
        if not await account.sources.look_again():
            return False
        account.become_another()
        await account.start()
        return True

    async def state(self) -> LoginState:
        """Whether the login works, tried at GitHub if that is not known."""
        account = self._account
        try:
            held = await account.github_token()
        except ProviderUnavailable as error:
            return LoginState(False, problem=error.message)
        problem, works = None, True
        try:
            await account.try_login()
        except CredentialsRefused as error:
            problem, works = error.message, False
        except MaestroError as error:
            problem = f"not checked just now: {error.message}"
        held = account.sources.held or held
        return LoginState(works, account.user_name(held), held.source, problem)

    async def _taken(self, token: Secret) -> LoginStep:
        """Try a token that was just granted, keep it, and use it from now on."""
        account = self._account
        user = await account.ask_user(token)
        new = GitHubToken(token, "the login", logs_in=True, user=user)
        minted: CopilotToken | None = None
        note: str | None = None
        try:
            minted = await self._tried(new)
        except CredentialsRefused as error:
            return LoginFailed("refused", error.message)
        except MaestroError as error:
            note = f"Whether the account has Copilot could not be checked just now: {error.message}"
        try:
            await account.sources.keep(token, user)
        except ProviderUnavailable as error:
            return LoginFailed("failed", error.message)
        account.become_another()
        if minted is not None:
            account.mint.adopt(minted)
        return LoggedIn(user.login if user is not None else "", str(account.sources.path), note)

    async def _tried(self, new: GitHubToken) -> CopilotToken | None:
        """The first Copilot token of a login; None in direct mode, where the user's page is asked instead."""
        account = self._account
        if not account.options.exchanges:
            await account.ask_copilot_user(new)
            return None
        trial = TokenMint(lambda: account.exchange(new), provider=account.name)
        try:
            return await trial.current()
        finally:
            await trial.aclose()
