"""Whatever an upstream does wrong: what the client sees, who is asked next, and that nothing stays open."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator, Mapping, MutableMapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from multidict import CIMultiDict

from maestro_daemon.protocol import sse
from tests.support import native
from tests.support.core import MODEL
from tests.support.fake_upstream import FakeUpstream, Reply, Stream, refusal
from tests.support.house import House, NativeProvider, house, no_retries
from tests.support.oracle import check_stream
from tests.support.raw_stream import events_of
from tests.support.raw_upstream import (
    CLOSE,
    READ,
    RESET,
    STALL,
    STREAM_HEAD,
    RawUpstream,
    Step,
    answer,
    chunks,
    raw_upstream,
)

HELLO = native.events(native.message_events(["Hel", "lo"]))
FRAMES = native.frames(HELLO)
ANSWER = native.response(status="completed", output=[native.message("Hello")])


def streaming(*frames: bytes, end: bool = False) -> list[Step]:
    """An accepted stream of these frames; without `end` its body goes on."""
    return [READ, STREAM_HEAD, *([chunks(frames, end=end)] if frames or end else [])]


def told(status: int, code: str | None = None, message: str = "No.", **headers: str) -> list[Step]:
    """A refusal in OpenAI's envelope."""
    error = {"message": message, "type": "t", "param": "p", "code": code}
    return [READ, answer(json.dumps({"error": error}).encode(), f"{status} X", **headers)]


@dataclass(frozen=True)
class Answered:
    """What a client got."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def error(self) -> dict[str, Any]:
        """The error of the envelope."""
        document = json.loads(self.body)
        assert document.keys() == {"error"}
        assert document["error"].keys() == {"message", "type", "param", "code"}
        assert self.headers["Content-Type"].startswith("application/json")
        error: dict[str, Any] = document["error"]
        return error

    @property
    def response(self) -> dict[str, Any]:
        """The Response: that of the JSON answer, or the judged stream's."""
        if self.headers["Content-Type"].startswith("application/json"):
            response: dict[str, Any] = json.loads(self.body)
            return response
        return check_stream(events_of(self.body))

    @property
    def types(self) -> list[str]:
        """The stream's event types, without ``response.``."""
        return [event.type.removeprefix("response.") for event in events_of(self.body)]


class Trial:
    """A house whose route leads to a faulty upstream first, and perhaps to a good one then."""

    def __init__(self, front: House, raw: RawUpstream | None, upstream: FakeUpstream) -> None:
        self.front = front
        self.raw = raw
        self.upstream = upstream

    async def ask(self, stream: bool) -> Answered:
        status, headers, body = await self.front.post({"model": MODEL, "input": "Hi", "stream": stream})
        answered = Answered(status, CIMultiDict(headers), body)
        # The answer was whole before the upstream's connection was seen off.
        await self.front.handler.under_way.none()
        assert self.front.heard.outcomes.qsize() == 1
        assert len(self.front.handler.under_way) == 0
        return answered


