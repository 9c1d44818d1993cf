"""The Responses route over native upstreams, on real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, MutableMapping, Sequence
from typing import Any

import pytest
from yarl import URL

from maestro_daemon.events import Accepted, ResponseEvent
from maestro_daemon.plugin import Model
from maestro_daemon.request import ResponseRequest
from tests.support import native
from tests.support.core import MODEL, compact, named
from tests.support.fake_upstream import PAUSE, STALL, FakeUpstream, Raw, Reply, Stream, fake_upstream
from tests.support.house import House, NativeProvider, house
from tests.support.native import Event
from tests.support.oracle import check_stream
from tests.support.raw_client import raw_client
from tests.support.raw_stream import events_of
from tests.support.raw_upstream import READ, STREAM_HEAD, chunks, raw_upstream
from tests.support.raw_upstream import STALL as SILENCE

HELLO = native.events(native.message_events(["Hel", "lo"]))
ANSWER = native.response(status="completed", output=[native.message("Hello")])
MARK = rb"maestro1\.[0-9a-f]{12}\."
"""What ciphertext of an account begins with."""
ROUTES: Mapping[str, Sequence[Sequence[str]]] = {MODEL: (["first/gpt-test"], [])}


@pytest.fixture
async def front(upstream: FakeUpstream) -> AsyncIterator[House]:
    """A house with one native provider, ``first``."""
    async with house({"first": NativeProvider("first", upstream.url)}, ROUTES) as running:
        yield running


class Translated:
    """A provider that keeps nothing; notes the bodies that it gets, and answers with `answer`."""

    def __init__(self, answer: Event = ANSWER) -> None:
        self.name = "home"
        self.bodies: list[Mapping[str, Any]] = []
        self.answer = answer

    async def models(self) -> Sequence[Model]:
        return []

    async def complete(self, request: ResponseRequest) -> dict[str, Any]:
        self.bodies.append(request.body)
        return {**self.answer, "id": request.response_id}

    async def stream(self, request: ResponseRequest) -> AsyncGenerator[ResponseEvent, None]:
        self.bodies.append(request.body)
        yield Accepted()
        yield named({"type": "response.completed", "response": await self.complete(request)})

    async def aclose(self) -> None:
        return


async def test_a_native_stream_passes_with_the_house_preamble(front: House, upstream: FakeUpstream) -> None:
    upstream.play(Stream(*native.text("Hel", "lo")))
    events = await front.stream()
    assert [event["type"] for event in events] == [event["type"] for event in HELLO]
    assert events[2:-1] == HELLO[2:-1]
    created, done = events[0]["response"], events[-1]["response"]
    assert created["id"] == done["id"] != "resp_upstream"
    assert created["model"] == "first/gpt-test"
    assert done["output"][0]["content"][0]["text"] == "Hello"


EVERYTHING = native.events(
    [
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": {"id": "rs_upstream", "type": "reasoning", "summary": [], "status": "in_progress"},
        },
        {
            "type": "response.output_item.done",
            "output_index": 0,
            "item": {
                "id": "rs_upstream",
                "type": "reasoning",
                "summary": [],
                "status": "completed",
                "encrypted_content": "gAAA",
            },
        },
    ],
    native.call_events("run", ['{"a":', "1}"], 1),
    native.message_events(["é\u2028", "😀"], 2),
    [
        {"type": "response.x_new_thing.began", "nested": {"sequence_number": 1, "none": None}, "big": 2**70},
        {
            "type": "response.output_item.added",
            "output_index": 3,
            "item": {"id": "xn_upstream", "type": "x_new_thing", "status": "in_progress", "inside": [[None]]},
        },
        {"type": "response.x_new_thing.delta", "output_index": 3, "item_id": "xn_upstream", "what": 1.0},
        {
            "type": "response.output_item.done",
            "output_index": 3,
            "item": {"id": "xn_upstream", "type": "x_new_thing", "status": "completed", "inside": [[1e-7]]},
        },
    ],
)


async def test_a_native_stream_is_equal_as_bytes_but_for_the_lifecycle(
    front: House, upstream: FakeUpstream
) -> None:
    upstream.play(Stream(*native.frames(EVERYTHING)))
    asked = {"model": MODEL, "input": "Hi", "stream": True}
    _, headers, body = await front.post(asked)
    assert len(re.findall(MARK, body)) == 2
    events = events_of(re.sub(MARK, b"", body))
    assert [event.payload for event in events[2:-1]] == [compact(event) for event in EVERYTHING[2:-1]]
    created = json.loads(events[0].payload)["response"]
    last = json.loads(events[-1].payload)
    ours = {field: created[field] for field in ("id", "created_at", "previous_response_id")}
    assert last == {**EVERYTHING[-1], "response": {**EVERYTHING[-1]["response"], **ours}}
    assert {name.lower(): value for name, value in headers.items()}["content-type"].startswith(
        "text/event-stream"
    )


async def test_a_native_json_answer_passes_as_bytes(front: House, upstream: FakeUpstream) -> None:
    raw = json.dumps({**ANSWER, "x_new": [None, 2**70, {"a": None}]}, indent=1).encode()
    upstream.play(Raw(raw, "application/json"))
    status, headers, body = await front.post()
    assert status == 200
    assert body == raw
    assert headers["x-maestro-target"] == "first/gpt-test"
    assert headers["x-maestro-attempts"] == "1"
    assert upstream.requests[0].body == {"model": "gpt-test", "input": "Hi"}


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
async def test_a_request_reaches_the_upstream_equal_as_json_but_for_the_model(
    front: House, upstream: FakeUpstream, stream: bool
) -> None:
    upstream.play(Stream(*native.text("Hi")) if stream else Reply(ANSWER))
    sent = {
        "input": [
            {"role": "user", "content": [{"type": "x_part", "a": None}]},
            {"type": "x_unknown_item", "deep": [None, {"a": None, "b": [[]]}], "real": 1e-7},
            {"type": "function_call_output", "call_id": "c", "output": "\u0000\u2028é😀"},
        ],
        "model": "first/gpt-test",
        "stream": stream,
        "store": None,
        "tools": [{"type": "x_tool", "maximum": 2**64}, {"type": "function", "name": "f", "strict": None}],
        "tool_choice": {"type": "x_choice"},
        "x_unknown": {"big": -(2**63) - 1, "nothing": None, "empty": [{}, []]},
        "temperature": 7,
        "metadata": None,
    }
    await front.post(sent)
    assert upstream.requests[0].body == {**sent, "model": "gpt-test"}


@pytest.mark.parametrize(
    "raw",
    [
        b'{"model":"first/gpt-test","input":"a"}',
        b'{ "input" : "a",\n "model" : "first/gpt-test" }',
        b'{"input":"a","model": "first/gpt-test","metadata":{"model":"first/gpt-test"}}',
        b'{"mod\\u0065l":"first/gpt-test","input":"a","metadata":{"model":"first/gpt-test"}}',
        b'{"model":"first\\/gpt-test","input":"a"}',
        b'{"model":"\\u0066irst/gpt-test","input":"a"}',
        b'{"input":"say \\"model\\":\\"first/gpt-test\\"","model":"first/gpt-test"}',
        b'{"input":[{"role":"user","content":"\\"model\\":"}],"x":{"model":1},"model":"first/gpt-test"}',
        b'{"model":"other","input":"a","model":"first/gpt-test"}',
        b'{"model":"first/gpt-test","input":"\\ud83d","x":1.50,"y":1E3,"z":18446744073709551616}',
        b'\xef\xbb\xbf{"model":"first/gpt-test","input":"a"}',
    ],
)
async def test_however_a_request_is_written_only_its_model_is_changed(
    front: House, upstream: FakeUpstream, raw: bytes
) -> None:
    upstream.play(Reply(ANSWER))
    async with front.session.post(f"{front.url}/v1/responses", data=raw) as answer:
        assert answer.status == 200
    sent = json.loads(raw.decode("utf-8-sig").replace(r"\ud83d", "\ufffd"))
    assert upstream.requests[0].body == {**sent, "model": "gpt-test"}


async def test_a_lone_surrogate_reaches_the_upstream_as_the_replacement_character(
    front: House, upstream: FakeUpstream
) -> None:
    upstream.play(Reply(ANSWER))
    raw = rb'{"model": "first/gpt-test", "input": "a\ud83d"}'
    async with front.session.post(f"{front.url}/v1/responses", data=raw) as answer:
        assert answer.status == 200
    assert upstream.requests[0].body["input"] == "a\ufffd"


@pytest.mark.parametrize("depth", [200, 900, 5000, 200_000])
async def test_deep_input_is_served_or_refused_but_never_fails(
    front: House, upstream: FakeUpstream, depth: int
) -> None:
    upstream.play(Reply(ANSWER))
    raw = b'{"model": "first/gpt-test", "input": "a", "x": ' + b"[" * depth + b"]" * depth + b"}"
    async with front.session.post(f"{front.url}/v1/responses", data=raw) as answer:
        body = await answer.json()
    if answer.status == 200:
        assert b"[" * depth + b"]" * depth in upstream.requests[0].raw
    else:
        assert (answer.status, body["error"]["code"]) == (400, "invalid_json")
        assert "nested too deeply" in body["error"]["message"]
        assert depth > 500


async def test_depth_that_only_the_echo_makes_too_great_is_an_error_and_never_two_answers(
    front: House, upstream: FakeUpstream
) -> None:
    upstream.play(Stream(*native.text("Hi")))
    seen = set()
    for depth in range(920, 1010, 3):
        deep = b"[" * depth + b"1" + b"]" * depth
        raw = b'{"model":"first/gpt-test","input":"a","stream":true,"metadata":{"a":%b}}' % deep
        async with front.session.post(f"{front.url}/v1/responses", data=raw) as answer:
            body = await answer.read()
        seen.add(answer.status)
        if answer.status == 200:
            assert json.loads(events_of(body)[-1].payload)["type"] == "response.completed"
        else:
            assert (answer.status, json.loads(body)["error"]["code"]) == (400, "invalid_json")
    assert 400 in seen


async def test_the_clients_credentials_stay_and_the_providers_go_upstream(
    front: House, upstream: FakeUpstream
) -> None:
    upstream.play(Reply(ANSWER))
    theirs = {
        "authorization": "Bearer sk-client",
        "x-api-key": "sk-client",
        "cookie": "a=b",
        "session-id": "s1",
        "openai-beta": "x=v1",
        "traceparent": "00-a-b-01",
        "x-codex-turn-state": "t",
    }
    await front.post(None, headers=theirs)
    sent = {name.lower(): value for name, value in upstream.requests[0].headers.items()}
    assert "sk-client" not in str(sent)
    assert "cookie" not in sent
    assert sent["authorization"] == "Bearer sk-up"
    assert (sent["session-id"], sent["openai-beta"], sent["traceparent"]) == ("s1", "x=v1", "00-a-b-01")
    assert "x-codex-turn-state" not in sent


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
async def test_the_upstreams_limits_come_back_and_its_model_name_does_not(
    front: House, upstream: FakeUpstream, stream: bool
) -> None:
    headers = {
        "x-ratelimit-remaining-requests": "9",
        "openai-processing-ms": "12",
        "openai-model": "gpt-test-2026-01-01",
        "set-cookie": "a=b",
        "server": "up",
    }
    upstream.play(Stream(*native.text("Hi"), headers=headers) if stream else Reply(ANSWER, headers=headers))
    body = {"model": "first/gpt-test", "input": "Hi", "stream": stream}
    _, got, _ = await front.post(body, headers={"x-request-id": "mine-1"})
    got = {name.lower(): value for name, value in got.items()}
    assert got["x-ratelimit-remaining-requests"] == "9"
    assert got["openai-processing-ms"] == "12"
    assert got["x-request-id"] == "mine-1"
    assert "openai-model" not in got
    assert "set-cookie" not in got
    assert got.get("server") != "up"


async def test_frames_come_as_soon_as_the_upstream_says_them(front: House, upstream: FakeUpstream) -> None:
    frames = native.text("Hel", "lo")
    upstream.play(Stream(*frames[:5], PAUSE, *frames[5:]))
    async with raw_client(front.url) as client:
        await client.post({"model": "first/gpt-test", "input": "Hi", "stream": True})
        await client.read_until(frames[4])
        upstream.go_on()
        await client.read_until(b"data: [DONE]\n\n\r\n0\r\n\r\n")


async def test_the_body_ends_at_the_terminal_event_though_the_upstream_holds_on(
    front: House, upstream: FakeUpstream
) -> None:
    upstream.play(Stream(*native.text("Hi"), STALL))
    _, _, body = await front.post({"model": MODEL, "input": "Hi", "stream": True})
    assert check_stream(events_of(body))["status"] == "completed"
    assert await upstream.left.get()


async def test_streams_that_follow_each_other_share_a_connection() -> None:
    whole = STREAM_HEAD + chunks(native.text("Hi"))
    async with (
        raw_upstream([READ, whole, READ, whole, READ, whole, SILENCE]) as raw,
        house({"first": NativeProvider("first", raw.url)}) as front,
    ):
        for _ in range(3):
            assert (await front.stream())[-1]["type"] == "response.completed"
        assert raw.connections == 1


async def test_an_outcome_tells_what_happened(front: House, upstream: FakeUpstream) -> None:
    upstream.play(Stream(*native.text("Hi")), Reply(ANSWER))
    await front.stream()
    await front.post()
    streamed, whole = [await front.heard.outcomes.get() for _ in range(2)]
    for outcome in (streamed, whole):
        assert (outcome.status, outcome.http_status, outcome.target) == ("completed", 200, "first/gpt-test")
        assert outcome.usage == ANSWER["usage"]
        assert outcome.error is None
        assert outcome.duration > 0
        assert len(outcome.attempts) == 1
    assert streamed.first_output_after is not None
    assert len(front.heard.attempts) == 2


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
async def test_an_unknown_model_asks_nobody(front: House, upstream: FakeUpstream, stream: bool) -> None:
    status, headers, body = await front.post({"model": "gpt-tesd", "input": "Hi", "stream": stream})
    error = json.loads(body)["error"]
    assert (status, error["code"], error["param"]) == (404, "model_not_found", "model")
    assert "first/gpt-test" in error["message"]
    assert "x-maestro-target" not in headers
    assert not upstream.requests


async def test_concurrent_streams_do_not_mix(front: House, upstream: FakeUpstream) -> None:
    texts = [str(number) * 50 for number in range(30)]
    upstream.play(*(Stream(*native.text(text[:20], text[20:])) for text in texts))
    streams = await asyncio.gather(*(front.stream() for _ in texts))
    said = [events[-1]["response"]["output"][0]["content"][0]["text"] for events in streams]
    assert sorted(said) == sorted(texts)
    assert len({events[0]["response"]["id"] for events in streams}) == len(texts)
    for events, text in zip(streams, said, strict=True):
        assert "".join(event["delta"] for event in events if "delta" in event) == text


# previous_response_id


async def test_a_stream_is_continued_by_the_id_that_the_house_gave_it(
    front: House, upstream: FakeUpstream
) -> None:
    upstream.play(Stream(*native.text("Hi")))
    first = (await front.stream())[-1]["response"]["id"]
    again = native.events(
        native.message_events(["more"]), previous_response_id="resp_upstream", id="resp_up_2"
    )
    upstream.play(Stream(*native.frames(again)))
    events = await front.stream(previous_response_id=first)
    assert upstream.requests[1].body["previous_response_id"] == "resp_upstream"
    assert events[0]["response"]["previous_response_id"] == first
    assert events[-1]["response"]["previous_response_id"] == first
    upstream.play(Reply({**ANSWER, "previous_response_id": "resp_up_2"}))
    second = events[-1]["response"]["id"]
    _, _, body = await front.post({"model": "first/gpt-test", "input": "Hi", "previous_response_id": second})
    assert upstream.requests[2].body["previous_response_id"] == "resp_up_2"
    assert json.loads(body) == {**ANSWER, "previous_response_id": second}


async def test_a_json_answer_is_continued_by_its_own_id(front: House, upstream: FakeUpstream) -> None:
    raw = json.dumps({**ANSWER, "previous_response_id": "resp_upstream"}, indent=1).encode()
    upstream.play(Reply(ANSWER), Raw(raw, "application/json"))
    await front.post()
    asked = {"model": "first/gpt-test", "input": "Hi", "previous_response_id": "resp_upstream"}
    _, _, body = await front.post(asked)
    assert upstream.requests[1].body["previous_response_id"] == "resp_upstream"
    assert body == raw


async def test_an_id_that_the_house_never_saw_is_for_the_only_native_target_to_judge(
    front: House, upstream: FakeUpstream
) -> None:
    upstream.play(Reply(ANSWER))
    await front.post(
        {"model": "first/gpt-test", "input": "Hi", "previous_response_id": "resp_before_restart"}
    )
    assert upstream.requests[0].body["previous_response_id"] == "resp_before_restart"


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
async def test_a_response_goes_to_the_target_that_made_it_and_to_no_other(
    upstream: FakeUpstream, stream: bool
) -> None:
    async with fake_upstream() as other:
        providers = {
            "first": NativeProvider("first", upstream.url),
            "second": NativeProvider("second", other.url),
        }
        routes = {"both": (["first/gpt-test", "second/gpt-test"], [])}
        async with house(providers, routes, balance="round_robin") as front:
            upstream.play(Stream(*native.text("Hi")))
            other.play(Stream(*native.text("Hi")))
            made = (await front.stream(model="both"))[-1]["response"]["id"]
            for _ in range(3):
                upstream.play(Stream(*native.text("Hi")) if stream else Reply(ANSWER))
                asked = {"model": "both", "input": "Hi", "stream": stream, "previous_response_id": made}
                status, headers, _ = await front.post(asked)
                assert (status, headers["x-maestro-target"]) == (200, "first/gpt-test")
            asked["previous_response_id"] = "resp_unknown"
            status, _, body = await front.post(asked)
            error = json.loads(body)["error"]
            assert (status, error["code"]) == (400, "previous_response_not_found")
            assert error["param"] == "previous_response_id"
            assert len(upstream.requests) == 4
            assert not other.requests


async def test_another_clients_response_is_unknown(upstream: FakeUpstream) -> None:
    providers = {
        "first": NativeProvider("first", upstream.url),
        "second": NativeProvider("second", upstream.url),
    }
    routes = {"both": (["first/gpt-test", "second/gpt-test"], [])}
    async with house(providers, routes, keys={"alice": "sk-alice", "bob": "sk-bob"}) as front:
        upstream.play(Reply(ANSWER))
        asked: Event = {"model": "both", "input": "Hi"}
        await front.post(asked, headers={"authorization": "Bearer sk-alice"})
        asked["previous_response_id"] = "resp_upstream"
        status, _, _ = await front.post(asked, headers={"authorization": "Bearer sk-alice"})
        assert status == 200
        status, _, body = await front.post(asked, headers={"authorization": "Bearer sk-bob"})
        assert (status, json.loads(body)["error"]["code"]) == (400, "previous_response_not_found")


async def test_a_response_that_is_not_stored_cannot_be_continued(
    front: House, upstream: FakeUpstream
) -> None:
    upstream.play(Stream(*native.text("Hi")))
    made = (await front.stream(store=False))[-1]["response"]
    status, _, body = await front.post(
        {"model": "first/gpt-test", "input": "Hi", "previous_response_id": made["id"]}
    )
    assert (status, json.loads(body)["error"]["code"]) == (400, "previous_response_not_found")


async def test_a_translated_target_can_continue_no_response() -> None:
    async with house({"home": Translated()}) as front:
        asked = {"model": "home/m", "input": "Hi", "previous_response_id": "resp_1"}
        status, _, body = await front.post(asked)
        assert (status, json.loads(body)["error"]["code"]) == (400, "previous_response_not_found")


# item_reference

REFERENCE = {"type": "item_reference", "id": "msg_upstream"}


async def test_a_reference_is_an_item_for_a_translated_target_and_itself_for_its_maker(
    upstream: FakeUpstream, logged: list[MutableMapping[str, Any]]
) -> None:
    home = Translated(native.response(status="completed", output=[native.message("Hello", "msg_home")]))
    providers: dict[str, Any] = {"first": NativeProvider("first", upstream.url), "home": home}
    async with house(providers) as front:
        upstream.play(Stream(*native.text("Hi")))
        await front.stream()
        items = [{"role": "user", "content": "a"}, REFERENCE, {"type": "item_reference", "id": "msg_unknown"}]
        await front.post({"model": "home/m", "input": items})
        assert home.bodies[-1]["input"] == [items[0], native.message("Hi")]
        (line,) = [line for line in logged if line["event"].startswith("input items dropped")]
        assert line["items"] == ["msg_unknown"]
        upstream.play(Reply(ANSWER))
        await front.post({"model": "first/gpt-test", "input": items})
        assert upstream.requests[-1].body["input"] == items


async def test_a_native_target_gets_the_items_of_a_translated_one(upstream: FakeUpstream) -> None:
    providers: dict[str, Any] = {"first": NativeProvider("first", upstream.url), "home": Translated()}
    async with house(providers) as front:
        await front.post({"model": "home/m", "input": "Hi"})
        upstream.play(Reply(ANSWER))
        await front.post({"model": "first/gpt-test", "input": [REFERENCE]})
        assert upstream.requests[0].body["input"] == ANSWER["output"]


# stopping


async def test_stopping_ends_each_stream_by_a_terminal_event_and_json_by_a_503(
    front: House, upstream: FakeUpstream
) -> None:
    upstream.play(Stream(*native.text("Hel", "lo")[:5], STALL), STALL)
    async with raw_client(front.url) as streaming, raw_client(front.url) as waiting:
        await streaming.post({"model": MODEL, "input": "Hi", "stream": True})
        await streaming.read_until(b"output_text.delta")
        await waiting.post({"model": MODEL, "input": "Hi"})
        await upstream.asked.get()
        await upstream.asked.get()
        await front.handler.under_way.end()
        await streaming.read_until(b"[DONE]")
        await waiting.read_until(b'"code":"server_error"')
        assert waiting.body.startswith(b"HTTP/1.1 503 ")
        assert b"event: response.failed" in streaming.body
        assert streaming.body.count(b"HTTP/1.1") == 1
    assert [(await upstream.left.get()) for _ in range(2)] == ["/v1/responses"] * 2
    outcomes = [await front.heard.outcomes.get() for _ in range(2)]
    assert sorted((outcome.status, outcome.http_status) for outcome in outcomes) == [
        ("failed", 200),
        ("refused", 503),
    ]


@pytest.mark.parametrize("where", ["in the middle", "at the end"])
async def test_stopping_does_not_spoil_an_answer_whose_client_reads_slowly(
    upstream: FakeUpstream, where: str
) -> None:
    events = json.loads(json.dumps(HELLO))
    if where == "in the middle":
        events[4]["delta"] = "x" * 10_000_000
    else:
        events[-1]["response"]["instructions"] = "x" * 10_000_000
    frames = native.frames(events)
    upstream.play(Stream(*frames))
    provider = NativeProvider("first", upstream.url)
    async with (
        house({"first": provider}, ROUTES, send_timeout=0.2) as front,
        raw_client(front.url, deaf=True) as client,
    ):
        await client.post({"model": MODEL, "input": "Hi", "stream": True})
        await upstream.asked.get()
        for _ in range(2000):
            await asyncio.sleep(0)
        await front.handler.under_way.end()
        outcome = await front.heard.outcomes.get()
        assert outcome.status == ("completed" if where == "at the end" else "failed")
        client.listen()
        with contextlib.suppress(ConnectionError):  # it was dropped
            await client.read_all()
        assert client.body.count(b"HTTP/1.1") == 1


async def test_a_defect_of_a_provider_ends_the_stream_and_is_logged(
    logged: list[MutableMapping[str, Any]],
) -> None:
    class Defective(Translated):
        async def stream(self, request: ResponseRequest) -> AsyncGenerator[ResponseEvent, None]:
            yield Accepted()
            yield named(HELLO[2])
            raise KeyError("sk-secret")

    async with house({"home": Defective()}) as front:
        _, _, body = await front.post({"model": "home/m", "input": "Hi", "stream": True})
    response = check_stream(events_of(body))
    assert response["status"] == "failed"
    assert b"sk-secret" not in body
    assert [line["event"] for line in logged if line["log_level"] == "error"] == ["provider raised"]


async def test_a_client_that_waits_for_the_word_to_send_its_body_gets_it(
    front: House, upstream: FakeUpstream
) -> None:
    upstream.play(Reply(ANSWER))
    body = b'{"model":"first/gpt-test","input":"Hi"}'
    reader, writer = await asyncio.open_connection("127.0.0.1", URL(front.url).port)
    writer.write(
        b"POST /v1/responses HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\n"
        b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body)
    )
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(body)
    assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
    writer.close()


@pytest.mark.parametrize(
    "path", ["/v1/responses?api-version=1", "/api/openai/v1/responses", "/v1/%72esponses"]
)
async def test_the_route_may_be_spelt_otherwise(front: House, upstream: FakeUpstream, path: str) -> None:
    upstream.play(Reply(ANSWER))
    body = {"model": "first/gpt-test", "input": "Hi"}
    async with front.session.post(URL(front.url + path, encoded=True), json=body) as answer:
        assert answer.status == 200
