"""An account: where its token comes from, what it is sent with, what it says of itself (copilot.md §1-4)."""

from __future__ import annotations

import asyncio
import json
import stat
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from maestro_copilot import login_editor
from maestro_copilot.account import Bearer
from maestro_copilot.github_answers import GitHubUser
from maestro_daemon.plugin import (
    CredentialsRefused,
    MaestroError,
    ProviderUnavailable,
    Secret,
    UpstreamRefused,
    UpstreamUnreachable,
)
from tests.support.copilot.github import NO_ACCESS, PERSONAL_TOKEN, RATE_LIMIT, Fault, GitHubHalf
from tests.support.copilot.overheard import Overheard
from tests.support.copilot.state import User

CONFIGURED = "the program"


def written_login(folder: Path, token: str, *, name: str = "work", host: str, **user: Any) -> Path:
    """Write a login as it is kept."""
    path = folder / "state" / "copilot" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(json.dumps({"host": host, "github_token": token, "user": user or None}))
    return path


async def kept(folder: Path, token: str, **more: Any) -> Path:
    return await asyncio.to_thread(written_login, folder, token, **more)


async def editors(folder: Path, file: str, **logins: str) -> Path:
    return await asyncio.to_thread(written_editors, folder, file, **logins)


@pytest.fixture
def host(github_and_url: tuple[GitHubHalf, str]) -> str:
    return github_and_url[1].removeprefix("http://")


async def refusal(account: Any, heard: Overheard) -> MaestroError:
    with pytest.raises(MaestroError) as failure:
        await account.bearer()
    heard.error(failure.value)
    return failure.value


# Where the GitHub token comes from


@pytest.mark.parametrize("key", ["token", "api_key"])
async def test_the_configurations_token_is_exchanged(make, github, key) -> None:
    token = github.state.github_token()
    account = make(**{key: token})
    bearer = await account.bearer()
    assert github.state.copilot_user(bearer.authorization) is github.state.user
    assert dict(github.seen[0][1])["Authorization"] == f"token {token}"


async def test_the_configurations_token_goes_before_a_login(make, github, tmp_path, host) -> None:
    await kept(tmp_path, github.state.github_token(User("other", 2)), host=host, login="other", id=2)
    account = make(token=github.state.github_token())
    await account.bearer()
    assert (await account.login_state()).account == "octocat"


async def test_a_kept_login_is_used(make, github, tmp_path, host) -> None:
    await kept(tmp_path, github.state.github_token(), host=host, login="octocat", id=583231)
    account = make()
    await account.start()
    assert account.problem() is None
    assert github.seen == []
    assert (await account.bearer()).token
    assert github.counts["/user"] == 0


async def test_a_login_that_appears_later_is_found_without_a_restart(
    make, github, tmp_path, host, heard
) -> None:
    account = make()
    await account.start()
    assert "maestro-daemon login work" in account.problem()
    assert isinstance(await refusal(account, heard), ProviderUnavailable)
    await kept(tmp_path, github.state.github_token(), host=host)
    assert (await account.bearer()).token
    assert account.problem() is None


async def test_without_a_login_nobody_is_asked_and_the_command_is_named(make, github, heard) -> None:
    failure = await refusal(make("home"), heard)
    assert failure.message == "Provider 'home' is not logged in: run: maestro-daemon login home"
    assert failure.status == 503
    assert github.seen == []


async def test_a_login_at_another_github_is_never_sent_to_this_one(make, github, tmp_path, heard) -> None:
    await kept(tmp_path, github.state.github_token(), host="octo.ghe.com")
    assert isinstance(await refusal(make(), heard), ProviderUnavailable)
    assert github.seen == []


async def test_logins_of_several_providers_stand_side_by_side(make, github, tmp_path, host) -> None:
    users = {"work": User("worker", 1), "home": User("homer", 2)}
    for name, user in users.items():
        await kept(tmp_path, github.state.github_token(user), name=name, host=host)
    bearers = {name: await make(name).bearer() for name in users}
    for name, user in users.items():
        assert github.state.copilot_user(bearers[name].authorization) is user


async def test_a_login_that_others_can_read_is_made_private_and_said(
    make, github, tmp_path, host, logged
) -> None:
    path = await kept(tmp_path, github.state.github_token(), host=host)
    await asyncio.to_thread(path.chmod, 0o644)
    await make().bearer()
    assert stat.S_IMODE((await asyncio.to_thread(path.stat)).st_mode) == 0o600
    assert any("could be read by others" in line["event"] for line in logged)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff", b'{"github_token": 5}', b'{"github_token": "a b"}']
)
async def test_a_damaged_login_says_to_log_in(make, tmp_path, heard, content) -> None:
    path = await kept(tmp_path, "", host="x")
    await asyncio.to_thread(path.write_bytes, content)
    failure = await refusal(make(), heard)
    assert "maestro-daemon login work" in failure.message
    assert str(path) in failure.message


