"""An account's bearer, once refused; who the account is; and that it lets no token out (copilot.md §3)."""

from __future__ import annotations

import asyncio
import stat

import pytest

from maestro_copilot.account import Bearer
from maestro_copilot.github_answers import GitHubUser
from maestro_daemon.plugin import (
    CredentialsRefused,
    Secret,
)
from tests.support.copilot.github import Fault
from tests.support.copilot.kept import kept
from tests.support.copilot.overheard import Overheard
from tests.support.copilot.state import State


async def test_a_revoked_copilot_token_is_minted_anew(make, github) -> None:
    account = make(token=github.state.github_token())
    refused = await account.bearer()
    github.state.revoke_copilot_tokens()
    renewed = await account.renewed(refused)
    assert github.state.copilot_user(renewed.authorization)
    assert await account.bearer() is renewed


async def test_a_bearer_refused_after_the_login_is_over_says_so(make, github, heard) -> None:
    account = make(token=github.state.github_token())
    refused = await account.bearer()
    github.state.revoke_github_tokens()
    with pytest.raises(CredentialsRefused) as failure:
        await account.renewed(refused)
    heard.error(failure.value)
    assert account.problem() == failure.value.message


async def test_direct_mode_sends_the_github_token_itself(make, github) -> None:
    # §3: "The GitHub OAuth token itself works as Bearer on api.githubcopilot.com"
    token = github.state.github_token()
    account = make(token=token, mode="direct")
    bearer = await account.bearer()
    assert bearer == Bearer(Secret(token), "https://api.githubcopilot.com")
    assert await account.bearer() is bearer
    assert github.exchanges == 0


async def test_in_direct_mode_a_new_login_helps_and_a_policy_does_not(make, github, tmp_path, host) -> None:
    await kept(tmp_path, github.state.github_token(), host=host)
    account = make(mode="direct")
    refused = await account.bearer()
    assert await account.renewed(refused) is None
    await kept(tmp_path, github.state.github_token(), host=host)
    renewed = await account.renewed(refused)
    assert renewed.token != refused.token
    assert await account.renewed(refused) is renewed


async def test_in_direct_mode_a_revoked_login_says_so(make, github, heard) -> None:
    account = make(token=github.state.github_token(), mode="direct")
    refused = await account.bearer()
    github.state.revoke_github_tokens()
    with pytest.raises(CredentialsRefused) as failure:
        await account.renewed(refused)
    heard.error(failure.value)
    assert "put a valid one" in account.problem()


async def test_in_direct_mode_many_refusals_are_one_question(make, github) -> None:
    account = make(token=github.state.github_token(), mode="direct")
    refused = await account.bearer()
    assert await asyncio.gather(*(account.renewed(refused) for _ in range(50))) == [None] * 50
    assert github.counts["/copilot_internal/user"] == 1
    account.become_another()
    github.state.revoke_github_tokens()
    failures = await asyncio.gather(*(account.renewed(refused) for _ in range(50)), return_exceptions=True)
    assert {type(each) for each in failures} == {CredentialsRefused}
    assert github.counts["/copilot_internal/user"] == 2


async def test_in_direct_mode_an_outage_at_github_is_no_end_of_the_login(make, github) -> None:
    account = make(token=github.state.github_token(), mode="direct")
    refused = await account.bearer()
    github.user_faults = [Fault(503)]
    assert await account.renewed(refused) is None
    assert account.problem() is None


# Who it is


async def test_the_identity_is_the_users_and_the_same_with_another_token(
    make, github, tmp_path, host
) -> None:
    account = make(token=github.state.github_token())
    assert account.identity() == ""
    await account.bearer()
    assert account.identity() == f"{host}/583231"
    await kept(tmp_path, github.state.github_token(), name="other", host=host, login="octocat", id=583231)
    other = make("other")
    await other.start()
    assert other.identity() == account.identity()


@pytest.mark.parametrize("mode", ["exchange", "direct"])
async def test_whose_a_configured_token_is_outlives_the_daemon(make, github, heard, tmp_path, mode) -> None:
    # §7: "a conversation with ciphertext sticks to the same account", with its first request already
    token = github.state.github_token()
    account = make(token=token, mode=mode)
    await account.start()
    assert account.identity() == ""
    await account.bearer()
    again = make(token=token, mode=mode)
    await again.start()
    assert again.identity() == account.identity() != ""
    assert github.counts["/user"] == 1
    await again.bearer()
    assert github.counts["/user"] == 1
    (note,) = await asyncio.to_thread(lambda: list((tmp_path / "state").rglob("*.json")))
    heard.text(await asyncio.to_thread(note.read_text))
    assert stat.S_IMODE((await asyncio.to_thread(note.stat)).st_mode) == 0o600


async def test_what_was_noted_of_another_token_is_not_taken(make, github, tmp_path) -> None:
    await make(token=github.state.github_token()).bearer()
    other = make(token=github.state.github_token())
    await other.start()
    assert other.identity() == ""


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"token_hash": 5, "user": {}}'])
async def test_a_note_that_cannot_be_read_is_none(make, github, tmp_path, content) -> None:
    token = github.state.github_token()
    await make(token=token).bearer()
    (note,) = await asyncio.to_thread(lambda: list((tmp_path / "state").rglob("*.json")))
    await asyncio.to_thread(note.write_bytes, content)
    account = make(token=token)
    await account.start()
    assert account.identity() == ""
    await account.bearer()
    assert account.identity() != ""


async def test_a_state_directory_that_takes_no_note_is_no_failure(make, github, tmp_path) -> None:
    await asyncio.to_thread((tmp_path / "state").write_text, "in the way")
    account = make(token=github.state.github_token())
    await account.start()
    await account.bearer()
    assert account.identity() != ""


@pytest.mark.parametrize("mode", ["exchange", "direct"])
async def test_a_user_that_github_does_not_tell_is_known_by_the_token(make, github, mode) -> None:
    github.page_faults = [Fault(404), Fault(500)]
    token = github.state.github_token()
    one, two = make("one", token=token, mode=mode), make("two", token=token, mode=mode)
    await one.bearer()
    await two.bearer()
    assert one.identity() == two.identity() != ""
    assert token not in one.identity()


@pytest.mark.parametrize(
    "body", [[], {"login": "x"}, {"login": 5, "id": 1}, {"login": "x", "id": True}, b"<"]
)
async def test_a_strange_user_is_none(make, github, body) -> None:
    github.page_faults = [Fault(200, body)]
    account = make(token=github.state.github_token())
    await account.bearer()
    assert "/token/" in account.identity()


# Nothing lets a token out


async def test_no_token_is_in_any_repr(make, github, heard, tmp_path, host) -> None:
    token = github.state.github_token()
    account = make(token=token)
    bearer = await account.bearer()
    for each in (bearer, account.options, account.sources.held, account.mint._token, GitHubUser("a", 1)):
        for shown in (repr(each), str(each), f"{each}", repr([each]), repr({"x": each})):
            assert token not in shown
            assert bearer.token.reveal() not in shown
            heard.text(shown)
    assert "***" in repr(bearer)


def test_the_ear_hears_tokens() -> None:

    token = State().github_token()
    ear = Overheard()
    ear.error(ValueError(f"bad {token}"))
    assert list(ear.tokens())
    ear = Overheard()
    ear.lines([{"event": "x", "deep": {"y": token[10:]}}])
    assert list(ear.tokens())
    ear = Overheard()
    ear.text("nothing")
    assert not list(ear.tokens())