@asynccontextmanager
async def trial(
    script: Sequence[Step] | str,
    upstream: FakeUpstream,
    *,
    second: bool,
    fallback: bool = False,
    logged: Sequence[MutableMapping[str, Any]] = (),
) -> AsyncIterator[Trial]:
    """`script` is what the first upstream does, or the URL at which it is not."""
    times = {"first_byte_timeout": 0.1, "idle_timeout": 0.1}
    later = ["second/gpt-test"] if second else []
    routes = {MODEL: (["first/gpt-test"], later) if fallback else (["first/gpt-test", *later], [])}
    good = NativeProvider("second", upstream.url)
    if isinstance(script, str):
        providers = {"first": NativeProvider("first", script, **times), "second": good}
        async with house(providers, routes, budget=no_retries()) as front:
            yield Trial(front, None, upstream)
    else:
        async with raw_upstream(script) as raw:
            first = NativeProvider("first", raw.url, **times)
            async with house({"first": first, "second": good}, routes, budget=no_retries()) as front:
                yield Trial(front, raw, upstream)
            await raw.deserted()
    for line in logged:
        assert "exc_info" not in line, line
        assert line["log_level"] not in ("error", "critical"), line


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# A fault, and the status and code that a client gets when there is no other target.
BEFORE_ACCEPTANCE: dict[str, tuple[Sequence[Step] | str, int, str | None]] = {
    "400 of the target": (told(400, "context_length_exceeded"), 400, "context_length_exceeded"),
    "400 unsupported": (told(400, "unsupported_value"), 400, "unsupported_value"),
    "401": (told(401, "invalid_api_key"), 502, "upstream_credentials_refused"),
    "402": (told(402), 429, "insufficient_quota"),
    "403": (told(403), 502, "upstream_credentials_refused"),
    "404": (told(404, "model_not_found"), 404, "model_not_found"),
    "408": (told(408), 502, "upstream_error"),
    "409": (told(409), 409, None),
    "413": (told(413), 413, None),
    "429": (told(429, "rate_limit_exceeded"), 429, "rate_limit_exceeded"),
    "429 with a time": (told(429, None, retry_after="7"), 429, "rate_limit_exceeded"),
    "429 of quota": (told(429, "insufficient_quota"), 429, "insufficient_quota"),
    "500": (told(500), 502, "upstream_error"),
    "502": (told(502), 502, "upstream_error"),
    "503": (told(503, "server_is_overloaded"), 503, "server_is_overloaded"),
    "529": (told(529), 503, "upstream_error"),
    "HTML": ([READ, answer(b"<html>Bad</html>", "502 X", content_type="text/html")], 502, "upstream_error"),
    "HTML with 200": ([READ, answer(b"<html>", content_type="text/html")], 502, "upstream_broken"),
    "an empty body": ([READ, answer(b"", "500 X")], 502, "upstream_error"),
    "a redirect": ([READ, answer(b"", "302 X", location="https://x.invalid")], 502, "upstream_error"),
    "accepts and closes": ([CLOSE], 502, "upstream_unreachable"),
    "reads and closes": ([READ, CLOSE], 502, "upstream_unreachable"),
    "reads and resets": ([READ, RESET], 502, "upstream_unreachable"),
    "half of the headers": ([READ, b"HTTP/1.1 200 OK\r\nconte", CLOSE], 502, "upstream_unreachable"),
    "no HTTP": ([READ, b"\x15\x03\x01\x00\x02\x02\r\n\r\n", CLOSE], 502, "upstream_broken"),
    "broken chunks": ([READ, STREAM_HEAD + b"zz\r\n", STALL], 502, "upstream_broken"),
    "silence": ([READ, STALL], 502, "upstream_unreachable"),
    "nobody listens": ("nobody", 502, "upstream_unreachable"),
    "no such host": ("http://no-such-host.invalid/v1", 502, "upstream_unreachable"),
    "an error as JSON with 200": (
        [READ, answer(b'{"error": {"message": "No.", "code": "server_is_overloaded"}}')],
        503,
        "server_is_overloaded",
    ),
    "a failed Response with 200": (
        [
            READ,
            answer(
                json.dumps(
                    native.response(status="failed", error={"code": "rate_limit_exceeded", "message": "No."})
                ).encode()
            ),
        ],
        429,
        "rate_limit_exceeded",
    ),
    "JSON that is no Response": ([READ, answer(b'{"hello": "world"}')], 502, "upstream_broken"),
    "cut JSON": ([READ, answer(b'{"id": ', content_length="99"), CLOSE], 502, "upstream_broken"),
    "silence in JSON": ([READ, answer(b'{"id": ', content_length="99"), STALL], 502, "upstream_unreachable"),
}


