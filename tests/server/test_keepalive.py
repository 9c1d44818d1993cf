"""While an upstream is silent: numbered keepalive events within the answer, none outside of it."""

from __future__ import annotations

import json

from tests.support import native
from tests.support.core import MODEL, compact
from tests.support.fake_upstream import PAUSE, STALL, FakeUpstream, Stream, refusal
from tests.support.house import NativeProvider, house
from tests.support.oracle import check_stream
from tests.support.raw_client import RawClient, raw_client
from tests.support.raw_stream import events_of

HELLO = native.events(native.message_events(["Hel", "lo"]))
FRAMES = native.frames(HELLO)
ASKED = {"model": MODEL, "input": "Hi", "stream": True}
ROUTES = {MODEL: (["first/gpt-test"], [])}
KEEPALIVE = b"event: keepalive\ndata: "


def events(client: RawClient) -> list[tuple[str, bytes]]:
    """What came whole, by type and payload."""
    body = client.body.partition(b"\r\n\r\n")[2]
    # the body is in chunked framing: a line of hex before each piece
    plain = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        length = int(size, 16)
        plain, body = plain + body[:length], body[length + 2 :]
    return [(event.type, event.payload) for event in events_of(plain)]


async def test_silence_is_bridged_and_the_numbers_stay_unbroken(upstream: FakeUpstream) -> None:
    upstream.play(Stream(*FRAMES[:4], PAUSE, *FRAMES[4:]))
    providers = {"first": NativeProvider("first", upstream.url)}
    async with house(providers, ROUTES, keepalive=0.01) as running, raw_client(running.url) as client:
        await client.post(ASKED)
        while client.body.count(KEEPALIVE) < 3:
            await client.read_until(
                KEEPALIVE + b'{"type":"keepalive","sequence_number":%d}' % (4 + client.body.count(KEEPALIVE))
            )
        upstream.go_on()
        await client.read_until(b"[DONE]\n\n\r\n0\r\n\r\n")
    sent = events(client)
    count = sum(type == "keepalive" for type, _ in sent)
    assert count >= 3
    assert [type for type, _ in sent] == [
        *(event["type"] for event in HELLO[:4]),
        *["keepalive"] * count,
        *(event["type"] for event in HELLO[4:]),
    ]
    for (_, payload), event in zip(sent[4 + count : -1], HELLO[4:-1], strict=True):
        assert payload == compact({**event, "sequence_number": event["sequence_number"] + count})
    for number, (_, payload) in enumerate(sent):
        assert json.loads(payload)["sequence_number"] == number


async def test_silence_right_after_acceptance_is_bridged(upstream: FakeUpstream) -> None:
    upstream.play(Stream(PAUSE, *FRAMES))
    providers = {"first": NativeProvider("first", upstream.url)}
    async with house(providers, ROUTES, keepalive=0.01) as running, raw_client(running.url) as client:
        await client.post(ASKED)
        await client.read_until(KEEPALIVE + b'{"type":"keepalive","sequence_number":2}\n\n')
        upstream.go_on()
        await client.read_until(b"[DONE]")
        assert client.body.index(b"response.in_progress") < client.body.index(KEEPALIVE)


async def test_silence_between_two_attempts_is_bridged(upstream: FakeUpstream) -> None:
    upstream.play(Stream(FRAMES[0]), Stream(PAUSE, *FRAMES))
    providers = {
        "first": NativeProvider("first", upstream.url),
        "second": NativeProvider("second", upstream.url),
    }
    routes = {MODEL: (["first/gpt-test", "second/gpt-test"], [])}
    async with house(providers, routes, keepalive=0.01) as running, raw_client(running.url) as client:
        await client.post(ASKED)
        await client.read_until(KEEPALIVE)
        upstream.go_on()
        await client.read_until(b"[DONE]")
        before, _, after = client.body.partition(b": maestro target=second/gpt-test attempts=2\n\n")
        assert KEEPALIVE in before
        assert b"event: response.output_item.added" in after


async def test_before_acceptance_nothing_is_sent_at_all(upstream: FakeUpstream) -> None:
    upstream.play(PAUSE, refusal(429))
    providers = {"first": NativeProvider("first", upstream.url, first_byte_timeout=0.1)}
    async with house(providers, ROUTES, keepalive=0.001) as running, raw_client(running.url) as client:
        await client.post(ASKED)
        await client.read_until(b"\r\n\r\n")
        assert client.body.startswith(b"HTTP/1.1 502 ")
        assert b"keepalive" not in client.body.partition(b"\r\n\r\n")[2]


async def test_a_stream_that_flows_has_none(upstream: FakeUpstream) -> None:
    upstream.play(Stream(*FRAMES))
    providers = {"first": NativeProvider("first", upstream.url)}
    async with house(providers, ROUTES, keepalive=30) as running:
        _, _, body = await running.post(ASKED)
    assert KEEPALIVE not in body
    check_stream(events_of(body))


async def test_after_the_terminal_event_none_comes_and_the_body_ends(upstream: FakeUpstream) -> None:
    upstream.play(Stream(*FRAMES, STALL))
    providers = {"first": NativeProvider("first", upstream.url)}
    async with house(providers, ROUTES, keepalive=0.001) as running:
        for _ in range(20):
            _, _, body = await running.post(ASKED)
            assert KEEPALIVE not in body.partition(b"event: response.completed")[2]
            assert body.endswith(b"data: [DONE]\n\n")
            check_stream(events_of(body))
