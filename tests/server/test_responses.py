"""The Responses route over a native upstream, on real sockets."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from tests.support import native
from tests.support.fake_upstream import FakeUpstream, Reply, Stream
from tests.support.house import House, NativeProvider, house


@pytest.fixture
async def front(upstream: FakeUpstream) -> AsyncIterator[House]:
    """A house with one native provider, ``first``."""
    async with house({"first": NativeProvider("first", upstream.url)}) as running:
        yield running


async def test_a_native_stream_passes_with_the_house_preamble(front: House, upstream: FakeUpstream) -> None:
    upstream.play(Stream(*native.text("Hel", "lo")))
    events = await front.stream()
    sent = native.events(native.message_events(["Hel", "lo"]))
    assert [event["type"] for event in events] == [event["type"] for event in sent]
    assert events[2:-1] == sent[2:-1]
    created, done = events[0]["response"], events[-1]["response"]
    assert created["id"] == done["id"] != "resp_upstream"
    assert created["model"] == "first/gpt-test"
    assert done["output"][0]["content"][0]["text"] == "Hello"


async def test_a_native_json_answer_passes_as_bytes(front: House, upstream: FakeUpstream) -> None:
    answer = native.response(status="completed", output=[native.message("Hello")])
    upstream.play(Reply(answer))
    status, headers, body = await front.post()
    assert status == 200
    assert body == json.dumps(answer).encode()
    assert headers["x-maestro-target"] == "first/gpt-test"
    assert headers["x-maestro-attempts"] == "1"
    assert upstream.requests[0].body == {"model": "gpt-test", "input": "Hi"}