def _script(name: str) -> Sequence[Step] | str:
    script = BEFORE_ACCEPTANCE[name][0]
    return f"http://127.0.0.1:{free_port()}/v1" if script == "nobody" else script


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize("name", BEFORE_ACCEPTANCE)
async def test_a_lone_targets_refusal_is_an_http_error(
    name: str, stream: bool, upstream: FakeUpstream, logged: list[MutableMapping[str, Any]]
) -> None:
    _, status, code = BEFORE_ACCEPTANCE[name]
    if stream and name == "a failed Response with 200":
        status = 200  # the stream had been accepted when its failure was read
    async with trial(_script(name), upstream, second=False, logged=logged) as tried:
        got = await tried.ask(stream)
        assert got.status == status
        if status == 200:
            assert got.response["error"]["code"] == code
            return
        assert got.error["code"] == code
        assert got.error["message"]
        assert (got.headers["x-maestro-target"], got.headers["x-maestro-attempts"]) == ("first/gpt-test", "1")
        assert got.headers["x-request-id"]
        if status in (429, 503):
            assert int(got.headers["retry-after"]) >= 1
        outcome = await tried.front.heard.outcomes.get()
        assert (outcome.status, outcome.http_status) == ("refused", status)


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize("fallback", [False, True], ids=["target", "fallback"])
@pytest.mark.parametrize("name", BEFORE_ACCEPTANCE)
async def test_after_a_refusal_the_next_target_answers(
    name: str, fallback: bool, stream: bool, upstream: FakeUpstream, logged: list[MutableMapping[str, Any]]
) -> None:
    upstream.play(Stream(*FRAMES) if stream else Reply(ANSWER))
    async with trial(_script(name), upstream, second=True, fallback=fallback, logged=logged) as tried:
        got = await tried.ask(stream)
        assert got.status == 200
        assert got.response["output"] == ANSWER["output"]
        attempts = tried.front.heard.attempts
        assert [attempt.target for attempt in attempts] == ["first/gpt-test", "second/gpt-test"]
        assert [attempt.error is None for attempt in attempts] == [False, True]
        if not (stream and name == "a failed Response with 200"):
            assert got.headers["x-maestro-target"] == "second/gpt-test"
            assert got.headers["x-maestro-attempts"] == "2"
            assert b": maestro" not in got.body
        assert len(upstream.requests) == 1


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize(("status", "code"), [(400, None), (400, "invalid_value"), (422, "invalid_type")])
async def test_the_clients_fault_is_told_at_once(
    status: int, code: str | None, stream: bool, upstream: FakeUpstream
) -> None:
    async with trial(told(status, code, "Bad."), upstream, second=True) as tried:
        got = await tried.ask(stream)
        assert got.status == status
        assert got.error == {"message": "Bad.", "type": "t", "param": "p", "code": code}
        assert got.headers["x-maestro-attempts"] == "1"
        assert not upstream.requests


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
async def test_a_429_bears_its_time_and_the_upstreams_limits(stream: bool, upstream: FakeUpstream) -> None:
    limits = {"x_ratelimit_remaining_tokens": "0", "x_ratelimit_reset_tokens": "6m0s", "set_cookie": "a=b"}
    async with trial(told(429, None, retry_after="7", **limits), upstream, second=False) as tried:
        got = await tried.ask(stream)
        assert got.headers["retry-after"] == "7"
        assert got.headers["x-ratelimit-reset-tokens"] == "6m0s"
        assert "set-cookie" not in got.headers
        assert "try again in 7s" in got.error["message"]


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize(
    ("first", "second", "status", "code"),
    [
        (told(500), refusal(429, headers={"retry-after": "3"}), 429, "rate_limit_exceeded"),
        (told(429, None, retry_after="9"), refusal(500), 429, "rate_limit_exceeded"),
        (
            told(400, "context_length_exceeded"),
            refusal(400, code="context_length_exceeded"),
            400,
            "context_length_exceeded",
        ),
        (told(400, "context_length_exceeded"), refusal(500), 502, "upstream_error"),
        (told(500), refusal(400, code="invalid_value"), 400, "invalid_value"),
        (told(500), refusal(503), 503, "upstream_error"),
        (told(503), refusal(500), 502, "upstream_error"),
        ([READ, CLOSE], refusal(401), 502, "upstream_credentials_refused"),
    ],
)
async def test_when_all_refuse_one_error_is_chosen(
    first: Sequence[Step], second: Reply, status: int, code: str, stream: bool, upstream: FakeUpstream
) -> None:
    upstream.play(second)
    async with trial(first, upstream, second=True) as tried:
        got = await tried.ask(stream)
        assert (got.status, got.error["code"]) == (status, code)
        assert got.headers["x-maestro-attempts"] == "2"


ERROR = {"type": "server_error", "code": "server_error", "message": "No.", "param": None}
ERROR_EVENT = native.frame({"sequence_number": 2, **ERROR, "type": "error", "error": ERROR})
FAILED_EVENT = native.frame(
    {
        "type": "response.failed",
        "sequence_number": 2,
        "response": native.response(status="failed", error={"code": "server_error", "message": "No."}),
    }
)

