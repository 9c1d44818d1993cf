"""Restarting and ending the installed service while clients ask it: nobody is refused, nothing is broken."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from tests.support import native
from tests.support.fake_upstream import PAUSE, FakeUpstream, Reply, Stream, fake_upstream
from tests.support.raw_stream import events_of
from tests.support.systemd.box import Box
from tests.support.systemd.installed import UNITS, Service, service

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(1800)]

REQUESTS = 200
RATE = 25.0  # per second
RESTART_AFTER = 30  # requests
DRAIN = 5.0  # seconds
WHOLE = Reply(native.response("resp_1", "completed", [native.message("Hello")]))
CONFIG = """
drain = "{drain}"
[providers.quick]
kind = "openai"
base_url = "{quick}"
api_key = {{ credential = "up" }}
[providers.slow]
kind = "openai"
base_url = "{slow}"
api_key = {{ credential = "up" }}
"""


@asynccontextmanager
async def running(host: Box, quick: str, slow: str, drain: str, *lines: str) -> AsyncIterator[Service]:
    """The started service; `lines` are of a drop-in."""
    stack = service(host, CONFIG.format(quick=quick, slow=slow, drain=drain), {"up": "sk-up"})

    def begin() -> Service:
        made = stack.__enter__()
        made.drop_in(*lines)
        assert made.start().returncode == 0, made.status()
        return made

    one = await asyncio.to_thread(begin)
    try:
        yield one
    finally:
        await asyncio.to_thread(stack.__exit__, None, None, None)


async def quick(url: str) -> float:
    """Ask on a connection of its own; the seconds that it took."""
    began = time.monotonic()
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/responses", json={"model": "quick/gpt-test", "input": "Hi"}) as answer,
    ):
        assert answer.status == 200, await answer.text()
        assert (await answer.json())["output"][0]["content"][0]["text"] == "Hello"
    return time.monotonic() - began


async def stream(url: str, begun: asyncio.Event) -> list[dict[str, Any]]:
    """The events of a streamed answer, to its end."""
    asked = {"model": "slow/gpt-test", "input": "Hi", "stream": True}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/responses", json=asked) as answer,
    ):
        body = b""
        async for piece in answer.content.iter_any():
            body += piece
            if b"some" in body:
                begun.set()
    return [json.loads(event.payload) for event in events_of(body)]


def halves() -> tuple[list[bytes], list[bytes]]:
    """The frames of an answer up to its first word, and the others."""
    frames = native.text("some", " more")
    at = next(number for number, frame in enumerate(frames) if b"some" in frame) + 1
    return frames[:at], frames[at:]


@pytest.mark.parametrize("ends", [True, False], ids=["a stream that ends", "a stream that goes on"])
async def test_a_restart_refuses_and_breaks_nothing(
    host: Box, upstream: FakeUpstream, capsys: pytest.CaptureFixture[str], *, ends: bool
) -> None:
    upstream.play(WHOLE)
    async with fake_upstream() as slow, running(host, upstream.url, slow.url, f"{DRAIN:g}s") as one:
        first, rest = halves()
        slow.play(Stream(*first, PAUSE, *rest))
        begun = asyncio.Event()
        streamed = asyncio.create_task(stream(one.url, begun))
        await begun.wait()
        restarted: asyncio.Task[Any] | None = None
        asked = []
        for number in range(REQUESTS):
            if number == RESTART_AFTER:
                restarted = asyncio.create_task(asyncio.to_thread(host.did, "systemctl", "restart", UNITS[1]))
            if number == 2 * RESTART_AFTER and ends:
                slow.go_on()
            asked.append(asyncio.create_task(quick(one.url)))
            await asyncio.sleep(1 / RATE)
        waits = await asyncio.gather(*asked)
        events = await streamed
        assert restarted is not None
        await restarted
        shown = await asyncio.to_thread(one.shown, "NRestarts", "Result", "ActiveState")
    assert shown == {"NRestarts": "0", "Result": "success", "ActiveState": "active"}
    assert len(waits) == len(upstream.requests) == REQUESTS
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    last = events[-1]["response"]
    assert last["status"] == ("completed" if ends else "failed")
    assert last["output"][0]["content"][0]["text"] == ("some more" if ends else "some")
    with capsys.disabled():
        told = f"the longest wait was {max(waits):.2f} s (drain {DRAIN:g} s)"
        sys.stdout.write(f"\n{REQUESTS} requests across a restart: {told}\n")


async def stopping_in_a_stream(
    host: Box, one: Service
) -> tuple[asyncio.Task[list[dict[str, Any]]], asyncio.Task[Any]]:
    """Stop the service while it streams, and go on once it waits: the stream's task, and that of the stop."""
    begun = asyncio.Event()
    streamed = asyncio.create_task(stream(one.url, begun))
    await begun.wait()
    stopped = asyncio.create_task(asyncio.to_thread(host.run, "systemctl", "stop", *UNITS))
    await asyncio.to_thread(
        lambda: host.until(lambda: "1 answer may go on for up to" in one.status(), "it stops")
    )
    return streamed, stopped


async def test_more_time_is_asked_for_than_the_unit_gives(host: Box, upstream: FakeUpstream) -> None:
    first, rest = halves()
    upstream.play(Stream(*first, PAUSE, *rest))
    limit = "TimeoutStopSec=5"
    async with running(host, upstream.url, upstream.url, "60s", limit) as one:
        streamed, stopped = await stopping_in_a_stream(host, one)
        await asyncio.sleep(7)  # longer than the unit gives
        upstream.go_on()
        events = await streamed
        await stopped
        shown = await asyncio.to_thread(one.shown, "Result", "ExecMainStatus", "ActiveState")
    assert events[-1]["response"]["status"] == "completed"
    assert shown == {"Result": "success", "ExecMainStatus": "0", "ActiveState": "inactive"}


async def test_a_second_signal_ends_at_once_and_properly(host: Box, upstream: FakeUpstream) -> None:
    first, rest = halves()
    upstream.play(Stream(*first, PAUSE, *rest))
    async with running(host, upstream.url, upstream.url, "1h") as one:
        streamed, stopped = await stopping_in_a_stream(host, one)
        await asyncio.to_thread(host.did, "systemctl", "kill", "--kill-who=main", "-s", "TERM", UNITS[1])
        events = await streamed
        await stopped
        shown = await asyncio.to_thread(one.shown, "Result", "ExecMainStatus")
    assert events[-1]["response"]["status"] == "failed"
    assert shown == {"Result": "success", "ExecMainStatus": "0"}
