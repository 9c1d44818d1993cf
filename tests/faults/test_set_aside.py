"""A target that failed is left alone, found again by one probe, and asked early where nobody else is left."""

from __future__ import annotations

import asyncio
import json
from collections.abc import MutableMapping
from typing import Any, Literal

import pytest

from maestro_daemon.routing.breaker import BreakerRules
from maestro_daemon.routing.health import Health
from tests.support import native
from tests.support.fake_upstream import PAUSE, FakeUpstream, Stream, fake_upstream, refusal
from tests.support.faults.cell import MODEL, Cell, ask, cell_house, nothing_left
from tests.support.faults.rules import Aside, Position, aside, is_wide
from tests.support.faults.table import FAULTS, Failure, Fault, Moment
from tests.support.faults.verdict import SOON
from tests.support.faults.wording import WHOLE, NativeStream
from tests.support.house import House, NativeProvider, house
from tests.support.raw_upstream import RawUpstream, held_port

AT_THE_FIRST = BreakerRules(failures=1)
FRAMES = native.text("Hel", "lo")


@pytest.mark.parametrize("dialect", ["native", "translated"])
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(each, id=each.name.replace("`", ""), marks=() if each.brief else pytest.mark.heavy)
        for each in FAULTS
        if each.failure is not None
    ],
)
async def test_what_counts_against_a_target_keeps_the_next_request_from_it(
    fault: Fault, dialect: Literal["native", "translated"], logged: list[MutableMapping[str, Any]]
) -> None:
    async with nothing_left(logged):
        cell = Cell(fault, Position.FIRST, dialect, stream=True)
        async with cell_house(cell, [], Health(AT_THE_FIRST)) as (front, _):
            await ask(front, stream=True)
            before = len(front.heard.attempts)
            await ask(front, stream=True)
            asked = [attempt.provider for attempt in front.heard.attempts[before:]]
            if aside(fault) is not Aside.NEVER:
                assert asked == ["two"]
            else:
                alone = fault.failure is Failure.CLIENT or fault.moment is Moment.SPEAKING
                assert asked == (["one"] if alone else ["one", "two"])


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(each, id=each.name.replace("`", ""), marks=() if each.brief else pytest.mark.heavy)
        for each in FAULTS
        if each.failure not in (None, Failure.CLIENT) and each.moment is not Moment.SPEAKING
    ],
)
async def test_a_cause_that_all_models_of_a_provider_share_spares_the_others(fault: Fault) -> None:
    cell = Cell(fault, Position.FIRST, "native", stream=True)
    targets = ["one/gpt-test", "one/gpt-other", "two/gpt-test"]
    async with cell_house(cell, [], Health(AT_THE_FIRST), targets) as (front, _):
        await ask(front, stream=True)
        asked = [attempt.target for attempt in front.heard.attempts]
        assert asked == ([targets[0], targets[2]] if is_wide(fault) else targets)


async def ask_many(front: House, count: int) -> list[tuple[int, str, float | None]]:
    """Status, the target's name and Retry-After of requests that run at once."""

    async def one() -> tuple[int, str, float | None]:
        status, headers, body = await front.post({"model": MODEL, "input": "Hi", "stream": True})
        assert status != 200 or b"event: response.completed" in body
        wait = headers.get("Retry-After")
        return status, headers.get("x-maestro-target", ""), None if wait is None else float(wait)

    async with asyncio.timeout(SOON):
        return await asyncio.gather(*(one() for _ in range(count)))


async def test_a_target_that_may_be_back_gets_one_request_until_that_has_output(
    upstream: FakeUpstream,
) -> None:
    now = [0.0]
    health = Health(AT_THE_FIRST, clock=lambda: now[0])
    async with fake_upstream() as second:
        second.play(Stream(*FRAMES))
        upstream.play(refusal(501), Stream(*FRAMES[:2], PAUSE, *FRAMES[2:]))
        providers = {"one": NativeProvider("one", upstream.url), "two": NativeProvider("two", second.url)}
        async with house(providers, {MODEL: (["one/gpt-test", "two/gpt-test"], [])}, health=health) as front:
            await ask_many(front, 1)
            assert await ask_many(front, 20) == [(200, "two/gpt-test", None)] * 20
            assert len(upstream.requests) == 1
            now[0] = AT_THE_FIRST.cooldown
            probe = asyncio.create_task(ask_many(front, 1))
            await upstream.asked.get()
            await upstream.asked.get()
            assert await ask_many(front, 30) == [(200, "two/gpt-test", None)] * 30
            assert len(upstream.requests) == 2
            (row, _) = health.snapshot()
            assert (row["state"], row["in_flight"]) == ("half_open", 1)
            upstream.go_on()
            assert await probe == [(200, "one/gpt-test", None)]
            assert await ask_many(front, 10) == [(200, "one/gpt-test", None)] * 10


