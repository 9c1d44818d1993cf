"""A chat-completions upstream over real sockets: its stream becomes Responses events, or fails by name."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from maestro_daemon.errors import (
    MaestroError,
    RequestInvalid,
    UpstreamBroken,
    UpstreamRefused,
    UpstreamUnreachable,
)
from maestro_daemon.events import Accepted, ResponseEvent
from maestro_daemon.plugin import ChatDialect, ChatUpstream, HttpUpstream
from maestro_daemon.request import ResponseRequest
from tests.support import chat
from tests.support.core import passed, wanted
from tests.support.fake_upstream import CUT, STALL, TURN, FakeUpstream, Raw, Reply, Stream
from tests.support.oracle import check_stream


@asynccontextmanager
async def chat_at(url: str, **options: Any) -> AsyncIterator[ChatUpstream]:
    http = HttpUpstream(url, provider="home", **options)
    try:
        yield ChatUpstream(http)
    finally:
        await http.aclose()


async def events_of(upstream: ChatUpstream, request: ResponseRequest | None = None) -> list[ResponseEvent]:
    """The events behind `Accepted`."""
    async with aclosing(upstream.stream(request or wanted(), ChatDialect())) as events:
        assert isinstance(await anext(events), Accepted)
        return [event async for event in events]


async def answered(upstream: FakeUpstream, *steps: Any, **options: Any) -> dict[str, Any]:
    """The judged Response of a stream of `steps`."""
    upstream.play(Stream(*steps))
    request = wanted()
    async with chat_at(upstream.url, **options) as asked:
        return check_stream(passed(await events_of(asked, request), request))


async def failed(upstream: FakeUpstream, *steps: Any, **options: Any) -> MaestroError:
    upstream.play(Stream(*steps))
    async with chat_at(upstream.url, **options) as asked:
        with pytest.raises(MaestroError) as error:
            await events_of(asked)
    return error.value


def said(response: dict[str, Any]) -> str:
    return "".join(part["text"] for item in response["output"] for part in item["content"])


HELLO = chat.text("Hel", "lo")


async def test_a_stream_of_chunks_becomes_a_stream_of_events(upstream: FakeUpstream) -> None:
    response = await answered(upstream, *HELLO)
    assert (said(response), response["status"]) == ("Hello", "completed")
    assert response["usage"]["input_tokens"] == 11
    asked = upstream.requests[0]
    assert asked.path == "/v1/chat/completions"
    assert asked.body["stream"] is True
    assert asked.body["messages"] == [{"role": "user", "content": "Hi"}]


async def test_the_json_answer_is_the_fold_of_the_stream(upstream: FakeUpstream) -> None:
    upstream.play(Stream(*HELLO))
    async with chat_at(upstream.url) as asked:
        reply = await asked.complete(wanted(), ChatDialect())
    response = json.loads(reply.body)
    assert said(response) == "Hello"
    assert upstream.requests[0].body["stream"] is True


async def test_the_json_answer_bears_the_headers_that_the_stream_would(upstream: FakeUpstream) -> None:
    given = {"x-ratelimit-remaining-requests": "7", "x-ratelimit-key": "Bearer hidden-key-1"}
    upstream.play(Stream(*HELLO, headers=given))
    async with chat_at(upstream.url, headers={"Authorization": "Bearer hidden-key-1"}) as asked:
        reply = await asked.complete(wanted(), ChatDialect())
        async with aclosing(asked.stream(wanted(), ChatDialect())) as events:
            accepted = await anext(events)
    assert isinstance(accepted, Accepted)
    for headers in (reply.headers, accepted.headers):
        assert headers["x-ratelimit-remaining-requests"] == "7"
        assert headers["x-ratelimit-key"] == "Bearer ***"


@pytest.mark.parametrize("size", [1, 5, 40])
async def test_any_framing_of_the_bytes_gives_the_same_answer(upstream: FakeUpstream, size: int) -> None:
    body = b"".join(chat.text("é😀", "!")).replace(rb"\u00e9\ud83d\ude00", "é😀".encode())
    assert "😀".encode() in body
    steps: list[Any] = []
    for start in range(0, len(body), size):
        steps += [body[start : start + size], *([TURN] if start % (size * 7) == 0 else [])]
    assert said(await answered(upstream, *steps)) == "é😀!"


async def test_the_halves_of_a_character_in_two_chunks_are_joined(upstream: FakeUpstream) -> None:
    halves = [
        rb'data: {"choices":[{"index":0,"delta":{"content":"a\ud83d"}}]}',
        rb'data: {"choices":[{"index":0,"delta":{"content":"\ude00b"}}]}',
    ]
    steps = [HELLO[0], *(half + b"\n\n" for half in halves), *HELLO[-3:]]
    assert said(await answered(upstream, *steps)) == "a😀b"


async def test_a_half_without_its_other_half_is_replaced(upstream: FakeUpstream) -> None:
    half = rb'data: {"choices":[{"index":0,"delta":{"content":"a\ud83d"}}]}' + b"\n\n"
    assert said(await answered(upstream, HELLO[0], half, *HELLO[-3:])) == "a\ufffd"


@pytest.mark.parametrize("ending", [[], [TURN, CUT]], ids=["end", "cut"])
@pytest.mark.parametrize("count", [0, 1, 2, 3])
async def test_an_end_without_a_finish_reason_is_a_failure(
    upstream: FakeUpstream, count: int, ending: Sequence[Any]
) -> None:
    assert isinstance(await failed(upstream, *HELLO[:count], *ending), UpstreamBroken)


async def test_done_without_a_finish_reason_is_a_failure(upstream: FakeUpstream) -> None:
    assert isinstance(await failed(upstream, *HELLO[:3], chat.DONE), UpstreamBroken)


@pytest.mark.parametrize("ending", [[CUT], [], [chat.DONE], [chat.DONE, STALL], [chat.DONE, CUT]])
async def test_after_the_finish_reason_the_answer_is_whole(upstream: FakeUpstream, ending: list[Any]) -> None:
    *before, usage, _ = HELLO
    for steps in ([*before, usage, TURN, *ending], [*before, TURN, *ending]):
        response = await answered(upstream, *steps)
        assert (said(response), response["status"]) == ("Hello", "completed")
        assert response["usage"]["total_tokens"] > 0


async def test_silence_after_the_finish_reason_does_not_spoil_the_answer(upstream: FakeUpstream) -> None:
    response = await answered(upstream, *HELLO[:-2], STALL, idle_timeout=0.05)
    assert (said(response), response["status"]) == ("Hello", "completed")


async def test_silence_before_it_has_an_end(upstream: FakeUpstream) -> None:
    error = await failed(upstream, *HELLO[:2], STALL, idle_timeout=0.05)
    assert isinstance(error, UpstreamUnreachable)
    assert await upstream.left.get()


ERRORS = [
    chat.frame({"error": {"message": "Slow.", "code": "rate_limit_exceeded"}}),
    b'event: error\ndata: {"message": "Slow.", "code": "rate_limit_exceeded"}\n\n',
    b'event: error\ndata: {"error": {"message": "Slow.", "code": "rate_limit_exceeded"}}\n\n',
]


@pytest.mark.parametrize("error", ERRORS, ids=range(3))
@pytest.mark.parametrize("count", [0, 1, 3])
async def test_an_error_object_in_the_stream_fails_it_by_its_own_words(
    upstream: FakeUpstream, error: bytes, count: int
) -> None:
    failure = await failed(upstream, *HELLO[:count], error, STALL)
    assert isinstance(failure, UpstreamRefused)
    assert (failure.status, failure.code, failure.message) == (429, "rate_limit_exceeded", "Slow.")
    assert await upstream.left.get()


@pytest.mark.parametrize("garbage", [b"data: {\n\n", b"data: \xff\n\n", b"data: NaN\n\n"])
async def test_garbage_is_a_failure(upstream: FakeUpstream, garbage: bytes) -> None:
    assert isinstance(await failed(upstream, HELLO[0], garbage, STALL), UpstreamBroken)


WHOLE = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
    "usage": chat.USAGE,
}


async def test_a_json_answer_to_a_request_for_a_stream_is_read_as_well(upstream: FakeUpstream) -> None:
    upstream.play(Reply(WHOLE))
    request = wanted()
    async with chat_at(upstream.url) as asked:
        response = check_stream(passed(await events_of(asked, request), request))
    assert said(response) == "Hello"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Reply({"error": {"message": "Slow.", "code": "rate_limit_exceeded"}}), UpstreamRefused),
        (Raw(b"<html>", "text/html"), UpstreamBroken),
        (Raw(b"{", "application/json"), UpstreamBroken),
        (Reply({}), UpstreamBroken),
        (Reply([]), UpstreamBroken),
    ],
)
async def test_what_is_no_answer_fails(upstream: FakeUpstream, answer: Any, kind: type[MaestroError]) -> None:
    upstream.play(answer)
    async with chat_at(upstream.url) as asked, aclosing(asked.stream(wanted(), ChatDialect())) as events:
        with pytest.raises(kind):
            [event async for event in events]


async def test_a_page_of_html_is_no_acceptance(upstream: FakeUpstream) -> None:
    upstream.play(Raw(b"<html>", "text/html"))
    async with chat_at(upstream.url) as asked, aclosing(asked.stream(wanted(), ChatDialect())) as events:
        with pytest.raises(UpstreamBroken, match="a page of HTML"):
            await anext(events)


async def test_the_content_type_of_a_stream_is_not_demanded(upstream: FakeUpstream) -> None:
    upstream.play(Raw(b"".join(HELLO), "application/octet-stream"))
    request = wanted()
    async with chat_at(upstream.url) as asked:
        assert said(check_stream(passed(await events_of(asked, request), request))) == "Hello"


async def test_leaving_closes_the_connection(upstream: FakeUpstream) -> None:
    upstream.play(Stream(*HELLO[:2], STALL))
    async with chat_at(upstream.url) as asked:
        async with aclosing(asked.stream(wanted(), ChatDialect())) as events:
            assert isinstance(await anext(events), Accepted)
            assert (await anext(events)).type == "response.output_item.added"
        assert await upstream.left.get()


async def test_what_the_dialect_cannot_say_is_refused_before_the_upstream_is_asked(
    upstream: FakeUpstream,
) -> None:
    request = wanted(max_output_tokens="many")
    async with chat_at(upstream.url) as asked, aclosing(asked.stream(request, ChatDialect())) as events:
        with pytest.raises(RequestInvalid) as refused:
            await anext(events)
    assert refused.value.param == "max_output_tokens"
    assert not upstream.requests


async def test_a_conversation_is_compacted_and_goes_on_from_its_summary(upstream: FakeUpstream) -> None:
    items = [{"role": "user", "content": "My name is Ada."}, {"type": "compaction_trigger"}]
    request = wanted(input=items)
    upstream.play(Stream(*chat.text("The user ", "is Ada.")))
    upstream.play(Stream(*chat.text("The user is Ada.")))
    async with chat_at(upstream.url) as asked:
        streamed = check_stream(passed(await events_of(asked, request), request))
        folded = json.loads((await asked.complete(request, ChatDialect())).body)
    for response in (streamed, folded):
        (item,) = response["output"]
        assert item["type"] == "compaction"
    assert streamed["output"][0]["encrypted_content"] == folded["output"][0]["encrypted_content"]

    upstream.play(Stream(*HELLO))
    async with chat_at(upstream.url) as asked:
        await events_of(asked, wanted(input=[item, {"role": "user", "content": "Who am I?"}]))
    said = [message["content"] for message in upstream.requests[-1].body["messages"]]
    assert said == ["Summary of the conversation up to here:\n\nThe user is Ada.", "Who am I?"]


async def test_a_key_in_an_error_chunk_goes_no_further(upstream: FakeUpstream) -> None:
    chunk = b'data: {"error": {"message": "Incorrect key: hidden-key-1"}}\n\n'
    error = await failed(upstream, chunk, headers={"authorization": "Bearer hidden-key-1"})
    assert error.message == "Incorrect key: ***"


async def test_a_key_that_an_error_in_place_of_a_stream_repeats_goes_no_further(
    upstream: FakeUpstream,
) -> None:
    upstream.play(Reply({"error": {"message": "Incorrect key: hidden-key-1"}}))
    async with chat_at(upstream.url, headers={"authorization": "Bearer hidden-key-1"}) as asked:
        with pytest.raises(MaestroError) as error:
            await events_of(asked)
    assert error.value.message == "Incorrect key: ***"


async def test_a_completion_that_is_called_plain_text_is_read_as_json(upstream: FakeUpstream) -> None:
    message = {"role": "assistant", "content": "Hi"}
    whole = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": chat.USAGE}
    upstream.play(Raw(json.dumps(whole).encode(), "text/plain"))
    async with chat_at(upstream.url) as asked:
        assert said(check_stream(passed(await events_of(asked), wanted()))) == "Hi"


async def test_chunks_that_are_called_plain_text_are_read_as_chunks(upstream: FakeUpstream) -> None:
    upstream.play(Raw(b"".join(chat.text("Hi")), "text/plain"))
    async with chat_at(upstream.url) as asked:
        assert said(check_stream(passed(await events_of(asked), wanted()))) == "Hi"


class Mending:
    """Asks for two answers, and reads ``text`` as content."""

    def body(self, body: dict[str, Any]) -> dict[str, Any]:
        return {**body, "n": 2}

    def chunk(self, chunk: Any) -> Any:
        return {"choices": [{"delta": {"content": chunk["text"]}, "finish_reason": "stop"}]}


async def test_a_server_with_ways_of_its_own_is_mended_on_both_sides(upstream: FakeUpstream) -> None:
    upstream.play(Stream(chat.frame({"text": "Hi"}), chat.DONE))
    async with chat_at(upstream.url) as asked:
        reply = await asked.complete(wanted(stream=False), ChatDialect(), Mending())
    assert upstream.requests[0].body["n"] == 2
    assert json.loads(reply.body)["output"][0]["content"][0]["text"] == "Hi"