async def test_a_login_that_cannot_be_read_is_a_sentence(make, tmp_path, heard) -> None:
    await asyncio.to_thread((tmp_path / "state" / "copilot" / "work.json").mkdir, parents=True)
    assert "cannot be read" in (await refusal(make(), heard)).message


# An editor's login (§2: "keys start with the domain, value.oauth_token")


def written_editors(folder: Path, file: str, **logins: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / file).write_text(
        json.dumps({key: {"user": "x", "oauth_token": each} for key, each in logins.items()})
    )
    return folder


async def test_an_editors_login_is_never_used_silently(
    make, github, tmp_path, host, monkeypatch, heard
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    await editors(tmp_path / "github-copilot", "hosts.json", **{host: github.state.github_token()})
    failure = await refusal(make(), heard)
    assert failure.message == "Provider 'work' is not logged in: run: maestro-daemon login work"
    account = make("other", editor_login=True)
    assert (await account.bearer()).token
    assert "hosts.json" in (await account.login_state()).source


@pytest.mark.parametrize("file", ["hosts.json", "apps.json"])
async def test_an_editors_login_of_a_named_place(make, github, tmp_path, host, file) -> None:
    key = host if file == "hosts.json" else f"{host}:Iv1.b507a08c87ecfe98"
    folder = await editors(
        tmp_path / "editor", file, **{key: github.state.github_token(), "github.com": "ghu_wrong"}
    )
    for place in (folder, folder / file):
        assert (await make(place.name, editor_login=str(place)).bearer()).token


async def test_of_several_editors_that_of_the_client_id_is_taken(github, tmp_path) -> None:
    folder = await editors(
        tmp_path / "e", "apps.json", **{"h:Iv1.other": "ghu_a", "h:Iv1.mine": "ghu_b", "h2": "ghu_c"}
    )
    await editors(folder, "hosts.json", h="ghu_d")

    def read() -> tuple[Secret | None, ...]:
        return (
            login_editor.read(folder, "h", "Iv1.mine"),
            login_editor.read(folder, "h", "Iv1.none"),
            login_editor.read(folder, "h3", "Iv1.mine"),
        )

    mine, any_, none = await asyncio.to_thread(read)
    assert (mine.reveal(), any_.reveal(), none) == ("ghu_b", "ghu_a", None)


async def test_an_own_login_goes_before_an_editors(make, github, tmp_path, host) -> None:
    folder = await editors(
        tmp_path / "editor", "hosts.json", **{host: github.state.github_token(User("editor", 3))}
    )
    await kept(tmp_path, github.state.github_token(), host=host)
    account = make(editor_login=str(folder))
    assert (await account.login_state()).account == "octocat"


async def test_a_place_without_an_editors_login_is_named(make, tmp_path, heard) -> None:
    failure = await refusal(make(editor_login=str(tmp_path / "nowhere")), heard)
    assert "nowhere" in failure.message
    assert "maestro-daemon login work" in failure.message


async def test_an_editors_file_that_cannot_be_read_is_a_sentence(make, tmp_path, heard) -> None:
    await asyncio.to_thread((tmp_path / "apps.json").mkdir)
    failure = await refusal(make(editor_login=str(tmp_path)), heard)
    assert "cannot be read" in failure.message


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"XDG_CONFIG_HOME": "/c", "HOME": "/h"}, "/c/github-copilot"),
        ({"HOME": "/h"}, "/h/.config/github-copilot"),
    ],
)
def test_where_editors_keep_their_login(environ, expected) -> None:
    assert login_editor.usual_folder(environ) == Path(expected)


# What the exchange asks and says (§3)


async def test_the_exchange_shows_the_editors_identity(make, github) -> None:
    # §3: "X-GitHub-Api-Version 2025-04-01, editor headers as in §4 (… others report them needed)"
    account = make(token=github.state.github_token(), editor_version="Mine/1", integration_id="")
    await account.bearer()
    path, headers, _ = github.seen[0]
    assert path == "/copilot_internal/v2/token"
    assert headers["X-GitHub-Api-Version"] == "2025-04-01"
    assert headers["Editor-Version"] == "Mine/1"
    assert headers["Editor-Plugin-Version"] == "copilot-chat/0.26.7"
    assert headers["User-Agent"] == "GitHubCopilotChat/0.26.7"
    assert "Copilot-Integration-Id" not in headers


