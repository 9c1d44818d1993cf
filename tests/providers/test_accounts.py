"""Logins and quotas of all providers, whatever a plugin's code does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

import pytest

from maestro_daemon.errors import ProviderUnavailable, RequestInvalid
from maestro_daemon.plugin import (
    Allowance,
    CodeShown,
    LoggedIn,
    Login,
    LoginFailed,
    LoginState,
    LoginStep,
    Model,
    Quota,
    QuotaReport,
    Waiting,
)
from maestro_daemon.providers import accounts as module
from maestro_daemon.providers.absent import AbsentProvider
from maestro_daemon.providers.accounts import Accounts


class Plain:
    """A provider without any ability."""

    def __init__(self, name: str = "plain") -> None:
        self.name = name

    async def models(self) -> Sequence[Model]:
        return []

    async def complete(self, request: Any) -> dict[str, Any]:
        return {}

    async def stream(self, request: Any) -> AsyncGenerator[Any, None]:
        return
        yield

    async def aclose(self) -> None:
        pass


class Able(Plain):
    """A provider with both, that does what the test says."""

    def __init__(self, *steps: LoginStep | BaseException, failure: BaseException | None = None) -> None:
        super().__init__("able")
        self.steps = steps
        self.failure = failure
        self.closed = False

    async def login(self) -> AsyncGenerator[LoginStep, None]:
        try:
            for step in self.steps:
                if isinstance(step, BaseException):
                    raise step
                yield step
        finally:
            self.closed = True

    async def logout(self) -> str:
        if self.failure is not None:
            raise self.failure
        return "gone"

    async def login_state(self) -> LoginState:
        if self.failure is not None:
            raise self.failure
        return LoginState(True, "octocat", "a file")

    async def quota(self) -> QuotaReport:
        if self.failure is not None:
            raise self.failure
        return QuotaReport("octocat", "pro", allowances=(Allowance("premium", 300, 200),))


CODE = CodeShown("https://x.example", "AB-12", 900)
FAILURES = [
    (ProviderUnavailable("It is not there."), "It is not there."),
    (RuntimeError("boom"), "Provider 'able' failed with RuntimeError; the log says more."),
    (SystemExit(3), "Provider 'able' failed with SystemExit; the log says more."),
    (BaseException(), "Provider 'able' failed with BaseException; the log says more."),
    (asyncio.CancelledError(), "Provider 'able' failed with CancelledError; the log says more."),
]


def desk(provider: Any, **more: Any) -> Accounts:
    providers = {"able": provider, "plain": Plain()}
    return Accounts(providers, {"able": "a", "plain": "p"}, **more)


async def steps(accounts: Accounts, name: Any = "able") -> list[dict[str, Any]]:
    async with aclosing(accounts.login({"provider": name})) as login:
        return [step async for step in login]


def test_the_abilities_are_seen_by_their_methods() -> None:
    assert isinstance(Able(), Login)
    assert isinstance(Able(), Quota)
    assert not isinstance(Plain(), Login)
    assert not isinstance(Plain(), Quota)


async def test_the_steps_of_a_login_are_objects_and_its_change_is_told_before_the_last() -> None:
    changes: list[tuple[str, bool]] = []

    async def changed(name: str, logged_in: bool) -> None:
        changes.append((name, logged_in))

    accounts = desk(Able(CODE, Waiting(5.0, "slow"), LoggedIn("octocat", "/p", "note")), changed=changed)
    assert await steps(accounts) == [
        {"step": "code", "url": "https://x.example", "code": "AB-12", "expires_in": 900},
        {"step": "waiting", "seconds": 5.0, "problem": "slow"},
        {"step": "done", "account": "octocat", "kept": "/p", "note": "note"},
    ]
    assert changes == [("able", True)]


async def test_news_that_nobody_takes_do_not_hold_a_login(monkeypatch) -> None:
    async def changed(name: str, logged_in: bool) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(module, "_PATIENCE_FOR_CHANGE", 0.01)
    assert (await steps(desk(Able(LoggedIn()), changed=changed)))[-1]["step"] == "done"


async def test_a_login_that_fails_changes_nothing() -> None:
    accounts = desk(Able(CODE, LoginFailed("denied", "No.")), changed=None)
    assert (await steps(accounts))[-1] == {"step": "failed", "reason": "denied", "message": "No."}


@pytest.mark.parametrize(("failure", "said"), FAILURES)
async def test_a_login_that_raises_ends_with_a_sentence(failure, said) -> None:
    assert (await steps(desk(Able(CODE, failure))))[-1] == {
        "step": "failed",
        "reason": "failed",
        "message": said,
    }


async def test_a_login_that_just_ends_is_a_failure() -> None:
    assert (await steps(desk(Able(CODE))))[-1]["message"] == "The login to 'able' ended without a result."


async def test_a_step_that_is_none_is_a_failure_of_the_plugin() -> None:
    assert "failed with TypeError" in (await steps(desk(Able("hello"))))[-1]["message"]  # type: ignore[arg-type]


async def test_whoever_leaves_closes_the_providers_login() -> None:
    provider = Able(CODE, Waiting(1.0))
    async with aclosing(desk(provider).login({"provider": "able"})) as login:
        await anext(login)
    assert provider.closed


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("abel", "There is no provider 'abel' here; did you mean 'able'?"),
        ("zzz", "There is no provider 'zzz' here; there is 'able', 'plain'."),
        (None, "There is no provider 'None' here"),
        (["able"], "There is no provider"),
        ("plain", "Provider 'plain' (kind 'p') has no login: what it needs stands in the configuration."),
    ],
)
async def test_who_cannot_be_logged_in_to_is_said(name, said) -> None:
    with pytest.raises(RequestInvalid) as refused:
        await steps(desk(Able()), name)
    assert refused.value.message.startswith(said)


async def test_a_provider_that_could_not_be_made_says_why() -> None:
    absent = AbsentProvider("able", ProviderUnavailable("A part is missing."))
    with pytest.raises(RequestInvalid, match="cannot be used: A part is missing"):
        await steps(desk(absent))
    told = await desk(absent).states({})
    assert told["logins"]["able"]["problem"] == "A part is missing."


async def test_without_any_provider_that_is_said() -> None:
    with pytest.raises(RequestInvalid, match="No provider is configured"):
        await steps(Accounts({}, {}))


async def test_a_logout_is_told() -> None:
    changes: list[tuple[str, bool]] = []

    async def changed(name: str, logged_in: bool) -> None:
        changes.append((name, logged_in))

    accounts = desk(Able(), changed=changed)
    assert await accounts.logout({"provider": "able"}) == {"provider": "able", "message": "gone"}
    assert changes == [("able", False)]
    with pytest.raises(RequestInvalid, match="has no login"):
        await accounts.logout({"provider": "plain"})


async def test_the_states_of_all_and_of_one() -> None:
    told = (await desk(Able()).states({}))["logins"]
    assert told["able"] == {
        "kind": "a",
        "login": True,
        "logged_in": True,
        "account": "octocat",
        "source": "a file",
        "problem": None,
    }
    assert told["plain"]["login"] is False
    assert list((await desk(Able()).states({"provider": "plain"}))["logins"]) == ["plain"]


@pytest.mark.parametrize(("failure", "said"), FAILURES)
async def test_one_failure_does_not_spoil_the_others(failure, said) -> None:
    accounts = desk(Able(failure=failure))
    states = (await accounts.states({}))["logins"]
    assert (states["able"]["logged_in"], states["able"]["problem"]) == (False, said)
    assert "plain" in states
    assert await accounts.quotas({}) == {"quotas": {}, "problems": {"able": said}}


async def test_quotas_are_those_of_providers_that_have_one() -> None:
    told = await desk(Able()).quotas({})
    assert list(told["quotas"]) == ["able"]
    report = told["quotas"]["able"]
    assert (report["kind"], report["plan"], report["allowances"][0]["remaining"]) == ("a", "pro", 200)
    with pytest.raises(RequestInvalid, match="has no quota that could be asked"):
        await desk(Able()).quotas({"provider": "plain"})


async def test_a_provider_that_never_answers_does_not_hold_the_question(monkeypatch) -> None:
    class Silent(Able):
        async def login_state(self) -> LoginState:
            await asyncio.Event().wait()
            raise AssertionError

    monkeypatch.setattr(module, "_PATIENCE", 0.01)
    told = (await desk(Silent()).states({}))["logins"]
    assert told["able"]["problem"] == "Provider 'able' did not answer within 0.01 s."


async def test_who_asks_may_leave() -> None:
    class Silent(Able):
        entered = asyncio.Event()

        async def login_state(self) -> LoginState:
            self.entered.set()
            await asyncio.Event().wait()
            raise AssertionError

    provider = Silent()
    asking = asyncio.create_task(desk(provider).states({}))
    await provider.entered.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
