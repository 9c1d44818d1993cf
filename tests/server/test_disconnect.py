"""Clients that leave or stop listening: the upstream's request ends with them, and nothing is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from maestro_daemon.providers.notices import Outcome
from tests.support import native
from tests.support.fake_upstream import PAUSE, STALL, TURN, FakeUpstream, Reply, Stream
from tests.support.house import House, NativeProvider, house
from tests.support.raw_client import raw_client

HELLO = native.text("Hel", "lo")
ASKED = {"model": "first/gpt-test", "input": "Hi"}


class Front:
    """A house over one provider, and how to look inside."""

    def __init__(self, running: House, provider: NativeProvider) -> None:
        self.house = running
        self.url = running.url
        self.provider = provider

    async def outcome(self) -> Outcome:
        """How the next request ended; nothing of it may be left."""
        outcome = await self.house.heard.outcomes.get()
        connector: Any = self.provider.http._session.connector
        assert not connector._acquired
        assert len(self.house.handler.under_way) == 0
        return outcome


@pytest.fixture
async def front(upstream: FakeUpstream) -> AsyncIterator[Front]:
    """A house with one native provider that serves one request at a time."""
    provider = NativeProvider("first", upstream.url, max_concurrent=1)
    async with house({"first": provider}) as running:
        yield Front(running, provider)


async def turns() -> None:
    """Let whatever can go on do so."""
    for _ in range(100):
        await asyncio.sleep(0)


def check_left(outcome: Outcome) -> None:
    """The client left before its answer was whole."""
    assert (outcome.status, outcome.http_status) == ("disconnected", 499)
    assert outcome.error is None
    assert [attempt.error for attempt in outcome.attempts] == [None]


async def check_serves(front: Front, upstream: FakeUpstream) -> None:
    """The only slot is free again."""
    upstream.play(Stream(*HELLO))
    status, _, body = await front.house.post({**ASKED, "stream": True})
    assert status == 200
    assert b"response.completed" in body
    assert (await front.outcome()).status == "completed"


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
async def test_a_client_that_leaves_before_the_upstream_answers(
    front: Front, upstream: FakeUpstream, stream: bool
) -> None:
    upstream.play(STALL)
    async with raw_client(front.url) as client:
        await client.post({**ASKED, "stream": stream})
        await upstream.asked.get()
        client.leave()
        assert await upstream.left.get()
        check_left(await front.outcome())
    await check_serves(front, upstream)


async def test_a_client_that_leaves_a_json_answer_in_the_middle(front: Front, upstream: FakeUpstream) -> None:
    upstream.play(Stream(b'{"id":', STALL))
    async with raw_client(front.url) as client:
        await client.post(ASKED)
        await upstream.asked.get()
        client.leave()
        assert await upstream.left.get()
        check_left(await front.outcome())
    await check_serves(front, upstream)


@pytest.mark.parametrize("count", [0, 2, 3, 5, len(HELLO) - 1])
async def test_a_client_that_leaves_a_stream_anywhere(
    front: Front, upstream: FakeUpstream, count: int
) -> None:
    upstream.play(Stream(*HELLO[:count], STALL))
    async with raw_client(front.url) as client:
        await client.post({**ASKED, "stream": True})
        await client.read_until(HELLO[count - 1] if count > 2 else b"event: response.in_progress")
        client.leave()
        assert await upstream.left.get()
        check_left(await front.outcome())
    await check_serves(front, upstream)


async def test_a_client_that_leaves_the_queue_is_never_asked_for(
    front: Front, upstream: FakeUpstream
) -> None:
    upstream.play(Stream(*HELLO[:3], PAUSE, *HELLO[3:]))
    async with raw_client(front.url) as first, raw_client(front.url) as second:
        await first.post({**ASKED, "stream": True})
        await upstream.asked.get()
        await second.post({**ASKED, "stream": True})
        await turns()
        assert len(front.house.handler.under_way) == 2
        second.leave()
        outcome = await front.house.heard.outcomes.get()
        check_left(outcome)
        upstream.go_on()
        await first.read_until(b"[DONE]")
        assert (await front.outcome()).status == "completed"
    assert len(upstream.requests) == 1
    await check_serves(front, upstream)


async def test_a_client_that_leaves_with_the_terminal_event_has_had_its_answer(
    front: Front, upstream: FakeUpstream
) -> None:
    upstream.play(Stream(*HELLO, STALL))
    for _ in range(20):
        async with raw_client(front.url) as client:
            await client.post({**ASKED, "stream": True})
            await client.read_until(b"event: response.completed")
            client.leave()
            outcome = await front.outcome()
        assert (outcome.status, outcome.http_status) == ("completed", 200)
        assert outcome.usage == native.response(status="completed")["usage"]


async def test_a_hundred_clients_that_leave_leave_nothing_behind(upstream: FakeUpstream) -> None:
    provider = NativeProvider("first", upstream.url)
    async with house({"first": provider}) as running:
        front = Front(running, provider)
        upstream.play(Stream(*HELLO[:4], STALL))
        before = len(asyncio.all_tasks())
        for round in range(10):
            async with AsyncExitStack() as visits:
                clients = [await visits.enter_async_context(raw_client(front.url)) for _ in range(10)]
                for client in clients:
                    await client.post({**ASKED, "stream": round % 2 == 0})
                for client in clients:
                    await upstream.asked.get()
                    if round % 2 == 0:
                        await client.read_until(HELLO[3])
        for _ in range(100):
            await upstream.left.get()
        outcomes = [await running.heard.outcomes.get() for _ in range(100)]
        assert {outcome.status for outcome in outcomes} == {"disconnected"}
        connector: Any = provider.http._session.connector
        assert not connector._acquired
        assert not any(connector._conns.values())
        assert len(running.handler.under_way) == 0
        await turns()  # the connections' own tasks end
        assert len(asyncio.all_tasks()) <= before
        await check_serves(front, upstream)


async def test_a_client_that_stops_reading_holds_the_upstream_back_and_is_dropped(
    upstream: FakeUpstream,
) -> None:
    delta = {**native.events(native.message_events(["a"]))[4], "delta": "x" * 100_000}
    upstream.play(Stream(*HELLO[:4], *[native.frame(delta)] * 1000, STALL))
    provider = NativeProvider("first", upstream.url)
    async with (
        house({"first": provider}, send_timeout=0.2) as running,
        raw_client(running.url, deaf=True) as client,
    ):
        await client.post({**ASKED, "stream": True})
        await upstream.left.get()
        outcome = await Front(running, provider).outcome()
        assert outcome.status == "disconnected"
        # All that was taken for it fits into the buffers on the way, a few megabytes of a hundred.
        assert upstream.sent < 20_000_000


async def test_a_client_that_stops_reading_a_json_answer_is_dropped(upstream: FakeUpstream) -> None:
    large = native.response(status="completed", output=[native.message("x" * 20_000_000)])
    upstream.play(Reply(large))
    provider = NativeProvider("first", upstream.url)
    async with (
        house({"first": provider}, send_timeout=0.2) as running,
        raw_client(running.url, deaf=True) as client,
    ):
        await client.post(ASKED)
        await Front(running, provider).outcome()
        client.listen()
        with contextlib.suppress(ConnectionError):
            await client.read_all()
        assert len(client.body) < 10_000_000


async def test_a_large_json_answer_comes_whole(upstream: FakeUpstream) -> None:
    large = native.response(status="completed", output=[native.message("x" * 5_000_000)])
    upstream.play(Reply(large))
    async with house({"first": NativeProvider("first", upstream.url)}) as running:
        status, headers, body = await running.post(ASKED)
    assert (status, json.loads(body)) == (200, large)
    assert headers["Content-Type"] == "application/json"
    assert headers["Content-Length"] == str(len(body))


async def test_a_client_that_reads_slowly_gets_everything(upstream: FakeUpstream) -> None:
    delta = {**native.events(native.message_events(["a"]))[4], "delta": "x" * 100_000}
    upstream.play(Stream(*HELLO[:4], *[native.frame(delta)] * 100, TURN, *HELLO[5:]))
    provider = NativeProvider("first", upstream.url)
    async with house({"first": provider}) as running, raw_client(running.url) as client:
        await client.post({**ASKED, "stream": True})
        await client.read_until(b"[DONE]")
        assert client.body.count(b"event: response.output_text.delta") == 101
        assert (await running.heard.outcomes.get()).status == "completed"