async def test_the_base_url_is_the_tokens_endpoint(make, github) -> None:
    # §3, Hosts: "from the token | endpoints.api: always prefer it"
    github.endpoints = {"api": "https://api.business.githubcopilot.com/"}
    assert (await make(token=github.state.github_token()).bearer()).base_url == (
        "https://api.business.githubcopilot.com"
    )


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://evil.example",
        "http://api.githubcopilot.com",
        "https://api.githubcopilot.com.evil.example",
        "https://evilgithubcopilot.com",
        "https://user@api.githubcopilot.com",
        "https://api.githubcopilot.com@evil.example",
        "https://evil.example/.githubcopilot.com",
        "https://api.githubcopilot.com:8443",
        "https://api.githubcopilot.com?x=1",
        "https://evil.example\\.githubcopilot.com",
        "//api.githubcopilot.com",
        "ftp://api.githubcopilot.com",
        "https://[::1]",
        "https://",
        "https://api.githubcopilot.com:port",
    ],
)
async def test_an_answer_cannot_send_a_bearer_elsewhere(make, github, endpoint, logged) -> None:
    # §1: "Accept endpoints.api only over https and only on a host under githubcopilot.com or the GHE domain"
    github.endpoints = {"api": endpoint}
    assert (
        await make(token=github.state.github_token()).bearer()
    ).base_url == "https://api.githubcopilot.com"
    assert any("outside of GitHub's domains" in line["event"] for line in logged)


async def test_the_enterprises_domain_is_trusted_and_has_its_own_hosts(make, github) -> None:
    # §3, Hosts: "login https://DOMAIN/login/…, API https://api.DOMAIN/…, Copilot https://copilot-api.DOMAIN"
    account = make(token=github.state.github_token(), domain="Octo.GHE.com")
    github.endpoints = {"api": "https://copilot-api.octo.ghe.com"}
    assert (await account.bearer()).base_url == "https://copilot-api.octo.ghe.com"
    github.endpoints = {"api": "https://copilot-api.other.ghe.com"}
    account.mint.forget()
    assert (await account.bearer()).base_url == "https://copilot-api.octo.ghe.com"
    alone = make("alone", domain="octo.ghe.com", github_url=None, github_api_url=None)
    assert (alone.hosts.github, alone.hosts.api) == ("https://octo.ghe.com", "https://api.octo.ghe.com")


async def test_the_operators_base_url_is_used_as_it_is_and_means_direct(make, github) -> None:
    token = github.state.github_token()
    bearer = await make(token=token, base_url="http://127.0.0.1:1/x/").bearer()
    assert (bearer.base_url, bearer.token.reveal()) == ("http://127.0.0.1:1/x", token)
    assert github.exchanges == 0


async def test_an_exchange_that_is_asked_for_keeps_the_operators_base_url(make, github) -> None:
    github.endpoints = {"api": "https://api.business.githubcopilot.com"}
    account = make(token=github.state.github_token(), base_url="http://127.0.0.1:1", mode="exchange")
    assert (await account.bearer()).base_url == "http://127.0.0.1:1"
    assert github.exchanges == 1


async def test_without_a_subscription_githubs_own_words_are_told(make, github, heard) -> None:
    # §3: "403 with error_details {notification_id, title, message, url}"
    github.state.user.refusal = NO_ACCESS
    account = make(token=github.state.github_token())
    failure = await refusal(account, heard)
    assert isinstance(failure, CredentialsRefused)
    assert (failure.status, failure.code) == (403, "no_copilot_access")
    assert "has no Copilot subscription" in failure.message
    assert "You are currently logged in as octocat." in failure.message
    assert "https://github.com/settings/copilot" in failure.message
    assert account.problem() == failure.message
    github.state.user.refusal = None
    await account.bearer()
    assert account.problem() is None


@pytest.mark.parametrize(
    ("details", "said"),
    [
        ({"notification_id": "subscription_ended"}, "subscription of this GitHub account has ended"),
        ({"notification_id": "billing_locked", "title": "Locked"}, "GitHub says: Locked"),
        ({"notification_id": "brand_new", "message": "Something new."}, "GitHub says: Something new."),
        ({"title": "Same", "message": "Same"}, "GitHub says: Same"),
        ({"notification_id": 5, "title": ["x"], "url": {}}, "GitHub refuses Copilot to this account."),
    ],
)
async def test_other_refusals_say_what_they_can(make, github, heard, details, said) -> None:
    github.state.user.refusal = {"error_details": details, "can_signup_for_limited": True}
    failure = await refusal(make(token=github.state.github_token()), heard)
    assert said in failure.message
    assert "free plan is open" in failure.message


