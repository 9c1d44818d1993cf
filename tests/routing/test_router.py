"""Targets tried in turn: which are asked, what ends an attempt, and that everything opened is closed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, MutableMapping
from typing import Any

import pytest

from maestro_daemon.errors import MaestroError, RequestInvalid, UpstreamBroken, UpstreamRefused
from maestro_daemon.events import Accepted, ResponseEvent
from maestro_daemon.plugin import Reply
from maestro_daemon.request import ResponseRequest
from tests.support import native
from tests.support.core import named
from tests.support.scripted import ANSWER, HELLO, Bench, Scripted, whole

BEFORE_OUTPUT: list[tuple[str, Callable[[], Scripted]]] = [
    ("refused", lambda: Scripted(UpstreamRefused("no", status=501), reply=UpstreamRefused("no", status=501))),
    (
        "unsupported",
        lambda: Scripted(RequestInvalid("cannot be said"), reply=RequestInvalid("cannot be said")),
    ),
    (
        "accepted, then broken",
        lambda: Scripted(Accepted(), UpstreamBroken("cut"), reply=UpstreamBroken("cut")),
    ),
    ("ended at once", lambda: Scripted(reply=b"")),
    ("ended after its preamble", lambda: Scripted(Accepted(), *map(named, HELLO[:2]), reply={})),
    (
        "an error event",
        lambda: Scripted(
            Accepted(),
            named(HELLO[0]),
            named({"type": "error", "message": "no"}),
            reply={"error": {"message": "no"}},
        ),
    ),
    (
        "a failed response",
        lambda: Scripted(
            named(
                {
                    "type": "response.failed",
                    "response": native.response(status="failed", error={"message": "no"}),
                }
            ),
            reply=native.response(status="failed", error={"message": "no"}),
        ),
    ),
    ("garbage", lambda: Scripted(Accepted(), ResponseEvent("response.x", b"\xff"), reply=b"\xff")),
    ("a defect of the plugin", lambda: Scripted(KeyError("oops"), reply=KeyError("oops"))),
    (
        "a plugin that cancels itself",
        lambda: Scripted(Accepted(), asyncio.CancelledError(), reply=asyncio.CancelledError()),
    ),
    ("a plugin that exits", lambda: Scripted(SystemExit(3), reply=SystemExit(3))),
    ("a plugin whose library panics", lambda: Scripted(BaseException(), reply=BaseException())),
    ("not a response", lambda: Scripted(ResponseEvent("response.completed", b"{}"), reply=[1])),
]


@pytest.mark.parametrize("make", [make for _, make in BEFORE_OUTPUT], ids=[name for name, _ in BEFORE_OUTPUT])
async def test_a_failure_before_any_output_goes_on_to_the_next_target(make: Callable[[], Scripted]) -> None:
    bench = Bench(make(), whole())
    assert await bench.events() == [event["type"] for event in HELLO[2:]]
    assert bench.asked == ["p1/m", "p2/m"]
    first, second = bench.progress.attempts
    assert first.error is not None
    assert second.error is None
    assert second.first_output_after is not None
    bench.check_closed()


@pytest.mark.parametrize("make", [make for _, make in BEFORE_OUTPUT], ids=[name for name, _ in BEFORE_OUTPUT])
async def test_a_json_answer_that_fails_goes_on_to_the_next_target(make: Callable[[], Scripted]) -> None:
    bench = Bench(make(), whole())
    completed = await bench.router.complete(bench.request, bench.progress)
    assert completed.response == ANSWER
    assert bench.asked == ["p1/m", "p2/m"]
    assert bench.progress.attempts[0].error is not None


@pytest.mark.parametrize("make", [make for _, make in BEFORE_OUTPUT], ids=[name for name, _ in BEFORE_OUTPUT])
async def test_when_all_fail_one_error_of_the_house_says_so(make: Callable[[], Scripted]) -> None:
    bench = Bench(make(), make())
    with pytest.raises(MaestroError):
        await bench.events()
    assert bench.asked == ["p1/m", "p2/m"]
    bench.check_closed()
    bench = Bench(make(), make())
    with pytest.raises(MaestroError):
        await bench.router.complete(bench.request, bench.progress)
    assert bench.asked == ["p1/m", "p2/m"]


async def test_the_clients_fault_is_tried_nowhere_else() -> None:
    fault = UpstreamRefused("bad", status=400, code="invalid_value", param="input")
    bench = Bench(Scripted(fault, reply=fault), whole())
    for ask in (bench.events, lambda: bench.router.complete(bench.request, bench.progress)):
        with pytest.raises(MaestroError, match="bad") as refused:
            await ask()
        assert (refused.value.status, refused.value.code, refused.value.param) == (
            400,
            "invalid_value",
            "input",
        )
    assert bench.asked == ["p1/m", "p1/m"]


async def test_after_the_first_output_no_other_target_is_asked() -> None:
    for failure in (UpstreamBroken("cut"), KeyError("oops")):
        bench = Bench(Scripted(Accepted(), *map(named, HELLO[:4]), failure), whole())
        with pytest.raises(UpstreamBroken):
            await bench.events()
        assert bench.asked == ["p1/m"]
        assert bench.progress.attempts[0].error is not None
        bench.check_closed()


async def test_a_stream_that_stops_after_output_is_broken() -> None:
    bench = Bench(Scripted(Accepted(), *map(named, HELLO[:4])), whole())
    with pytest.raises(UpstreamBroken, match="p1 ended its stream"):
        await bench.events()
    bench.check_closed()


async def test_what_a_plugin_raises_is_logged_and_its_words_are_not_told(
    logged: list[MutableMapping[str, Any]],
) -> None:
    bench = Bench(Scripted(KeyError("sk-secret")))
    with pytest.raises(MaestroError) as failed:
        await bench.events()
    assert "sk-secret" not in failed.value.message
    assert "KeyError" in failed.value.message
    (line,) = [line for line in logged if line["event"] == "provider raised"]
    assert line["target"] == "p1/m"


async def test_the_first_acceptance_is_told_before_any_output() -> None:
    never = asyncio.Event()
    bench = Bench(Scripted(Accepted({"x-from": "up"}), never))
    stream = await bench.router.stream(bench.request, bench.progress)
    assert stream.headers == {"x-from": "up"}
    assert stream.target is not None
    assert stream.target.name == "p1/m"
    assert bench.progress.attempts[0].accepted_after is not None
    async with stream:
        pass
    bench.check_closed()


async def test_any_preamble_event_stands_for_acceptance() -> None:
    bench = Bench(Scripted(ResponseEvent("response.created", b"not read"), *map(named, HELLO[1:])))
    assert await bench.events() == [event["type"] for event in HELLO[2:]]


async def test_leaving_closes_the_upstream_wherever_it_stands() -> None:
    never = asyncio.Event()
    for steps in ([never], [Accepted(), never], [Accepted(), *map(named, HELLO[:4]), never]):
        bench = Bench(Scripted(*steps))
        task = asyncio.create_task(bench.events())
        await bench.providers["p1"].began.wait()
        for _ in range(20):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert bench.asked == ["p1/m"]
        assert bench.progress.attempts[0].error is None
        bench.check_closed()


async def test_leaving_a_json_request_ends_the_attempt() -> None:
    bench = Bench(Scripted(reply=asyncio.Event()), whole())
    task = asyncio.create_task(bench.router.complete(bench.request, bench.progress))
    await bench.providers["p1"].began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert bench.asked == ["p1/m"]
    assert bench.heard.attempts == bench.progress.attempts


@pytest.mark.parametrize(
    "reply",
    [ANSWER, json.dumps(ANSWER).encode(), Reply(json.dumps(ANSWER).encode(), {"x-ratelimit-a": "1"})],
    ids=["dict", "bytes", "Reply"],
)
async def test_an_answer_may_be_a_dict_bytes_or_a_reply(reply: Any) -> None:
    bench = Bench(Scripted(reply=reply))
    completed = await bench.router.complete(bench.request, bench.progress)
    assert json.loads(completed.body) == completed.response == ANSWER
    if isinstance(reply, Reply):
        assert completed.body is reply.body
        assert completed.headers == reply.headers


async def test_large_integers_of_an_answer_survive_the_id_of_what_it_continues() -> None:
    large = [2**64, -(2**63) - 1, 10**30]
    answer = {**ANSWER, "previous_response_id": "resp_theirs", "metadata": {"large": large}}
    bench = Bench(Scripted(reply=json.dumps(answer).encode()))
    body = {**bench.request.body, "previous_response_id": "resp_before_restart"}
    request = ResponseRequest(body=body, model="r", asked_model="r")
    completed = await bench.router.complete(request, bench.progress)
    told = {**answer, "previous_response_id": "resp_before_restart"}
    assert json.loads(completed.body) == completed.response == told


async def test_an_incomplete_answer_is_an_answer() -> None:
    answer = native.response(status="incomplete", incomplete_details={"reason": "content_filter"})
    bench = Bench(Scripted(reply=answer))
    assert (await bench.router.complete(bench.request, bench.progress)).response == answer


async def test_a_json_answer_is_remembered_by_its_client() -> None:
    bench = Bench(whole())
    await bench.router.complete(bench.request, bench.progress)
    origin = bench.memory.origin("", "resp_upstream")
    assert origin is not None
    assert (origin.provider, origin.upstream_id, origin.native) == ("p1", "resp_upstream", True)
    assert bench.memory.item("", "msg_upstream") is not None


async def test_a_dropped_reference_is_logged_by_its_id(logged: list[MutableMapping[str, Any]]) -> None:
    bench = Bench(whole())
    bench.providers["p1"].keeps_responses = lambda model: False
    body = {**bench.request.body, "input": [{"type": "item_reference", "id": "msg_gone"}]}
    request = ResponseRequest(body=body, model="r", asked_model="r")
    await bench.router.complete(request, bench.progress)
    (line,) = [line for line in logged if line["event"].startswith("input items dropped")]
    assert line["items"] == ["msg_gone"]
