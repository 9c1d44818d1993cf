"""Any dialect over real sockets: records become events by a reader of one's own, or fail by name."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from maestro_daemon.errors import MaestroError, UpstreamBroken, UpstreamRefused, UpstreamUnreachable
from maestro_daemon.events import Accepted, ResponseEvent
from maestro_daemon.plugin import Delta, Finish, HttpUpstream, TextDelta, TranslatedUpstream, folded, retell
from maestro_daemon.request import ResponseRequest
from tests.support.core import passed, wanted
from tests.support.fake_upstream import CUT, STALL, TURN, FakeUpstream, Raw, Reply, Stream, refusal
from tests.support.oracle import check_stream


class WordReader:
    """A dialect of ``{"word": …}`` records, ended by ``{"end": …}`` under the name ``last``."""

    def __init__(self) -> None:
        self.ended = False
        self.names: list[str] = []

    def feed(self, name: str, record: Any) -> Iterable[Delta]:
        self.names.append(name)
        if "error" in record:
            raise UpstreamRefused(record["error"], status=429)
        if "word" in record:
            yield TextDelta(record["word"])
        if "end" in record:
            yield Finish(record["end"])
        self.ended = name == "last"

    def close(self) -> Iterable[Delta]:
        return (TextDelta("!"),)


def record(name: str = "", **fields: Any) -> bytes:
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(fields)}\n\n".encode()


HELLO = (record(word="Hel"), record("more", word="lo"), record("last", end="stop"))


@asynccontextmanager
async def words_at(
    url: str, *, timeouts: Mapping[str, Any] | None = None, **options: Any
) -> AsyncIterator[Any]:
    http = HttpUpstream(url, provider="words", headers={"x-api-key": "sk-secret-key"}, **(timeouts or {}))
    try:
        yield TranslatedUpstream(http, **options)
    finally:
        await http.aclose()


async def events_of(
    upstream: TranslatedUpstream, request: ResponseRequest | None = None, reader: WordReader | None = None
) -> list[ResponseEvent]:
    retelling = retell(request or wanted(), provider="words")
    body = {"said": "Hi"}
    stream = upstream.stream(retelling, "/speak", body, reader or WordReader(), headers={"x-own": "1"})
    async with aclosing(stream) as events:
        assert isinstance(await anext(events), Accepted)
        return [event async for event in events]


async def answered(upstream: FakeUpstream, *steps: Any, reader: WordReader | None = None) -> dict[str, Any]:
    upstream.play(Stream(*steps))
    request = wanted()
    async with words_at(upstream.url) as asked:
        return check_stream(passed(await events_of(asked, request, reader), request))


async def failed(upstream: FakeUpstream, *steps: Any, **timeouts: Any) -> MaestroError:
    upstream.play(Stream(*steps))
    async with words_at(upstream.url, timeouts=timeouts) as asked:
        with pytest.raises(MaestroError) as error:
            await events_of(asked)
    return error.value


async def test_records_become_events(upstream: FakeUpstream) -> None:
    reader = WordReader()
    response = await answered(upstream, *HELLO, reader=reader)
    assert response["output"][0]["content"][0]["text"] == "Hello!"
    assert reader.names == ["", "more", "last"]
    sent = upstream.requests[0]
    assert (sent.path, sent.body) == ("/v1/speak", {"said": "Hi"})
    headers = {name.lower(): value for name, value in sent.headers.items()}
    assert (headers["x-own"], headers["accept"]) == ("1", "text/event-stream")


async def test_nothing_is_read_behind_the_end(upstream: FakeUpstream) -> None:
    assert (await answered(upstream, *HELLO, TURN, STALL))["status"] == "completed"
    assert await upstream.left.get() == "/v1/speak"


async def test_a_stream_may_end_by_its_done_mark_or_without_the_last_blank_line(
    upstream: FakeUpstream,
) -> None:
    ended = record(end="stop")
    for last in ((ended, b"data: [DONE]\n\n"), (ended[:-1],)):
        assert (await answered(upstream, *HELLO[:2], *last))["status"] == "completed"


async def test_one_json_body_is_one_record(upstream: FakeUpstream) -> None:
    upstream.play(Reply({"word": "Hello", "end": "stop"}))
    request = wanted()
    async with words_at(upstream.url) as asked:
        response = check_stream(passed(await events_of(asked, request), request))
    assert response["output"][0]["content"][0]["text"] == "Hello!"


async def test_the_fold_is_a_reply_with_the_upstreams_headers_under_other_names(
    upstream: FakeUpstream,
) -> None:
    upstream.play(Stream(*HELLO, headers={"X-Left": "3 for sk-secret-key"}))

    def renamed(headers: Mapping[str, str]) -> Mapping[str, str]:
        return {"x-ratelimit-remaining-requests": headers["x-left"]}

    async with words_at(upstream.url, answer_headers=renamed) as asked:
        retelling = retell(wanted(), provider="words")
        reply = await folded(asked.stream(retelling, "/speak", {}, WordReader()))
    assert json.loads(reply.body)["status"] == "completed"
    assert reply.headers == {"x-ratelimit-remaining-requests": "3 for ***"}


async def test_only_headers_that_are_carried_go_along(upstream: FakeUpstream) -> None:
    upstream.play(Stream(*HELLO))
    request = wanted()
    request.headers = {"traceparent": "t", "session-id": "s"}
    async with words_at(upstream.url) as asked:
        await events_of(asked, request)
    sent = {name.lower() for name in upstream.requests[0].headers}
    assert "traceparent" in sent
    assert "session-id" not in sent


async def test_a_cut_behind_the_finish_loses_nothing(upstream: FakeUpstream) -> None:
    assert (await answered(upstream, *HELLO[:2], record(end="stop"), TURN, CUT))["status"] == "completed"


@pytest.mark.parametrize(
    ("steps", "kind", "said"),
    [
        ((*HELLO[:2], TURN, CUT), UpstreamBroken, "broke off"),
        (HELLO[:2], UpstreamBroken, "finish reason"),
        ((b"data: {nonsense\n\n",), UpstreamBroken, "not JSON"),
        ((record(error="slow down"),), UpstreamRefused, "slow down"),
        ((record(error="no sk-secret-key"),), UpstreamRefused, r"no \*\*\*"),
    ],
)
async def test_failures_are_told_by_their_class(
    upstream: FakeUpstream, steps: Any, kind: type[MaestroError], said: str
) -> None:
    error = await failed(upstream, *steps)
    assert isinstance(error, kind)
    with pytest.raises(kind, match=said):
        raise error


async def test_silence_is_an_upstream_that_cannot_be_reached(upstream: FakeUpstream) -> None:
    assert isinstance(await failed(upstream, HELLO[0], STALL, idle_timeout=0.2), UpstreamUnreachable)


@pytest.mark.parametrize(
    ("answer", "kind"), [(refusal(400, "no"), UpstreamRefused), (Raw(b"<p>", "text/html"), UpstreamBroken)]
)
async def test_a_refusal_comes_before_anything_is_accepted(
    upstream: FakeUpstream, answer: Any, kind: type[MaestroError]
) -> None:
    upstream.play(answer)
    async with words_at(upstream.url) as asked:
        stream = asked.stream(retell(wanted(), provider="words"), "/speak", {}, WordReader())
        async with aclosing(stream) as events:
            with pytest.raises(kind):
                await anext(events)


async def test_a_reader_that_leaves_closes_the_connection(upstream: FakeUpstream) -> None:
    upstream.play(Stream(HELLO[0], STALL))
    async with words_at(upstream.url) as asked:
        stream = asked.stream(retell(wanted(), provider="words"), "/speak", {}, WordReader())
        async with aclosing(stream) as events:
            await anext(events)
            await anext(events)
        assert await upstream.left.get() == "/v1/speak"
