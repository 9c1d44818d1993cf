"""Deadlines, hedges and targets that cool down, as a client on a socket meets them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from multidict import CIMultiDict

from maestro_daemon.events import Accepted
from maestro_daemon.request import Timeouts
from maestro_daemon.routing.terms import Patience, Terms
from tests.support import native
from tests.support.core import named
from tests.support.fake_upstream import STALL, FakeUpstream, Reply, Stream, fake_upstream, refusal
from tests.support.house import House, NativeProvider, house, parse_stream
from tests.support.scripted import HELLO, Scripted
from tests.support.translated_provider import TranslatedProvider

MODEL = "coder"
FRAMES = native.text("Hello")
ANSWER = Reply(native.response(status="completed", output=[native.message("Hello")]))


@asynccontextmanager
async def two(
    kind: Any = NativeProvider, **options: Any
) -> AsyncIterator[tuple[House, FakeUpstream, FakeUpstream]]:
    """A house with the route ``coder`` over two upstreams in order."""
    async with AsyncExitStack() as stack:
        first, second = [await stack.enter_async_context(fake_upstream()) for _ in range(2)]
        providers = {"first": kind("first", first.url), "second": NativeProvider("second", second.url)}
        routes = {MODEL: (["first/gpt-test", "second/gpt-test"], [])}
        yield await stack.enter_async_context(house(providers, routes, **options)), first, second


async def ask(front: House, *, stream: bool, **more: Any) -> tuple[int, Any, bytes]:
    async with asyncio.timeout(20):
        status, headers, body = await front.post({"model": MODEL, "input": "Hi", "stream": stream}, **more)
    return status, CIMultiDict(headers), body


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "json"])
async def test_a_client_that_says_how_long_it_waits_is_answered_in_time(stream: bool) -> None:
    async with two() as (front, first, second):
        first.play(STALL)
        status, headers, body = await ask(front, stream=stream, headers={"x-stainless-timeout": "0.1"})
        assert (status, json.loads(body)["error"]["code"]) == (504, "deadline_exceeded")
        assert headers["x-maestro-attempts"] == "1"
        assert await first.left.get()
        assert "x-stainless-timeout" not in {name.lower() for name in first.requests[0].headers}
        assert second.requests == []


async def test_a_deadline_after_the_acceptance_ends_the_stream_well() -> None:
    async with two() as (front, first, _):
        first.play(Stream(*FRAMES[:2], STALL))
        _, _, body = await ask(front, stream=True, headers={"x-stainless-timeout": "0.1"})
        events = parse_stream(body)
        assert [event["type"] for event in events][-2:] == ["error", "response.failed"]
        assert "that the client waits" in events[-1]["response"]["error"]["message"]
        assert await first.left.get()


@pytest.mark.parametrize("kind", [NativeProvider, TranslatedProvider])
@pytest.mark.parametrize(
    ("timeouts", "script"),
    [(Timeouts(first_byte=0.05), STALL), (Timeouts(idle=0.05), Stream(*FRAMES[:1], STALL))],
    ids=["first byte", "idle"],
)
async def test_a_routes_timeouts_reach_the_connection(kind: Any, timeouts: Timeouts, script: Any) -> None:
    async with two(kind, terms=Terms(timeouts=timeouts)) as (front, first, second):
        first.play(script)
        second.play(Stream(*FRAMES))
        _, _, body = await ask(front, stream=True)
        assert parse_stream(body)[-1]["type"] == "response.completed"
        assert await first.left.get()
        assert front.heard.attempts[0].failure == "unreachable"


async def test_comments_are_no_output() -> None:
    async with two(patience={"first": Patience(first_output=0.1)}) as (front, first, second):
        first.play(Stream(b": still here\n\n", *FRAMES[:2], b": still here\n\n", STALL))
        second.play(Stream(*FRAMES))
        _, headers, body = await ask(front, stream=True)
        assert headers["x-maestro-target"] == "first/gpt-test"
        assert b": maestro target=second/gpt-test attempts=2\n\n" in body
        assert parse_stream(body)[-1]["type"] == "response.completed"
        assert await first.left.get()


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "json"])
async def test_a_late_target_is_raced_and_the_loser_let_go(stream: bool) -> None:
    async with two(terms=Terms(hedge=True)) as (front, first, second):
        for _ in range(20):
            front.health.pace(MODEL, stream=stream).add(0.01)
        first.play(Stream(*FRAMES[:2], STALL) if stream else STALL)
        second.play(Stream(*FRAMES) if stream else ANSWER)
        status, headers, body = await ask(front, stream=stream)
        assert status == 200
        if stream:
            assert headers["x-maestro-target"] == "first/gpt-test"
            assert b": maestro target=second/gpt-test attempts=2\n\n" in body
            assert parse_stream(body)[-1]["response"]["status"] == "completed"
        else:
            assert (headers["x-maestro-target"], headers["x-maestro-attempts"]) == ("second/gpt-test", "2")
        assert await first.left.get()
        rows = {row["target"]: (row["attempts"], row["in_flight"]) for row in front.health.snapshot()}
        assert rows == {"first/gpt-test": (0, 0), "second/gpt-test": (1, 0)}


async def test_of_a_race_the_headers_name_who_accepted_and_a_comment_who_spoke() -> None:
    speak = asyncio.Event()
    events = [Accepted(), *map(named, HELLO)]
    providers: Any = {"first": Scripted(speak, *events), "second": Scripted(Accepted(), asyncio.Event())}
    routes: Any = {MODEL: (["first/m", "second/m"], [])}
    async with asyncio.timeout(20), house(providers, routes, terms=Terms(hedge=True)) as front:
        for _ in range(20):
            front.health.pace(MODEL, stream=True).add(0.001)
        asked = {"model": MODEL, "input": "Hi", "stream": True}
        async with front.session.post(f"{front.url}/v1/responses", json=asked) as answer:
            assert answer.headers["x-maestro-target"] == "second/m"
            speak.set()
            assert b": maestro target=first/m attempts=2\n\n" in await answer.read()


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "json"])
async def test_while_all_cool_down_nobody_is_asked_and_the_client_is_told_when(stream: bool) -> None:
    async with two() as (front, first, second):
        first.play(refusal(429, "slow", headers={"retry-after": "40"}))
        second.play(refusal(402, "pay"))
        await ask(front, stream=stream)
        status, headers, body = await ask(front, stream=stream)
        assert status == 429
        assert 38 <= int(headers["retry-after"]) <= 40
        message = json.loads(body)["error"]["message"]
        assert message.startswith(
            "first/gpt-test is rate limited, asked again in 40 s: slow. second/gpt-test is"
        )
        assert (len(first.requests), len(second.requests)) == (1, 1)
        assert "x-maestro-attempts" not in headers