async def test_a_personal_access_token_is_told_to_be_one(make, github, heard) -> None:
    # §2: "Personal access tokens are refused by the exchange: 403"
    github.state.user.refusal = PERSONAL_TOKEN
    failure = await refusal(make(token=github.state.github_token(prefix="github_pat_")), heard)
    assert "exchanges no personal access token" in failure.message
    assert "maestro-daemon login work" in failure.message


async def test_a_rate_limit_that_is_called_403_is_no_login_failure(make, github, heard) -> None:
    # §3: "A 403 … "API rate limit exceeded…" is a rate limit: retry later, it is not a login failure"
    account = make(token=github.state.github_token())
    reset = str(int(github.state.now()) + 1800)
    github.faults = [Fault(403, RATE_LIMIT, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": reset})]
    failure = await refusal(account, heard)
    assert isinstance(failure, UpstreamRefused)
    assert not isinstance(failure, CredentialsRefused)
    assert (failure.status, failure.code) == (429, "rate_limit_exceeded")
    assert 1790 <= failure.retry_after <= 1810
    assert "30 min" in failure.message
    assert account.problem() is None


async def test_a_rate_limit_counts_by_githubs_clock(make, github, heard) -> None:
    github.state.skew = 7200.0
    reset = str(int(github.state.now()) + 60)
    github.faults = [Fault(403, RATE_LIMIT, {"x-ratelimit-reset": reset})]
    failure = await refusal(make(token=github.state.github_token()), heard)
    assert 55 <= failure.retry_after <= 65


@pytest.mark.parametrize("after", ["90", "date"])
async def test_a_429_says_when_to_come_back(make, github, heard, after) -> None:
    github.state.skew = -5000.0
    if after == "date":
        after = formatdate(github.state.now() + 90, usegmt=True)
    github.faults = [Fault(429, {"message": "Slow down."}, {"retry-after": after})]
    failure = await refusal(make(token=github.state.github_token()), heard)
    assert (failure.status, github.exchanges) == (429, 1)
    assert 85 <= failure.retry_after <= 95


async def test_a_revoked_login_says_to_log_in_again(make, github, tmp_path, host, heard) -> None:
    # §2: "a 401 on the exchange = log in again"
    await kept(tmp_path, github.state.github_token(), host=host)
    github.state.revoke_github_tokens()
    account = make()
    failure = await refusal(account, heard)
    assert failure.status == 401
    assert failure.message.endswith("any more: run: maestro-daemon login work")
    assert account.problem() == failure.message


async def test_a_revoked_token_of_the_configuration_names_its_place(make, github, heard) -> None:
    account = make(token=github.state.github_token())
    github.state.revoke_github_tokens()
    failure = await refusal(account, heard)
    assert "put a valid one into the configuration file" in failure.message


async def test_a_login_renewed_by_somebody_else_is_found_in_its_file(make, github, tmp_path, host) -> None:
    await kept(tmp_path, github.state.github_token(), host=host)
    account = make()
    await account.bearer()
    github.state.revoke_github_tokens()
    await kept(tmp_path, github.state.github_token(), host=host)
    account.mint.forget()
    assert (await account.bearer()).token
    assert github.exchanges == 3


async def test_404_is_told_with_both_its_reasons(make, github, heard) -> None:
    github.faults = [Fault(404, {"message": "Not Found"})]
    failure = await refusal(make(token=github.state.github_token()), heard)
    assert "no subscription" in failure.message
    assert "github_api_url" in failure.message


@pytest.mark.parametrize("body", [b"<html>", [], {"token": None}, b""])
async def test_an_exchange_that_answers_nonsense_is_broken(make, github, heard, body) -> None:
    github.faults = [Fault(200, body)]
    failure = await refusal(make(token=github.state.github_token()), heard)
    assert failure.code == "upstream_broken"
    assert github.exchanges == 1


async def test_without_a_network_it_is_unreachable(make, heard, monkeypatch) -> None:
    account = make(token="ghu_x", github_api_url="http://127.0.0.1:1")
    monkeypatch.setattr(account.mint, "_sleep", lambda seconds: asyncio.sleep(0))
    failure = await refusal(account, heard)
    assert isinstance(failure, UpstreamUnreachable)
    assert failure.message.startswith("GitHub cannot be reached: ")
    assert account.problem() is None


# A refused bearer


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
    from tests.support.copilot.state import State

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
