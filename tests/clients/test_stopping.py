"""What becomes of answers under way when a user stops the daemon, as its clients see it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.command import Daemon, Place
from tests.support.fake_upstream import PAUSE, STALL, FakeUpstream, Stream
from tests.support.raw_stream import events_of
from tests.support.upstream_kinds import Kind, both

CONFIG = """
[server]
port = 0
drain = "{drain}"

[providers.native]
kind = "openai"
base_url = "{url}"
api_key = "sk-upstream"

[providers.home]
kind = "local"
base_url = "{url}"
"""
DELTA = b"response.output_text.delta"


@dataclass
class Running:
    """A daemon process, and a session to ask it."""

    daemon: Daemon
    url: str
    session: aiohttp.ClientSession

    @asynccontextmanager
    async def answering(self, kind: Kind) -> AsyncIterator[tuple[bytes, aiohttp.StreamReader]]:
        """A stream that has said something: its body so far, and where the rest comes."""
        asked = {"model": kind.model, "input": "Hi", "stream": True}
        async with self.session.post(f"{self.url}/responses", json=asked) as answer:
            body = b""
            while DELTA not in body:
                body += await answer.content.readany()
            yield body, answer.content

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send the signal."""
        self.daemon.process.send_signal(number)

    async def ended(self) -> int:
        """The exit status, once it ended; no traceback may be in its log."""
        status = await asyncio.to_thread(self.daemon.process.wait, 20)
        log = await asyncio.to_thread(lambda: self.daemon.log)
        assert "Traceback" not in log, log
        return status


@asynccontextmanager
async def running(folder: Path, upstream: FakeUpstream, *, drain: str) -> AsyncIterator[Running]:
    processes = contextlib.ExitStack()

    def begin() -> tuple[Daemon, str]:
        place = Place(folder)
        place.write(CONFIG.format(url=upstream.url, drain=drain))
        daemon = processes.enter_context(place.serve())
        return daemon, daemon.lines_until("http://")[-1]

    try:
        daemon, url = await asyncio.to_thread(begin)
        async with aiohttp.ClientSession() as session:
            yield Running(daemon, url, session)
    finally:
        await asyncio.to_thread(processes.close)


def halves(kind: Kind) -> tuple[list[bytes], list[bytes]]:
    """The frames of an answer up to its first word, and the others."""
    frames = kind.text("some", " more")
    at = next(number for number, frame in enumerate(frames) if b"some" in frame) + 1
    return frames[:at], frames[at:]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@both
async def test_a_running_stream_may_end_by_itself(
    tmp_path: Path, upstream: FakeUpstream, kind: Kind, number: signal.Signals
) -> None:
    first, rest = halves(kind)
    upstream.play(Stream(*first, PAUSE, *rest))
    async with running(tmp_path, upstream, drain="60s") as one:
        async with one.answering(kind) as (body, more):
            one.stop(number)
            await until_refused(one.url)
            upstream.go_on()
            body += await more.read()
        assert await one.ended() == 0
    response = ending(body)
    assert response["status"] == "completed"
    assert response["output"][0]["content"][0]["text"] == "some more"


@both
async def test_after_the_drain_a_stream_ends_as_failed_and_a_json_request_by_503(
    tmp_path: Path, upstream: FakeUpstream, kind: Kind
) -> None:
    first, _ = halves(kind)
    upstream.play(Stream(*first, STALL), STALL)
    async with running(tmp_path, upstream, drain="100ms") as one:
        async with one.answering(kind) as (body, more):
            asked = {"model": kind.model, "input": "Hi"}
            whole = asyncio.create_task(post(one, asked))
            for _ in range(2):
                await upstream.asked.get()
            one.stop()
            body += await more.read()
            status, error = await whole
        assert await one.ended() == 0
    assert (status, error["code"]) == (503, "server_error")
    response = ending(body)
    assert (response["status"], response["error"]["code"]) == ("failed", "server_error")
    assert response["output"][0]["content"][0]["text"] == "some"
    assert response["output"][0]["status"] == "incomplete"
    for _ in range(2):
        assert await upstream.left.get() == kind.path


@both
async def test_a_second_ctrl_c_ends_at_once(tmp_path: Path, upstream: FakeUpstream, kind: Kind) -> None:
    first, _ = halves(kind)
    upstream.play(Stream(*first, STALL))
    async with running(tmp_path, upstream, drain="1h") as one:
        async with one.answering(kind) as (body, more):
            one.stop(signal.SIGINT)
            await until_refused(one.url)
            one.stop(signal.SIGINT)
            body += await more.read()
        assert await one.ended() == 0
    assert ending(body)["status"] == "failed"


def ending(body: bytes) -> dict[str, Any]:
    """The Response of a whole stream's last event, the only terminal one."""
    events = [json.loads(event.payload) for event in events_of(body)]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    terminal = [event for event in events[2:] if "response" in event]
    assert terminal == events[-1:]
    response: dict[str, Any] = terminal[0]["response"]
    return response


async def post(one: Running, asked: dict[str, str]) -> tuple[int, dict[str, str]]:
    """A JSON request; its status and error."""
    async with one.session.post(f"{one.url}/responses", json=asked) as answer:
        return answer.status, (await answer.json())["error"]


async def until_refused(url: str) -> None:
    """Return once the daemon takes no more connections; the test's own timeout bounds it."""
    port = int(url.removesuffix("/v1").rpartition(":")[2])
    with contextlib.suppress(ConnectionError):
        while True:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
