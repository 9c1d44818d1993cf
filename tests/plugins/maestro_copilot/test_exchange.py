"""What the exchange is asked and what its answers mean (copilot.md §1-3)."""

from __future__ import annotations

import asyncio
from email.utils import formatdate

import pytest

from maestro_daemon.plugin import (
    CredentialsRefused,
    UpstreamRefused,
    UpstreamUnreachable,
)
from tests.support.copilot.github import NO_ACCESS, PERSONAL_TOKEN, RATE_LIMIT, Fault
from tests.support.copilot.kept import kept
from tests.support.copilot.overheard import refusal


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
        "https://evil.example%2f.githubcopilot.com",
        "https://evil.example;.githubcopilot.com",
        "https://.githubcopilot.com",
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


@pytest.mark.parametrize(
    ("status", "said", "remedy"),
    [
        (400, "missing Editor-Version header for IDE auth", True),
        (466, "client too old", True),
        (422, "Unprocessable", False),
        (400, "Bad Request", False),
    ],
)
async def test_what_github_holds_against_the_exchange_is_not_the_clients_fault(
    make, github, heard, status, said, remedy
) -> None:
    # §4: "also needed on the exchange (I:openclaw#60755)"; §10: "466 | client too old"
    github.faults = [Fault(status, {"message": said})]
    failure = await refusal(make(token=github.state.github_token()), heard)
    assert isinstance(failure, CredentialsRefused)
    assert f"(HTTP {status}): {said}." in failure.message
    assert ("editor_version" in failure.message) is remedy
    assert github.exchanges == 1


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
