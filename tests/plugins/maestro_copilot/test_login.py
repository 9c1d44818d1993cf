"""Logging in and out of an account, whatever happens on the way."""

from __future__ import annotations

import asyncio
import json
import stat
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from maestro_copilot import account_login
from maestro_daemon.plugin import CodeShown, LoggedIn, LoginFailed, MaestroError, ProviderUnavailable, Waiting
from tests.support.copilot.github import DENIED, NO_ACCESS, Fault
from tests.support.copilot.overheard import Overheard


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Device flows and retries that do not wait."""

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(0)

    flow, mint = account_login.device_flow, account_login.TokenMint
    monkeypatch.setattr(account_login, "device_flow", lambda github: flow(github, sleep=sleep))
    monkeypatch.setattr(account_login, "TokenMint", lambda *a, **more: mint(*a, sleep=sleep, **more))


async def steps(account: Any, heard: Overheard) -> list[Any]:
    told = []
    async with aclosing(account.login()) as login:
        async for step in login:
            heard.text(step)
            told.append(step)
    return told


async def content(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(await asyncio.to_thread(path.read_bytes))
    return document


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "copilot" / "work.json"


async def test_a_login_is_tried_kept_and_used_at_once(make, github, heard, file) -> None:
    account = make()
    await account.start()
    assert account.problem() is not None
    shown, waiting, done = await steps(account, heard)
    assert isinstance(shown, CodeShown)
    assert isinstance(waiting, Waiting)
    assert done == LoggedIn("octocat", str(file))
    assert account.problem() is None
    assert github.exchanges == 1
    bearer = await account.bearer()
    assert github.exchanges == 1
    assert github.state.copilot_user(bearer.authorization) is github.state.user
    assert account.identity().endswith("/583231")


async def test_a_login_is_kept_for_the_owner_alone_and_whole(make, github, heard, file) -> None:
    await steps(make(), heard)
    modes = [
        stat.S_IMODE((await asyncio.to_thread(each.stat)).st_mode)
        for each in (file, file.parent, file.parent.parent)
    ]
    assert modes == [0o600, 0o700, 0o700]
    kept = await content(file)
    assert github.state.github_user(f"token {kept['github_token']}") is github.state.user
    assert kept["user"] == {"login": "octocat", "id": 583231}
    assert [each.name for each in await asyncio.to_thread(lambda: list(file.parent.iterdir()))] == [
        "work.json"
    ]


async def test_a_login_outlives_the_daemon(make, github, heard) -> None:
    await steps(make(), heard)
    later = make()
    await later.start()
    assert later.problem() is None
    assert (await later.bearer()).token


async def test_a_login_without_a_subscription_is_told_at_once_and_not_kept(make, github, heard, file) -> None:
    github.state.user.refusal = NO_ACCESS
    account = make()
    last = (await steps(account, heard))[-1]
    assert last.reason == "refused"
    assert "has no Copilot subscription" in last.message
    assert "https://github.com/settings/copilot" in last.message
    assert not await asyncio.to_thread(file.exists)
    with pytest.raises(ProviderUnavailable):
        await account.bearer()


async def test_a_login_that_fails_leaves_the_one_before(make, github, heard, file) -> None:
    account = make()
    await steps(account, heard)
    before, bearer = await content(file), await account.bearer()
    github.polls = [DENIED]
    assert (await steps(account, heard))[-1].reason == "denied"
    github.polls = [type(DENIED)(None)]
    github.faults = [Fault(403, NO_ACCESS)]
    assert (await steps(account, heard))[-1].reason == "refused"
    assert await content(file) == before
    assert await account.bearer() is bearer


async def test_a_login_replaces_the_one_before(make, github, heard, file) -> None:
    account = make()
    await steps(account, heard)
    before, bearer = await content(file), await account.bearer()
    await steps(account, heard)
    assert (await content(file))["github_token"] != before["github_token"]
    assert await account.bearer() != bearer


async def test_a_login_during_an_outage_of_the_exchange_is_kept_with_a_note(
    make, github, heard, file
) -> None:
    github.faults = [Fault(503, {"message": "unicorn"})] * 4
    done = (await steps(make(), heard))[-1]
    assert isinstance(done, LoggedIn)
    assert "could not be checked just now: GitHub gives no Copilot token (HTTP 503): unicorn" in done.note
    assert await asyncio.to_thread(file.exists)


async def test_a_login_whose_user_is_not_told_is_kept_without_a_name(make, github, heard) -> None:
    github.page_faults = [Fault(500)] * 2
    done = (await steps(make(), heard))[-1]
    assert (done.account, done.note) == ("", None)


@pytest.mark.parametrize("copilot", [None, {}, {"copilot_plan": "free"}])
async def test_in_direct_mode_the_users_page_is_asked_and_may_lack(make, github, heard, copilot) -> None:
    # §10: "All optional; 404 on some GHE"
    github.state.user.copilot = copilot
    account = make(mode="direct")
    assert isinstance((await steps(account, heard))[-1], LoggedIn)
    assert github.exchanges == 0
    assert (await account.bearer()).token


async def test_in_direct_mode_a_refused_login_is_told(make, github, heard, file) -> None:
    github.user_faults = [Fault(403, NO_ACCESS)]
    assert (await steps(make(mode="direct"), heard))[-1].reason == "refused"
    assert not await asyncio.to_thread(file.exists)


async def test_a_token_of_the_configuration_leaves_no_room_for_a_login(make, github, heard) -> None:
    account = make(token=github.state.github_token())
    (only,) = await steps(account, heard)
    assert isinstance(only, LoginFailed)
    assert "takes its token from the configuration file" in only.message
    with pytest.raises(ProviderUnavailable, match="takes its token from"):
        await account.logout()
    assert github.seen == []


async def test_a_login_that_cannot_be_kept_is_not_done(make, github, heard, tmp_path) -> None:
    await asyncio.to_thread((tmp_path / "state").write_bytes, b"")
    account = make()
    last = (await steps(account, heard))[-1]
    assert last.reason == "failed"
    assert "cannot be kept in" in last.message
    assert "$STATE_DIRECTORY" in last.message
    with pytest.raises(MaestroError):
        await account.bearer()


async def test_whoever_stops_listening_ends_the_login(make, github, file) -> None:
    account = make()
    async with aclosing(account.login()) as login:
        assert isinstance(await anext(login), CodeShown)
        assert isinstance(await anext(login), Waiting)
    assert github.counts["/login/oauth/access_token"] == 0
    assert not await asyncio.to_thread(file.exists)


async def test_a_logout_forgets_the_login_here_and_on_disk(make, github, heard, file) -> None:
    account = make()
    await steps(account, heard)
    said = await account.logout()
    assert "is logged out" in said
    assert "/settings/applications" in said
    assert not await asyncio.to_thread(file.exists)
    assert "maestro-daemon login work" in account.problem()
    with pytest.raises(ProviderUnavailable):
        await account.bearer()
    assert await account.logout() == "Provider 'work' was not logged in."


async def test_what_another_process_does_to_the_login_is_heeded(make, github, heard, file) -> None:
    account, beside = make(), make()
    assert not await account.look_again()
    await steps(account, heard)
    first = (await account.bearer()).token
    assert not await account.look_again()
    await steps(beside, heard)
    assert await account.look_again()
    assert not await account.look_again()
    assert (await account.bearer()).token != first
    await asyncio.to_thread(file.write_text, "{")
    assert not await account.look_again()
    assert account.problem() is None
    await beside.logout()
    assert await account.look_again()
    assert "maestro-daemon login work" in account.problem()
    with pytest.raises(ProviderUnavailable):
        await account.bearer()


async def test_a_token_of_the_configuration_is_no_login_to_look_for(make, github, heard) -> None:
    account = make(token=github.state.github_token())
    await steps(make(), heard)
    assert not await account.look_again()


async def test_after_a_logout_an_editors_login_is_used_again_and_said(
    make, github, heard, tmp_path, github_and_url
):
    host = github_and_url[1].removeprefix("http://")
    editor = tmp_path / "hosts.json"
    document = json.dumps({host: {"oauth_token": github.state.github_token()}})
    await asyncio.to_thread(editor.write_text, document)
    account = make(editor_login=str(editor))
    await steps(account, heard)
    assert f"uses the editor's login in {editor}" in await account.logout()
    assert account.problem() is None


# How it stands


async def test_the_state_says_who_and_from_where(make, github, heard, file) -> None:
    account = make()
    state = await account.login_state()
    assert (state.logged_in, state.source) == (False, "")
    assert "maestro-daemon login work" in state.problem
    await steps(account, heard)
    state = await account.login_state()
    assert (state.logged_in, state.account, state.problem) == (True, "octocat", None)
    assert state.source == f"the login in {file}"


@pytest.mark.parametrize("mode", ["exchange", "direct"])
async def test_the_state_is_tried_at_github(make, github, heard, mode) -> None:
    account = make(token=github.state.github_token(), mode=mode)
    assert (await account.login_state()).logged_in
    github.state.revoke_github_tokens()
    other = make("other", token=github.state.github_token(), mode=mode)
    github.state.revoke_github_tokens()
    state = await other.login_state()
    heard.text(state)
    assert not state.logged_in
    assert "does not accept the token" in state.problem


@pytest.mark.parametrize("mode", ["exchange", "direct"])
async def test_a_state_that_cannot_be_tried_says_so_and_stays(make, github, mode, monkeypatch) -> None:
    account = make(token="ghu_x", mode=mode, github_api_url="http://127.0.0.1:1")
    monkeypatch.setattr(account.mint, "_sleep", lambda seconds: asyncio.sleep(0))
    state = await account.login_state()
    assert state.logged_in
    assert state.problem.startswith("not checked just now: GitHub cannot be reached")