async def test_a_probe_that_fails_keeps_its_target_aside_for_longer(upstream: FakeUpstream) -> None:
    now = [0.0]
    health = Health(AT_THE_FIRST, clock=lambda: now[0], random=lambda: 1.0)
    async with fake_upstream() as second:
        second.play(Stream(*FRAMES))
        upstream.play(refusal(501))
        providers = {"one": NativeProvider("one", upstream.url), "two": NativeProvider("two", second.url)}
        async with house(providers, {MODEL: (["one/gpt-test", "two/gpt-test"], [])}, health=health) as front:
            left = []
            for _ in range(4):
                assert await ask_many(front, 5) == [(200, "two/gpt-test", None)] * 5
                left.append(health.snapshot()[0]["cooldown_left"])
                now[0] += left[-1]
            assert left == [30.0, 60.0, 120.0, 240.0]
            assert len(upstream.requests) == 4 + 4  # five at once met it while it was still thought well


async def test_a_server_that_was_started_again_is_found_at_once() -> None:
    health = Health(AT_THE_FIRST)
    server = RawUpstream([lambda _: NativeStream().script(WHOLE)[1:]], lambda: None)
    with held_port() as port:
        providers = {"one": NativeProvider("one", f"http://127.0.0.1:{port}/v1")}
        async with house(providers, {MODEL: (["one/gpt-test"], [])}, health=health) as front:
            for _ in range(3):
                assert [status for status, _, _ in await ask_many(front, 1)] == [502]
                assert health.snapshot()[0]["state"] == "open"
            server.listen(port)
            assert await ask_many(front, 1) == [(200, "one/gpt-test", None)]
            assert health.snapshot()[0]["state"] == "closed"
        await server.aclose()


async def test_where_all_are_unreachable_one_request_looks_and_the_others_are_told_at_once(
    upstream: FakeUpstream,
) -> None:
    health = Health(AT_THE_FIRST)
    upstream.play(Stream(), Stream(PAUSE, *FRAMES))  # the first ends without anything
    providers = {"one": NativeProvider("one", upstream.url)}
    async with house(providers, {MODEL: (["one/gpt-test"], [])}, health=health) as front:
        await front.post({"model": MODEL, "input": "Hi"})
        assert health.snapshot()[0]["state"] == "open"
        probe = asyncio.create_task(ask_many(front, 1))
        await upstream.asked.get()
        await upstream.asked.get()
        for status, target, wait in await ask_many(front, 20):
            assert (status, target) == (503, "")
            assert wait is not None
        assert len(upstream.requests) == 2
        upstream.go_on()
        assert await probe == [(200, "one/gpt-test", None)]


@pytest.mark.parametrize(
    ("told", "status", "code", "least"),
    [
        (refusal(429, headers={"retry-after": "7"}), 429, "rate_limit_exceeded", 6),
        (refusal(429, code="insufficient_quota"), 429, "insufficient_quota", 1790),
        (refusal(401), 503, "upstream_credentials_refused", 20),
        (refusal(503, headers={"retry-after": "7"}), 503, "upstream_unavailable", 6),
    ],
)
async def test_where_all_are_limited_nobody_is_asked_and_the_shortest_time_is_told(
    told: Any, status: int, code: str, least: int, upstream: FakeUpstream
) -> None:
    upstream.play(told)
    providers = {name: NativeProvider(name, upstream.url) for name in ("one", "two")}
    async with house(providers, {MODEL: (["one/gpt-test"], ["two/gpt-test"])}) as front:
        await front.post({"model": MODEL, "input": "Hi"})
        assert len(upstream.requests) == 2
        got, headers, body = await front.post({"model": MODEL, "input": "Hi"})
        error = json.loads(body)["error"]
        assert (got, error["code"]) == (status, code)
        assert least <= int(headers["Retry-After"]) <= least + 15
        assert "one/gpt-test" in error["message"]
        assert "two/gpt-test" in error["message"]
        assert headers.get("x-maestro-attempts", "0") == "0"
        assert len(upstream.requests) == 2