BEFORE_OUTPUT: dict[str, Sequence[Step]] = {
    "closes after the headers": [*streaming(), CLOSE],
    "resets after the headers": [*streaming(), RESET],
    "ends without an event": streaming(end=True),
    "silence after the headers": [*streaming(), STALL],
    "cut after created": [*streaming(FRAMES[0]), CLOSE],
    "ends after the preamble": streaming(*FRAMES[:2], end=True),
    "silence after the preamble": [*streaming(*FRAMES[:2]), STALL],
    "only DONE": [*streaming(FRAMES[0], sse.DONE), STALL],
    "garbage": streaming(b"\x00\xff\xfe" * 50, end=True),
    "garbage that looks like records": [*streaming(b"data: \xff{{\n\n"), STALL],
    "garbage under a name": [*streaming(b"event: response.output_item.added\ndata: oops\n\n"), STALL],
    "half a frame": streaming(FRAMES[0], FRAMES[2][:60], end=True),
    "half a frame, then cut": [*streaming(FRAMES[0], FRAMES[2][:60]), CLOSE],
    "another content type": [READ, answer(b"Welcome!", content_type="text/plain")],
    "an error event": [*streaming(FRAMES[0], ERROR_EVENT), STALL],
    "a failed response": [*streaming(FRAMES[0], FAILED_EVENT), STALL],
    "a terminal event without a response": [
        *streaming(FRAMES[0], native.frame({"type": "response.completed"})),
        STALL,
    ],
}


@pytest.mark.parametrize("name", BEFORE_OUTPUT)
async def test_a_lone_target_that_fails_before_any_output_ends_as_failed(
    name: str, upstream: FakeUpstream, logged: list[MutableMapping[str, Any]]
) -> None:
    async with trial(BEFORE_OUTPUT[name], upstream, second=False, logged=logged) as tried:
        got = await tried.ask(True)
        assert got.status == 200
        assert got.types == ["created", "in_progress", "error", "failed"]
        assert got.response["error"]["code"] == "server_error"
        assert got.response["output"] == []
        outcome = await tried.front.heard.outcomes.get()
        assert (outcome.status, outcome.http_status) == ("failed", 200)


@pytest.mark.parametrize("name", BEFORE_OUTPUT)
async def test_before_any_output_the_next_target_goes_on_under_the_same_id(
    name: str, upstream: FakeUpstream, logged: list[MutableMapping[str, Any]]
) -> None:
    upstream.play(Stream(*FRAMES))
    async with trial(BEFORE_OUTPUT[name], upstream, second=True, logged=logged) as tried:
        got = await tried.ask(True)
        assert got.types == [event["type"].removeprefix("response.") for event in HELLO]
        assert got.response["output"] == ANSWER["output"]
        assert (got.headers["x-maestro-target"], got.headers["x-maestro-attempts"]) == ("first/gpt-test", "1")
        comment = b": maestro target=second/gpt-test attempts=2\n\n"
        before, found, after = got.body.partition(comment)
        assert found
        assert before.count(b"event: ") == 2
        assert after.startswith(b"event: response.output_item.added\n")
        assert comment not in after


@pytest.mark.parametrize(
    ("second", "code", "said"),
    [
        (refusal(429, headers={"retry-after": "4"}), "rate_limit_exceeded", "try again in 4s"),
        (refusal(500, "Oops."), "server_error", "Oops."),
        (refusal(400, "Bad.", code="invalid_value"), "invalid_prompt", "Bad."),
        (refusal(401), "server_error", "credentials"),
    ],
)
async def test_after_the_preamble_the_choice_among_all_failures_makes_the_code(
    second: Reply, code: str, said: str, upstream: FakeUpstream
) -> None:
    upstream.play(second)
    async with trial(streaming(end=True), upstream, second=True) as tried:
        got = await tried.ask(True)
        assert got.types == ["created", "in_progress", "error", "failed"]
        assert got.response["error"]["code"] == code
        assert said in got.response["error"]["message"]


