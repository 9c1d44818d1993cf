"""Logins and quotas of all providers, as the command line asks for them: plain objects in and out."""

from __future__ import annotations

import asyncio
import contextlib
import difflib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import asdict
from typing import Any, Final, TypeVar

import structlog

from maestro_daemon.errors import MaestroError, RequestInvalid
from maestro_daemon.providers.abilities import problem_of
from maestro_daemon.providers.absent import AbsentProvider
from maestro_daemon.providers.foreign_code import FAILURES, ends_this_task
from maestro_daemon.providers.login import (
    CodeShown,
    LoggedIn,
    Login,
    LoginFailed,
    LoginState,
    LoginStep,
    Waiting,
)
from maestro_daemon.providers.provider import Provider
from maestro_daemon.providers.quota import Quota, QuotaReport

_PATIENCE: Final = 60.0
_PATIENCE_FOR_CHANGE: Final = 10.0
_STEPS: Final = {CodeShown: "code", Waiting: "waiting", LoggedIn: "done", LoginFailed: "failed"}
_log: Final = structlog.get_logger(__name__)
_Told = TypeVar("_Told")

LoginChanged = Callable[[str, bool], Awaitable[None]]
"""Takes a provider's name, and whether it is logged in now: False after a logout."""


class Accounts:
    """The accounts behind `providers`; each method takes the fields of one question.

    ``provider`` names one of them. `changed` is called after a login or a logout, and waited for up to
    10 s.
    """

    def __init__(
        self,
        providers: Mapping[str, Provider],
        kinds: Mapping[str, str],
        *,
        changed: LoginChanged | None = None,
    ) -> None:
        self._providers = providers
        self._kinds = kinds
        self._changed = changed

    async def login(self, asked: Mapping[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        """The steps of a login to ``provider``: ``{"step": "code" | "waiting" | "done" | "failed", …}``.

        The other fields are those of the step's class in `maestro_daemon.providers.login`. Raises
        `RequestInvalid` for a provider that has no login.
        """
        name = self._named(asked)
        provider = self._providers[name]
        if not isinstance(provider, Login):
            raise self._lacking(name, "no login: what it needs stands in the configuration")
        last: LoginStep | None = None
        try:
            async with aclosing(provider.login()) as steps:
                async for step in steps:
                    last = step
                    if isinstance(step, LoggedIn):
                        _log.info("logged in", provider=name, account=step.account)
                        await self._tell_change(name, True)
                    yield _step(step)
        except GeneratorExit:
            raise
        except FAILURES as error:  # outsiders' code
            if ends_this_task(error):
                raise
            last = LoginFailed("failed", self._sentence(name, error))
            yield _step(last)
        if not isinstance(last, LoggedIn | LoginFailed):
            yield _step(LoginFailed("failed", f"The login to {name!r} ended without a result."))

    async def logout(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """``{"provider", "message"}`` after the login of ``provider`` was forgotten."""
        name = self._named(asked)
        provider = self._providers[name]
        if not isinstance(provider, Login):
            raise self._lacking(name, "no login: what it needs stands in the configuration")
        message = await self._in_time(provider.logout())
        _log.info("logged out", provider=name)
        await self._tell_change(name, False)
        return {"provider": name, "message": message}

    async def states(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """``{"logins": {name: {"kind", "login", "logged_in", "account", "source", "problem"}}}``.

        ``login`` says whether the provider has a login at all. Of ``provider``, or of all.
        """
        names = self._wanted(asked)
        told = await asyncio.gather(*(self._state(name) for name in names))
        return {"logins": dict(zip(names, told, strict=True))}

    async def quotas(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """``{"quotas": {name: report}, "problems": {name: sentence}}`` of those with one, or of ``provider``.

        A report holds ``kind`` and the fields of `QuotaReport`.
        """
        names = self._wanted(asked)
        able = [name for name in names if isinstance(self._providers[name], Quota)]
        if asked.get("provider") and not able:
            raise self._lacking(names[0], "no quota that could be asked")
        told = await asyncio.gather(*(self._quota(name) for name in able))
        both = list(zip(able, told, strict=True))
        return {
            "quotas": {
                name: {"kind": self._kinds.get(name, ""), **asdict(each)}
                for name, each in both
                if isinstance(each, QuotaReport)
            },
            "problems": {name: each for name, each in both if isinstance(each, str)},
        }

    async def _state(self, name: str) -> dict[str, Any]:
        provider = self._providers[name]
        told: dict[str, Any] = {"kind": self._kinds.get(name, "")}
        if not isinstance(provider, Login):
            problem = problem_of(name, provider)
            return {**told, "login": False, **asdict(LoginState(False, problem=problem))}
        try:
            state = await self._in_time(provider.login_state())
        except FAILURES as error:  # outsiders' code
            if ends_this_task(error):
                raise
            state = LoginState(False, problem=self._sentence(name, error))
        return {**told, "login": True, **asdict(state)}

    async def _quota(self, name: str) -> QuotaReport | str:
        provider = self._providers[name]
        try:
            return await self._in_time(provider.quota()) if isinstance(provider, Quota) else ""
        except FAILURES as error:  # outsiders' code
            if ends_this_task(error):
                raise
            return self._sentence(name, error)

    async def _in_time(self, told: Awaitable[_Told]) -> _Told:
        async with asyncio.timeout(_PATIENCE):
            return await told

    async def _tell_change(self, name: str, logged_in: bool) -> None:
        if self._changed is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PATIENCE_FOR_CHANGE):
                    await self._changed(name, logged_in)

    def _wanted(self, asked: Mapping[str, Any]) -> list[str]:
        return [self._named(asked)] if asked.get("provider") else list(self._providers)

    def _named(self, asked: Mapping[str, Any]) -> str:
        name = asked.get("provider")
        if isinstance(name, str) and name in self._providers:
            return name
        if not self._providers:
            raise RequestInvalid("No provider is configured.", param="provider")
        near = difflib.get_close_matches(str(name), self._providers, 1)
        meant = f"; did you mean {near[0]!r}?" if near else f"; there is {_listed(self._providers)}."
        raise RequestInvalid(f"There is no provider {str(name)[:80]!r} here{meant}", param="provider")

    def _lacking(self, name: str, what: str) -> RequestInvalid:
        provider = self._providers[name]
        if isinstance(provider, AbsentProvider):
            return RequestInvalid(f"Provider {name!r} cannot be used: {provider.problem()}", param="provider")
        kind = self._kinds.get(name, "")
        return RequestInvalid(f"Provider {name!r} (kind {kind!r}) has {what}.", param="provider")

    def _sentence(self, name: str, error: BaseException) -> str:
        if isinstance(error, MaestroError):
            return error.message
        if isinstance(error, TimeoutError):
            return f"Provider {name!r} did not answer within {_PATIENCE:g} s."
        _log.error("a provider's account cannot be asked", provider=name, exc_info=error)
        return f"Provider {name!r} failed with {type(error).__name__}; the log says more."


def _step(step: LoginStep) -> dict[str, Any]:
    kind = _STEPS.get(type(step))
    if kind is None:
        raise TypeError(f"{type(step).__name__} is no step of a login")
    return {"step": kind, **asdict(step)}


def _listed(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names)
