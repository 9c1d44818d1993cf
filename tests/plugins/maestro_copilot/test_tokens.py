"""Copilot tokens: copilot.md §3, line by line."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from maestro_copilot import tokens
from maestro_copilot.bearer import Bearer
from maestro_copilot.github import AnswerUnusable
from maestro_copilot.github_hosts import Hosts
from maestro_copilot.options import CopilotOptions
from maestro_copilot.tokens import CopilotToken, TokenMint
from maestro_daemon.plugin import (
    ConnectionLost,
    CredentialsRefused,
    MaestroError,
    Secret,
    UpstreamError,
    UpstreamRefused,
    UpstreamUnreachable,
)
from maestro_daemon.routing.failure_class import classify
from tests.support.copilot.github import Fault
from tests.support.copilot.overheard import Overheard

HOSTS = Hosts.of(CopilotOptions())


class Clock:
    """Time that passes only when it is told to, and remembers who slept how long."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


class Exchange:
    """Gives tokens t1, t2 …, good for 1500 s, or what was put into `script`."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.count = 0
        self.script: list[MaestroError] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.entered = asyncio.Event()

    async def __call__(self) -> CopilotToken:
        self.entered.set()
        await self.gate.wait()
        self.count += 1
        if self.script:
            raise self.script.pop(0)
        now = self.clock.now
        return CopilotToken(
            Bearer(Secret(f"t{self.count}"), "https://api.githubcopilot.com"), now + 1440, now + 1560
        )


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def exchange(clock: Clock) -> Exchange:
    return Exchange(clock)


@pytest.fixture
async def mint(clock: Clock, exchange: Exchange) -> Any:
    one = TokenMint(exchange, provider="work", clock=clock, sleep=clock.sleep, chance=lambda: 0.5)
    yield one
    await one.aclose()


async def shown(mint: TokenMint) -> str:
    return (await mint.current()).bearer.token.reveal()


async def settled(mint: TokenMint) -> None:
    """Wait until the renewal that is under way is over."""
    if mint._minting is not None:
        await asyncio.wait({mint._minting})


def read(clock_now: float = 100.0, their_time: float = 5000.0, **answer: Any) -> CopilotToken:
    return tokens.read({"token": "secret-token", **answer}, HOSTS, asked_at=clock_now, their_time=their_time)


def test_the_life_of_a_token_is_what_refresh_in_says() -> None:
    # §3: "Refresh at refresh_in − 60 s (E)", "use now + refresh_in + 60 (V)"
    token = read(refresh_in=1500, expires_at=1)
    assert (token.renew_at, token.good_until) == (100 + 1440, 100 + 1560)


@pytest.mark.parametrize("refresh_in", [None, "soon", -5, 0, 1_800_000, True, float("nan"), []])
def test_a_refresh_in_that_cannot_be_is_not_believed(refresh_in: Any) -> None:
    # §3: "R's default of 1800000 is wrong"; without one, expires_at counts by GitHub's clock
    token = read(refresh_in=refresh_in, expires_at=5000 + 1560)
    assert (token.renew_at, token.good_until) == (100 + 1440, 100 + 1560)


def test_without_any_time_a_token_lives_for_ten_minutes() -> None:
    token = read(expires_at="never")
    assert (token.renew_at, token.good_until) == (100 + 540, 100 + 660)


def test_a_very_short_life_is_halved_rather_than_ended() -> None:
    assert read(refresh_in=10).renew_at == 105


@pytest.mark.parametrize("token", [None, "", 5, "a b", "a\r\nx: y", "ä", "x" * 20_000, {"a": 1}])
def test_an_answer_without_a_usable_token_is_no_token(token: Any) -> None:
    with pytest.raises(AnswerUnusable):
        tokens.read({"token": token}, HOSTS, asked_at=0.0, their_time=0.0)


@pytest.mark.parametrize("endpoints", [None, [], {}, {"api": None}, {"api": 7}, {"api": ""}, "x"])
def test_without_an_endpoint_the_default_host_is_used(endpoints: Any) -> None:
    assert read(endpoints=endpoints).bearer.base_url == "https://api.githubcopilot.com"


async def test_a_token_is_used_from_memory_until_it_is_to_be_renewed(mint, exchange, clock) -> None:
    assert [await shown(mint), await shown(mint)] == ["t1", "t1"]
    clock.now += 1439
    assert await shown(mint) == "t1"
    assert exchange.count == 1


async def test_a_token_is_renewed_ahead_of_its_end_while_the_old_one_is_used(mint, exchange, clock) -> None:
    await shown(mint)
    clock.now += 1441
    exchange.gate.clear()
    assert await shown(mint) == "t1"
    exchange.gate.set()
    await settled(mint)
    assert await shown(mint) == "t2"
    assert exchange.count == 2


async def test_an_unexpired_token_goes_on_being_used_while_its_renewal_fails(mint, exchange, clock) -> None:
    # §3: "serve until the real expiry if a refresh fails"
    await shown(mint)
    clock.now += 1441
    exchange.script = [UpstreamUnreachable("down")] * 4
    assert await shown(mint) == "t1"
    await settled(mint)
    assert await shown(mint) == "t1"
    assert exchange.count == 5
    clock.now += 16
    assert await shown(mint) == "t1"
    await settled(mint)
    assert await shown(mint) == "t6"


async def test_a_refusal_of_the_renewal_does_not_end_an_unexpired_token(mint, exchange, clock) -> None:
    await shown(mint)
    clock.now += 1441
    exchange.script = [CredentialsRefused("no", status=403)]
    await shown(mint)
    await settled(mint)
    assert await shown(mint) == "t1"
    clock.now += 200
    assert await shown(mint) == "t3"


async def test_a_hundred_requests_on_an_expired_token_are_one_exchange(mint, exchange, clock) -> None:
    await shown(mint)
    clock.now += 2000
    exchange.gate.clear()
    exchange.entered.clear()
    waiting = [asyncio.create_task(shown(mint)) for _ in range(100)]
    await exchange.entered.wait()
    exchange.gate.set()
    assert set(await asyncio.gather(*waiting)) == {"t2"}
    assert exchange.count == 2


async def test_who_leaves_while_a_token_is_renewed_does_not_end_it_for_the_others(mint, exchange) -> None:
    exchange.gate.clear()
    first, second = (asyncio.create_task(shown(mint)) for _ in range(2))
    await exchange.entered.wait()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    exchange.gate.set()
    assert await second == "t1"


async def test_each_who_waited_gets_a_failure_of_his_own(mint, exchange) -> None:
    exchange.script = [CredentialsRefused("no", status=401)]
    exchange.gate.clear()
    waiting = [asyncio.create_task(shown(mint)) for _ in range(3)]
    exchange.gate.set()
    failures = await asyncio.gather(*waiting, return_exceptions=True)
    assert [str(each) for each in failures] == ["no"] * 3
    assert len({id(each) for each in failures}) == 3
    assert {type(each) for each in failures} == {CredentialsRefused}
    assert {getattr(each, "status", 0) for each in failures} == {401}


@pytest.mark.parametrize(
    "failure",
    [
        UpstreamUnreachable("no network"),
        UpstreamRefused("busy", status=503),
        UpstreamRefused("busy", status=500),
        UpstreamRefused("slower", status=429),
    ],
)
async def test_what_may_pass_is_tried_again_with_growing_pauses(mint, exchange, clock, failure) -> None:
    # §3: "3 retries of 0.3·2ⁿ s + jitter on 429, 5xx and network only"
    exchange.script = [failure] * 3
    assert await shown(mint) == "t4"
    assert clock.slept == pytest.approx([0.45, 0.9, 1.8])


async def test_only_a_renewal_that_fails_in_silence_is_a_warning(mint, exchange, clock, logged) -> None:
    refused = CredentialsRefused("no", status=401)
    exchange.script = [refused]
    with pytest.raises(CredentialsRefused):
        await shown(mint)
    await shown(mint)
    exchange.script = [refused]
    clock.now += 1450
    await shown(mint)
    await settled(mint)
    lines = [each["log_level"] for each in logged if each["event"] == "no new Copilot token"]
    assert lines == ["info", "warning"]


async def test_tries_are_bounded(mint, exchange, clock) -> None:
    exchange.script = [UpstreamUnreachable("no network")] * 9
    with pytest.raises(UpstreamUnreachable, match="no network"):
        await shown(mint)
    assert exchange.count == 4


@pytest.mark.parametrize("failure", [UpstreamRefused("busy", status=503), ConnectionLost("hung up")])
async def test_nobody_tries_again_what_was_tried_enough_here(mint, exchange, failure) -> None:
    # §3: "in one layer only (R)"; the router asks once more after a 5xx and after a connection that broke
    exchange.script = [failure] * 4
    with pytest.raises(UpstreamUnreachable, match=failure.message) as told:
        await shown(mint)
    assert not classify(told.value).passing


@pytest.mark.parametrize(
    "failure",
    [
        CredentialsRefused("no", status=401),
        CredentialsRefused("no", status=403),
        UpstreamRefused("odd", status=418),
        AnswerUnusable("nonsense"),
    ],
)
async def test_what_will_not_pass_is_not_tried_again(mint, exchange, clock, failure) -> None:
    # §3: "never on 401/403"
    exchange.script = [failure]
    with pytest.raises(UpstreamError):
        await shown(mint)
    assert (exchange.count, clock.slept) == (1, [])


async def test_a_short_wait_that_github_asks_for_is_waited(mint, exchange, clock) -> None:
    exchange.script = [UpstreamRefused("slower", status=429, retry_after=3.0)]
    assert await shown(mint) == "t2"
    assert clock.slept == [3.0]


async def test_a_long_wait_is_told_and_not_slept_and_nobody_asks_meanwhile(mint, exchange, clock) -> None:
    # §10: "Waits can be long (2 h and 58 h seen) … never a sleep inside a request"
    exchange.script = [UpstreamRefused("slower", status=429, retry_after=600.0)]
    with pytest.raises(UpstreamRefused) as first:
        await shown(mint)
    clock.now += 100
    with pytest.raises(UpstreamRefused) as second:
        await shown(mint)
    assert (first.value.retry_after, second.value.retry_after) == (600.0, 500.0)
    assert (exchange.count, clock.slept) == (1, [])
    clock.now += 501
    assert await shown(mint) == "t2"


async def test_a_refused_token_is_minted_anew_once_for_all(mint, exchange) -> None:
    # §3: "on 401/403 from the API one forced re-mint and one retry"
    refused = (await mint.current()).bearer
    renewed = await asyncio.gather(*(mint.renewed(refused) for _ in range(100)))
    assert {each.bearer.token.reveal() for each in renewed} == {"t2"}
    assert exchange.count == 2
    assert (await mint.renewed(refused)).bearer.token.reveal() == "t2"
    assert exchange.count == 2


async def test_a_token_that_cannot_be_minted_anew_is_none(mint, exchange) -> None:
    refused = (await mint.current()).bearer
    exchange.script = [UpstreamUnreachable("down")] * 4
    assert await mint.renewed(refused) is None


async def test_a_login_that_is_over_is_said_and_its_token_forgotten(mint, exchange) -> None:
    refused = (await mint.current()).bearer
    exchange.script = [CredentialsRefused("log in again", status=401)]
    with pytest.raises(CredentialsRefused, match="log in again"):
        await mint.renewed(refused)
    assert await shown(mint) == "t3"


async def test_refusals_without_end_do_not_make_exchanges_without_end(mint, exchange, clock) -> None:
    for _ in range(60):
        await mint.renewed((await mint.current()).bearer)
    assert exchange.count == 31
    clock.now += 61
    assert (await mint.renewed((await mint.current()).bearer)) is not None


async def test_a_logout_in_the_middle_leaves_no_token(mint, exchange) -> None:
    exchange.gate.clear()
    waiting = asyncio.create_task(shown(mint))
    await exchange.entered.wait()
    mint.forget()
    with pytest.raises(UpstreamUnreachable, match="changed"):
        await waiting
    exchange.gate.set()
    assert await shown(mint) == "t1"


async def test_a_hundred_requests_on_an_expired_token_are_one_exchange_at_github(
    make, github, monkeypatch
) -> None:
    account = make(token=github.state.github_token())
    await account.bearer()
    assert github.exchanges == 1
    monkeypatch.setattr(account.mint, "_clock", lambda: tokens.uptime() + 5000)
    github.hold = asyncio.Event()
    github.asked.clear()
    waiting = [asyncio.create_task(account.bearer()) for _ in range(100)]
    await github.asked.wait()
    github.hold.set()
    assert len({(await each).token for each in waiting}) == 1
    assert github.exchanges == 2


@pytest.mark.parametrize("skew", [-86_400.0 * 400, -3600.0, 3600.0, 86_400.0 * 400])
async def test_a_skewed_clock_neither_shortens_nor_lengthens_a_tokens_life(make, github, skew) -> None:
    # §3: "Do not trust expires_at against a skewed local clock"
    github.state.skew = skew
    for refresh_in in (1500, None):
        github.refresh_in = refresh_in
        account = make(token=github.state.github_token())
        before = tokens.uptime()
        await account.bearer()
        token = account.mint._token
        assert token is not None
        assert 1300 < token.renew_at - before < 1500
        assert 1450 < token.good_until - before < 1600


async def test_an_outage_at_github_is_survived(make, github, monkeypatch) -> None:
    account = make(token=github.state.github_token())
    monkeypatch.setattr(account.mint, "_sleep", lambda seconds: asyncio.sleep(0))
    github.faults = [Fault(502, b"<html>"), Fault(0), Fault(500, {"message": "boom"})]
    assert (await account.bearer()).base_url == "https://api.individual.githubcopilot.com"
    assert github.exchanges == 4


async def test_no_failure_of_the_exchange_bears_a_token(make, github, heard: Overheard) -> None:
    token = github.state.github_token()
    echo = {"message": f"you sent {token}", "token": token}
    for status in (400, 401, 403, 404, 418):
        account = make(token=token)
        github.faults = [Fault(status, echo, {"x-echo": token})]
        with pytest.raises(MaestroError) as failure:
            await account.bearer()
        heard.error(failure.value)
        assert "***" in str(vars(failure.value)) or "you sent" not in str(failure.value)