AFTER_OUTPUT: dict[str, Sequence[Step]] = {
    "cut after the item": [*streaming(*FRAMES[:3]), CLOSE],
    "cut after the first delta": [*streaming(*FRAMES[:5]), CLOSE],
    "reset after the first delta": [*streaming(*FRAMES[:5]), RESET],
    "cut within a delta": [*streaming(*FRAMES[:5], FRAMES[5][:40]), CLOSE],
    "cut before the terminal event": [*streaming(*FRAMES[:-1]), CLOSE],
    "ends before the terminal event": streaming(*FRAMES[:-1], end=True),
    "ends with DONE alone": [*streaming(*FRAMES[:-1], sse.DONE), STALL],
    "half of the terminal event": streaming(*FRAMES[:-1], FRAMES[-1][:80], end=True),
    "silence": [*streaming(*FRAMES[:5]), STALL],
    "garbage under a name": [*streaming(*FRAMES[:5], b"event: response.x\ndata: {oops\n\n"), STALL],
    "broken UTF-8": [*streaming(*FRAMES[:5], b'event: response.x\ndata: {"a":"\xff"}\n\n'), STALL],
    "an error event, then silence": [*streaming(*FRAMES[:5], ERROR_EVENT), STALL],
    "an error event, then the end": streaming(*FRAMES[:5], ERROR_EVENT, end=True),
    "an error event, then failed": [*streaming(*FRAMES[:5], ERROR_EVENT, FAILED_EVENT), STALL],
    "an error event, then more": [*streaming(*FRAMES[:5], ERROR_EVENT, *FRAMES[5:]), STALL],
    "failed": [*streaming(*FRAMES[:5], FAILED_EVENT), STALL],
    "a terminal event without a response": [
        *streaming(*FRAMES[:5], native.frame({"type": "response.completed"})),
        STALL,
    ],
}


@pytest.mark.parametrize("name", AFTER_OUTPUT)
async def test_after_the_first_output_the_stream_ends_as_failed_and_nobody_else_is_asked(
    name: str, upstream: FakeUpstream, logged: list[MutableMapping[str, Any]]
) -> None:
    async with trial(AFTER_OUTPUT[name], upstream, second=True, logged=logged) as tried:
        got = await tried.ask(True)
        assert got.types[-1] == "failed"
        assert got.types.count("error") == (name != "failed")
        response = got.response
        assert response["error"]["code"] == "server_error"
        assert [item["id"] for item in response["output"]] == ["msg_upstream"]
        assert not upstream.requests
        outcome = await tried.front.heard.outcomes.get()
        assert (outcome.status, outcome.http_status) == ("failed", 200)
        assert outcome.error is not None
        assert [attempt.succeeded for attempt in outcome.attempts] == [False]


@pytest.mark.parametrize("size", [1, 2, 5])
async def test_bytes_that_drip_make_the_same_stream(size: int, upstream: FakeUpstream) -> None:
    events = native.events(native.message_events(["é", "😀"]))
    body = b"".join(
        sse.frame(event["type"], json.dumps(event, ensure_ascii=False).encode()) for event in events
    )
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    async with trial([*streaming(*pieces, end=True), STALL], upstream, second=False) as tried:
        got = await tried.ask(True)
        assert got.response["output"][0]["content"][0]["text"] == "é😀"


async def test_a_terminal_event_without_items_is_filled_from_the_stream(upstream: FakeUpstream) -> None:
    empty = {**HELLO[-1], "response": {**HELLO[-1]["response"], "output": []}}
    script = [*streaming(*FRAMES[:-1], native.frame(empty)), STALL]
    async with trial(script, upstream, second=False) as tried:
        got = await tried.ask(True)
        assert got.response["status"] == "completed"
        assert got.response["output"] == ANSWER["output"]


async def test_failures_of_an_item_that_was_cut_keep_its_text(upstream: FakeUpstream) -> None:
    async with trial(AFTER_OUTPUT["cut after the first delta"], upstream, second=False) as tried:
        got = await tried.ask(True)
        (item,) = got.response["output"]
        assert item["status"] == "incomplete"
        assert item["content"][0]["text"] == "Hel"


async def test_a_house_that_was_hurt_serves_on(upstream: FakeUpstream) -> None:
    upstream.play(Stream(*FRAMES))
    async with raw_upstream([READ, RESET]) as raw:
        providers = {
            "first": NativeProvider("first", raw.url),
            "second": NativeProvider("second", upstream.url),
        }
        async with house(providers, {MODEL: (["first/gpt-test"], ["second/gpt-test"])}) as front:
            for _ in range(30):
                status, _, body = await front.post({"model": MODEL, "input": "Hi", "stream": True})
                assert status == 200
                assert check_stream(events_of(body))["status"] == "completed"
            assert len(front.handler.under_way) == 0
        await raw.deserted()
