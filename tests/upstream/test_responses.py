"""A native upstream over real sockets: what it says passes as it is, whatever the framing."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
from structlog.testing import capture_logs

from maestro_daemon.errors import MaestroError, UpstreamBroken, UpstreamRefused, UpstreamUnreachable
from maestro_daemon.events import Accepted, ResponseEvent
from maestro_daemon.plugin import HttpUpstream, ResponsesUpstream
from maestro_daemon.protocol import sse
from maestro_daemon.protocol.sealed_reasoning import seal
from maestro_daemon.request import ResponseRequest
from tests.support import native
from tests.support.core import compact, passed, wanted
from tests.support.fake_upstream import CUT, STALL, TURN, FakeUpstream, Raw, Reply, Stream
from tests.support.native import Event
from tests.support.oracle import check_stream
from tests.support.raw_upstream import CLOSE, READ, STREAM_HEAD, Step, chunks, raw_upstream
from tests.support.raw_upstream import STALL as SILENCE

HELLO = native.events(native.message_events(["Hé", "l😀o"]))
TYPES = [event["type"] for event in HELLO]


@asynccontextmanager
async def native_at(url: str, **options: Any) -> AsyncIterator[ResponsesUpstream]:
    http = HttpUpstream(url, provider="first", **options)
    try:
        yield ResponsesUpstream(http)
    finally:
        await http.aclose()


async def stream(upstream: ResponsesUpstream, request: ResponseRequest | None = None) -> list[ResponseEvent]:
    """The events behind `Accepted`."""
    async with aclosing(upstream.stream(request or wanted())) as events:
        assert isinstance(await anext(events), Accepted)
        return [single async for event in events for single in event.each()]


async def streamed(upstream: FakeUpstream, *steps: Any) -> list[ResponseEvent]:
    upstream.play(Stream(*steps))
    async with native_at(upstream.url) as asked:
        return await stream(asked)


async def test_events_come_with_their_payloads_byte_for_byte(upstream: FakeUpstream) -> None:
    events = await streamed(upstream, *native.frames(HELLO))
    assert events == [ResponseEvent(event["type"], compact(event)) for event in HELLO]


async def test_acceptance_bears_the_upstreams_headers(upstream: FakeUpstream) -> None:
    upstream.play(Stream(*native.text("Hi"), headers={"X-RateLimit-Remaining": "3"}))
    async with native_at(upstream.url) as asked, aclosing(asked.stream(wanted())) as events:
        accepted = await anext(events)
    assert isinstance(accepted, Accepted)
    assert accepted.headers["x-ratelimit-remaining"] == "3"


async def test_acceptance_does_not_wait_for_the_first_event(upstream: FakeUpstream) -> None:
    upstream.play(Stream(STALL))
    async with native_at(upstream.url) as asked, aclosing(asked.stream(wanted())) as events:
        assert isinstance(await anext(events), Accepted)


@pytest.mark.parametrize("size", [1, 3, 7, 64])
async def test_any_framing_of_the_bytes_gives_the_same_events(size: int) -> None:
    body = b"".join(native.frames(HELLO))
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    async with raw_upstream([READ, STREAM_HEAD, chunks(pieces), SILENCE]) as raw, native_at(raw.url) as asked:
        assert [event.payload for event in await stream(asked)] == [compact(event) for event in HELLO]


async def test_a_character_that_is_split_between_two_reads_is_whole(upstream: FakeUpstream) -> None:
    payloads = [json.dumps(event, ensure_ascii=False).encode() for event in HELLO]
    body = b"".join(sse.frame(type, payload) for type, payload in zip(TYPES, payloads, strict=True))
    cut = body.index("😀".encode()) + 2
    events = await streamed(upstream, body[:cut], TURN, body[cut:-1], TURN, body[-1:])
    assert [event.payload for event in events] == payloads


@pytest.mark.parametrize("end", ["\r\n", "\r"])
async def test_other_line_ends_give_the_same_events(upstream: FakeUpstream, end: str) -> None:
    body = b"".join(native.frames(HELLO)).replace(b"\n", end.encode())
    assert [event.payload for event in await streamed(upstream, body)] == [compact(event) for event in HELLO]


async def test_records_without_names_are_known_by_their_type(upstream: FakeUpstream) -> None:
    records = [b"data: " + compact(event) + b"\n\n" for event in HELLO]
    assert [event.type for event in await streamed(upstream, *records)] == TYPES


async def test_records_that_are_all_named_alike_are_known_by_their_type(upstream: FakeUpstream) -> None:
    records = [b"event: message\ndata: " + compact(event) + b"\n\n" for event in HELLO]
    assert [event.type for event in await streamed(upstream, *records)] == TYPES


async def test_events_without_their_places_get_them(upstream: FakeUpstream) -> None:
    item = {**native.message("Hello"), "status": "in_progress", "content": []}
    place = {"item_id": item["id"]}
    events = [
        {"type": "response.output_item.added", "item": item},
        {"type": "response.content_part.added", **place, "part": {"type": "output_text", "text": ""}},
        *({"type": "response.output_text.delta", **place, "delta": text} for text in ("He", "l", "lo")),
        HELLO[-1] | {"response": ANSWER | {"output": [native.message("Hello")]}},
    ]
    response = check_stream(passed(await streamed(upstream, *native.frames(events))))
    assert response["output"] == [native.message("Hello")]


@pytest.mark.parametrize(
    "noise",
    [
        b": ping\n\n",
        b"event: ping\n\n",
        b"event: ping\ndata:\n\n",
        b"event: ping\ndata: pong\n\n",
        b"event: ping\ndata: {}\n\n",
        b"data: {}\n\n",
        b"data: 5\n\n",
        b"data: null\n\n",
        b"\n\n\n",
        b"id: 7\n\n",
        b"retry: 5\n\n",
    ],
)
async def test_what_is_no_event_is_passed_over(upstream: FakeUpstream, noise: bytes) -> None:
    frames = [noise]
    for frame in native.frames(HELLO):
        frames += [frame, noise]
    assert [event.type for event in await streamed(upstream, *frames)] == TYPES


async def test_a_last_record_without_its_empty_line_counts(upstream: FakeUpstream) -> None:
    body = b"".join(native.frames(HELLO)).rstrip(b"\n")
    assert [event.type for event in await streamed(upstream, body)] == TYPES


@pytest.mark.parametrize("after", [STALL, CUT, b"event: response.x\ndata: {}\n\n"])
async def test_nothing_behind_the_terminal_event_is_waited_for(upstream: FakeUpstream, after: Any) -> None:
    assert [event.type for event in await streamed(upstream, *native.frames(HELLO), after)] == TYPES


async def test_done_ends_the_stream_even_if_the_connection_stays(upstream: FakeUpstream) -> None:
    events = await streamed(upstream, *native.frames(HELLO[:4]), sse.DONE, STALL)
    assert [event.type for event in events] == TYPES[:4]
    assert await upstream.left.get()


async def test_an_end_without_a_terminal_event_just_ends(upstream: FakeUpstream) -> None:
    assert [event.type for event in await streamed(upstream, *native.frames(HELLO[:4]))] == TYPES[:4]


async def test_a_bare_error_object_is_an_error_event(upstream: FakeUpstream) -> None:
    events = await streamed(upstream, b'data: {"error": {"message": "No."}}\n\n')
    assert events == [ResponseEvent("error", b'{"error": {"message": "No."}}')]


FAULTS: list[tuple[str, Sequence[Step], type[MaestroError]]] = [
    (
        "cut after some events",
        [READ, STREAM_HEAD, chunks(native.frames(HELLO[:4]), end=False), CLOSE],
        UpstreamBroken,
    ),
    (
        "cut within a frame",
        [READ, STREAM_HEAD, chunks([native.frame(HELLO[0])[:50]], end=False), CLOSE],
        UpstreamBroken,
    ),
    (
        "garbage instead of chunks",
        [READ, STREAM_HEAD, chunks([b"x"], end=False), b"\xff\xff\r\n", SILENCE],
        UpstreamBroken,
    ),
    (
        "nameless garbage",
        [READ, STREAM_HEAD, chunks([b"data: \xff{\n\n"], end=False), SILENCE],
        UpstreamBroken,
    ),
]


@pytest.mark.parametrize(
    ("script", "kind"), [fault[1:] for fault in FAULTS], ids=[fault[0] for fault in FAULTS]
)
async def test_a_broken_stream_raises_in_the_houses_words(
    script: Sequence[Step], kind: type[MaestroError]
) -> None:
    async with raw_upstream(script) as raw, native_at(raw.url) as asked:
        with pytest.raises(kind):
            await stream(asked)


async def test_a_record_beyond_the_limit_is_refused(
    upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = sse.Decoder
    monkeypatch.setattr(sse, "Decoder", lambda: whole(limit=1000))
    with pytest.raises(UpstreamBroken, match="first: one record of the stream is larger than 1000 bytes"):
        await streamed(upstream, b"data: " + b"x" * 2000, STALL)
    assert await upstream.left.get()


async def test_silence_within_the_stream_has_an_end(upstream: FakeUpstream) -> None:
    upstream.play(Stream(*native.frames(HELLO[:3]), STALL))
    async with native_at(upstream.url, idle_timeout=0.05) as asked:
        with pytest.raises(UpstreamUnreachable, match=r"silent for 0\.05 s"):
            await stream(asked)
    assert await upstream.left.get()


async def test_leaving_closes_the_connection(upstream: FakeUpstream) -> None:
    upstream.play(Stream(*native.frames(HELLO[:3]), STALL))
    async with native_at(upstream.url) as asked:
        async with aclosing(asked.stream(wanted())) as events:
            assert [(await anext(events)).type for _ in range(4)] == ["accepted", *TYPES[:3]]
        assert await upstream.left.get()


ANSWER = native.response(status="completed", output=[native.message("Hello"), native.call("run", "{}")])


async def test_a_json_answer_to_a_request_for_a_stream_is_told_as_one(upstream: FakeUpstream) -> None:
    for answer in (
        ANSWER,
        native.response(status="incomplete", incomplete_details={"reason": "content_filter"}),
    ):
        upstream.play(Reply(answer))
        async with native_at(upstream.url) as asked:
            response = check_stream(passed(await stream(asked)))
        assert response["output"] == answer["output"]
        assert response["status"] == answer["status"]


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (Reply({"error": {"message": "Slow.", "code": "rate_limit_exceeded"}}), UpstreamRefused, "Slow."),
        (Reply({"message": "hi"}), UpstreamBroken, "with something else"),
        (Reply([1]), UpstreamBroken, "with something else"),
        (Raw(b"{", "application/json"), UpstreamBroken, "something else than JSON"),
        (Raw(b"<html>", "text/html"), UpstreamBroken, "a page of HTML"),
    ],
)
async def test_what_is_no_stream_and_no_answer_is_refused_before_acceptance(
    upstream: FakeUpstream, answer: Any, kind: type[MaestroError], said: str
) -> None:
    upstream.play(answer)
    async with native_at(upstream.url) as asked, aclosing(asked.stream(wanted())) as events:
        with pytest.raises(kind, match=said):
            await anext(events)


async def test_the_content_type_of_a_stream_is_not_demanded(upstream: FakeUpstream) -> None:
    upstream.play(Raw(b"".join(native.frames(HELLO)), "text/plain"))
    async with native_at(upstream.url) as asked:
        assert [event.type for event in await stream(asked)] == TYPES


BODY: Event = {
    "model": "gpt-test",
    "input": [
        {"role": "user", "content": "a"},
        {"type": "x_unknown_item", "deep": [None, {"a": None, "b": [[]]}]},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA", "content": None},
    ],
    "tools": [{"type": "x_unknown_tool", "limit": 2**70}, {"type": "function", "name": "f", "strict": None}],
    "x_unknown_field": {"big": -(2**63) - 1, "real": 1e-7, "empty": {}, "text": "\u2028\u0000é😀"},
    "temperature": None,
    "metadata": {},
    "stream": True,
}


@pytest.mark.parametrize("streaming", [True, False])
async def test_the_upstream_gets_the_body_equal_as_json(upstream: FakeUpstream, streaming: bool) -> None:
    upstream.play(Stream(*native.text("Hi")) if streaming else Reply(ANSWER))
    request = ResponseRequest(body=BODY, model="gpt-test", asked_model="r", stream=streaming)
    async with native_at(upstream.url) as asked:
        await (stream(asked, request) if streaming else asked.complete(request))
    assert upstream.requests[0].body == BODY
    assert upstream.requests[0].path == "/v1/responses"


@pytest.mark.parametrize("streaming", [True, False])
async def test_reasoning_of_a_translated_upstream_stays_here(upstream: FakeUpstream, streaming: bool) -> None:
    upstream.play(Stream(*native.text("Hi")) if streaming else Reply(ANSWER))
    ours = {
        "type": "reasoning",
        "id": "rs_2",
        "summary": [],
        "encrypted_content": seal("Hm.", provider="home"),
    }
    body = {**BODY, "input": [*BODY["input"], ours]}
    request = ResponseRequest(body=body, model="gpt-test", asked_model="r", text=json.dumps(body).encode())
    with capture_logs() as lines:
        async with native_at(upstream.url) as asked:
            await (stream(asked, request) if streaming else asked.complete(request))
    assert upstream.requests[0].body == BODY
    (line,) = [line for line in lines if line["event"] == "items sealed here left out"]
    assert (line["provider"], line["items"]) == ("first", ["input[3]: reasoning"])


async def test_a_json_answer_is_given_as_the_bytes_that_came(upstream: FakeUpstream) -> None:
    raw = json.dumps(ANSWER, indent=3).encode()
    upstream.play(Raw(raw, "application/json"))
    async with native_at(upstream.url) as asked:
        reply = await asked.complete(wanted())
    assert reply.body == raw
    assert reply.headers["content-type"].startswith("application/json")


async def test_a_key_that_the_upstream_repeats_in_its_headers_goes_no_further(upstream: FakeUpstream) -> None:
    echo = {"x-ratelimit-key": "Bearer hidden-key-1"}
    asked_with = {"headers": {"Authorization": "Bearer hidden-key-1"}}
    async with native_at(upstream.url, **asked_with) as asked:
        upstream.play(Reply(ANSWER, headers=echo))
        heard = [(await asked.complete(wanted())).headers]
        for answer in (Reply(ANSWER, headers=echo), Stream(*native.text("Hi"), headers=echo)):
            upstream.play(answer)
            async with aclosing(asked.stream(wanted())) as events:
                accepted = await anext(events)
                assert isinstance(accepted, Accepted)
                heard.append(accepted.headers)
    assert [headers["x-ratelimit-key"] for headers in heard] == ["Bearer ***"] * 3


async def test_only_headers_that_may_cross_go_along(upstream: FakeUpstream) -> None:
    upstream.play(Reply(ANSWER))
    headers = {
        "session-id": "s",
        "thread-id": "t",
        "openai-beta": "b",
        "traceparent": "p",
        "x-codex-turn": "c",
        "originator": "o",
    }
    request = ResponseRequest(body={"model": "m"}, model="m", asked_model="m", headers=headers)
    async with native_at(upstream.url) as asked:
        await asked.complete(request)
    sent = {name.lower() for name in upstream.requests[0].headers}
    assert sent & headers.keys() == {"session-id", "thread-id", "openai-beta", "traceparent"}


async def test_a_connection_whose_body_ends_soon_after_the_answer_is_used_again(
    upstream: FakeUpstream,
) -> None:
    frames = native.text("Hello")
    upstream.play(Stream(*frames, TURN))
    async with native_at(upstream.url) as asked:
        for _ in range(3):
            assert (await stream(asked))[-1].type == "response.completed"
    ports = {request.peer for request in upstream.requests}
    assert len(upstream.requests) == 3
    assert len(ports) == 1


async def test_a_key_in_an_error_event_goes_no_further(upstream: FakeUpstream) -> None:
    told = {"type": "error", "error": {"message": "Incorrect key: hidden-key-1", "code": "invalid_api_key"}}
    upstream.play(Stream(native.frame(told)))
    async with native_at(upstream.url, headers={"authorization": "Bearer hidden-key-1"}) as asked:
        event = (await stream(asked))[-1]
    assert event.type == "error"
    assert b"Incorrect key: ***" in event.payload
    assert b"hidden-key-1" not in event.payload


async def test_a_key_that_an_error_in_place_of_a_stream_repeats_goes_no_further(
    upstream: FakeUpstream,
) -> None:
    upstream.play(Reply({"error": {"message": "Incorrect key: hidden-key-1"}}))
    async with native_at(upstream.url, headers={"authorization": "Bearer hidden-key-1"}) as asked:
        with pytest.raises(MaestroError) as error:
            await stream(asked)
    assert error.value.message == "Incorrect key: ***"


async def test_a_response_that_is_called_plain_text_is_read_as_json(upstream: FakeUpstream) -> None:
    whole = native.response(status="completed", output=[native.message("Hi")])
    upstream.play(Raw(b"\n" + json.dumps(whole).encode(), "text/plain"))
    async with native_at(upstream.url) as asked:
        (event,) = await stream(asked)
    assert json.loads(event.payload)["response"] == whole


async def test_events_that_are_called_plain_text_are_read_as_events(upstream: FakeUpstream) -> None:
    upstream.play(Raw(b"".join(native.frames(HELLO)), "text/plain"))
    async with native_at(upstream.url) as asked:
        assert [event.type for event in await stream(asked)] == TYPES
