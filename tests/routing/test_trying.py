"""What an attempt may take, what it leaves behind, and what a client is told while targets cool down."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest

from maestro_daemon.errors import (
    ConnectionLost,
    CredentialsRefused,
    DeadlinePassed,
    MaestroError,
    UpstreamBroken,
    UpstreamRefused,
    UpstreamUnreachable,
)
from maestro_daemon.events import Accepted, ResponseEvent
from maestro_daemon.request import Timeouts
from maestro_daemon.routing.router import Progress
from maestro_daemon.routing.terms import Patience, Terms
from tests.support import native
from tests.support.core import named
from tests.support.scripted import ANSWER, HELLO, Bench, Scripted, whole

TYPES = [event["type"] for event in HELLO[2:]]
SILENT = UpstreamUnreachable("nobody there")


def fails(error: BaseException) -> Scripted:
    return Scripted(error, reply=error)


def row(bench: Bench, provider: str = "p1") -> dict[str, Any]:
    (found,) = [each for each in bench.health.snapshot() if each["target"] == f"{provider}/m"]
    return found


async def error_of(bench: Bench, *, stream: bool = True) -> MaestroError:
    with pytest.raises(MaestroError) as raised:
        await (bench.events() if stream else bench.answer())
    return raised.value


async def handle(bench: Bench, seen: list[str], *, seconds: float = 0.0) -> None:
    """Take a stream's events, each of which needs `seconds` until it is handled."""
    async with await bench.router.stream(bench.request, bench.progress) as events:
        async for event in events:
            await asyncio.sleep(seconds)
            seen.append(event.type)


class Flaky(Scripted):
    """Fails first, as often as there are errors."""

    def __init__(self, *errors: BaseException) -> None:
        super().__init__(*whole().steps, reply=ANSWER)
        self.errors = list(errors)

    async def complete(self, request: Any) -> Any:
        if self.errors:
            self.asked.append(request)
            raise self.errors.pop(0)
        return await super().complete(request)

    def stream(self, request: Any) -> Any:
        if self.errors:
            return Scripted(self.errors.pop(0)).stream(request)
        return super().stream(request)


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "json"])
@pytest.mark.parametrize(
    "error",
    [
        ConnectionLost("reset"),
        UpstreamRefused("oops", status=500),
        UpstreamRefused("soon", status=503, retry_after=0.01),
    ],
    ids=["reset", "500", "503 that says when"],
)
async def test_what_passes_is_tried_again_where_it_happened(error: MaestroError, stream: bool) -> None:
    bench = Bench(Flaky(error), whole())
    await (bench.events() if stream else bench.answer())
    assert bench.asked == ["p1/m", "p1/m"]
    assert bench.progress.attempts[0].wait > 0
    assert row(bench)["failures"] == 1


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "json"])
async def test_three_failures_set_a_target_aside(stream: bool) -> None:
    bench = Bench(fails(UpstreamBroken("cut")), whole())
    for _ in range(3):
        await (bench.events() if stream else bench.answer())
    assert row(bench)["state"] == "open"
    bench.progress = Progress()
    await (bench.events() if stream else bench.answer())
    assert bench.asked == ["p2/m"]


async def test_a_stream_cut_after_its_first_output_counts_as_a_failure() -> None:
    bench = Bench(Scripted(Accepted(), *map(named, HELLO[:4]), UpstreamBroken("cut")))
    for _ in range(3):
        await error_of(bench)
    assert row(bench)["cause"] == "broken"
    assert row(bench)["state"] == "open"


async def test_a_failed_answer_after_output_counts_though_its_stream_ended_well() -> None:
    failed = native.response(status="failed", error={"code": "server_error", "message": "no"})
    ending = named({"type": "response.failed", "response": failed})
    bench = Bench(Scripted(Accepted(), *map(named, HELLO[:4]), ending))
    for _ in range(3):
        assert (await bench.events())[-1] == "response.failed"
    assert row(bench)["state"] == "open"
    assert bench.progress.attempts[0].failure == "broken"


async def test_a_failed_answer_that_is_the_clients_fault_does_not_count() -> None:
    failed = native.response(status="failed", error={"code": "invalid_prompt", "message": "no"})
    bench = Bench(
        Scripted(Accepted(), *map(named, HELLO[:4]), named({"type": "response.failed", "response": failed}))
    )
    for _ in range(5):
        await bench.events()
    assert row(bench)["state"] == "closed"


async def test_what_cannot_be_passed_on_is_held_against_the_upstream() -> None:
    bench = Bench(whole())
    for _ in range(3):
        stream = await bench.router.stream(bench.request, bench.progress)
        async with stream as events:
            async for _ in events:
                stream.broke(UpstreamBroken("no JSON"))
                break
    assert row(bench)["failures"] == 3
    assert [attempt.failure for attempt in bench.progress.attempts] == ["broken"] * 3


async def test_what_a_client_said_wrong_opens_nothing() -> None:
    bench = Bench(fails(UpstreamRefused("bad", status=400)))
    for _ in range(10):
        assert (await error_of(bench)).status == 400
    assert row(bench)["state"] == "closed"
    assert row(bench)["attempts"] == 0


@pytest.mark.parametrize("steps", [[], [Accepted()], [Accepted(), *map(named, HELLO[:4])]])
async def test_a_client_that_leaves_counts_neither_way(steps: list[ResponseEvent]) -> None:
    bench = Bench(Scripted(*steps, asyncio.Event(), reply=asyncio.Event()))
    for _ in range(5):
        task = asyncio.create_task(bench.events())
        await bench.providers["p1"].began.wait()
        for _ in range(10):
            await asyncio.sleep(0)
        assert bench.health.snapshot()[0]["in_flight"] == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        bench.providers["p1"].began.clear()
    assert row(bench)["attempts"] == row(bench)["in_flight"] == 0


async def test_a_client_that_leaves_in_the_middle_of_the_probe_frees_it() -> None:
    provider = fails(SILENT)
    bench = Bench(provider)
    for _ in range(3):
        await error_of(bench)
    provider.steps = (asyncio.Event(),)
    task = asyncio.create_task(bench.events())
    for _ in range(10):
        await asyncio.sleep(0)
    assert row(bench)["state"] == "half_open"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    provider.steps = whole().steps
    assert await bench.events() == TYPES
    assert row(bench)["state"] == "closed"


async def test_one_that_accepts_and_says_nothing_is_left_for_the_next() -> None:
    bench = Bench(Scripted(Accepted(), asyncio.Event()), whole(), patience=Patience(first_output=0.02))
    assert await bench.events() == TYPES
    error = bench.progress.attempts[0].error
    assert error is not None
    assert error.message == "p1 accepted, but said nothing for 0.02 s."
    assert row(bench)["failures"] == 1
    bench.check_closed()


async def test_a_route_may_say_otherwise() -> None:
    bench = Bench(
        Scripted(Accepted(), asyncio.Event()),
        whole(),
        patience=Patience(first_output=30.0),
        terms=Terms(first_output=0.02),
    )
    assert await bench.events() == TYPES


async def test_the_first_output_has_no_deadline_before_the_acceptance_or_after_itself() -> None:
    class Slow(Scripted):
        async def stream(self, request: Any) -> Any:
            await asyncio.sleep(0.06)
            yield Accepted()
            for event in map(named, HELLO):
                yield event
                if event.type == "response.output_text.delta":
                    await asyncio.sleep(0.06)

    bench = Bench(Slow(), patience=Patience(first_output=0.03))
    assert await bench.events() == TYPES


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "json"])
async def test_total_ends_the_request_and_asks_nobody_else(stream: bool) -> None:
    never = Scripted(asyncio.Event(), reply=asyncio.Event())
    bench = Bench(never, whole(), patience=Patience(total=0.02))
    error = await error_of(bench, stream=stream)
    assert isinstance(error, DeadlinePassed)
    assert (error.status, error.code) == (504, "deadline_exceeded")
    assert bench.asked == ["p1/m"]
    assert row(bench)["failures"] == 1
    if stream:
        bench.check_closed()


async def test_total_runs_over_the_body_too() -> None:
    bench = Bench(Scripted(Accepted(), *map(named, HELLO[:4]), asyncio.Event()), terms=Terms(total=0.03))
    seen: list[str] = []
    with pytest.raises(DeadlinePassed):
        await handle(bench, seen)
    assert seen == TYPES[:2]
    bench.check_closed()


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "json"])
async def test_a_client_is_answered_within_its_own_deadline(stream: bool) -> None:
    bench = Bench(Scripted(asyncio.Event(), reply=asyncio.Event()), whole(), patience=Patience(total=30.0))
    bench.request.deadline = 0.02
    error = await error_of(bench, stream=stream)
    assert isinstance(error, DeadlinePassed)
    assert "0.02 s that the client waits" in error.message
    assert bench.asked == ["p1/m"]
    assert row(bench)["attempts"] == 0, "the target may be well"


async def test_the_clients_deadline_is_over_once_its_stream_has_begun() -> None:
    class Slow(Scripted):
        async def stream(self, request: Any) -> Any:
            yield Accepted()
            for event in map(named, HELLO):
                yield event
                if event.type == "response.output_text.delta":
                    await asyncio.sleep(0.06)

    bench = Bench(Slow())
    bench.request.deadline = 0.03
    assert await bench.events() == TYPES


async def test_a_deadline_does_not_disturb_a_client_that_is_slow_with_an_event() -> None:
    bench = Bench(Scripted(Accepted(), *map(named, HELLO[:4]), asyncio.Event()), terms=Terms(total=0.02))
    seen: list[str] = []
    with pytest.raises(DeadlinePassed):
        await handle(bench, seen, seconds=0.04)
    assert seen == TYPES[:2], "its time came while the first was handled"
    bench.check_closed()


async def test_the_routes_timeouts_travel_with_the_request() -> None:
    timeouts = Timeouts(connect=1.0, first_byte=2.0, idle=3.0)
    bench = Bench(whole(), terms=Terms(timeouts=timeouts))
    await bench.answer()
    assert bench.providers["p1"].asked[0].timeouts is timeouts
    assert bench.request.timeouts is None
    plain = Bench(whole())
    await plain.answer()
    assert plain.providers["p1"].asked[0].timeouts is None


async def test_while_all_are_limited_the_client_is_told_when_at_once() -> None:
    first = UpstreamRefused("slow down", status=429, retry_after=50.0, headers={"x-ratelimit-a": "0"})
    second = UpstreamRefused("pay", status=402)
    bench = Bench(fails(first), fails(second))
    await error_of(bench)
    bench.progress = Progress()
    error = await error_of(bench)
    assert bench.asked == []
    assert (error.status, error.code, error.type) == (429, "rate_limit_exceeded", "rate_limit_error")
    assert 45 <= int(error.headers["retry-after"]) <= 50
    assert "p1/m is rate limited, asked again in 50 s: slow down." in error.message
    assert "p2/m is out of credit, asked again in 30 min: pay." in error.message
    assert f"Please try again in {error.headers['retry-after']}s." in error.message


@pytest.mark.parametrize(
    ("error", "status", "code", "said"),
    [
        (UpstreamRefused("pay", status=402), 429, "insufficient_quota", "is out of credit"),
        (
            UpstreamRefused("slow", status=429, retry_after=9.0, headers={"x-ratelimit-limit-tokens": "5"}),
            429,
            "rate_limit_exceeded",
            "is rate limited",
        ),
        (
            CredentialsRefused("who", status=401),
            503,
            "upstream_credentials_refused",
            "refuses the credentials",
        ),
        (UpstreamRefused("oops", status=503, retry_after=9.0), 503, "upstream_unavailable", "failed"),
    ],
)
async def test_a_lone_target_that_cools_down_says_why(
    error: MaestroError, status: int, code: str, said: str
) -> None:
    bench = Bench(fails(error), terms=Terms(max_wait=0.0))
    await error_of(bench)
    told = await error_of(bench)
    assert (told.status, told.code) == (status, code)
    assert said in told.message
    assert error.message in told.message
    assert int(told.headers["retry-after"]) >= 1
    assert ("x-ratelimit-limit-tokens" in told.headers) == ("x-ratelimit-limit-tokens" in error.headers)
    assert len(bench.asked) == 1


async def test_a_server_that_was_restarted_is_found_by_the_next_request() -> None:
    provider = fails(SILENT)
    bench = Bench(provider)
    for _ in range(5):
        assert (await error_of(bench)).code == "upstream_unreachable"
    assert len(provider.asked) == 5, "each request was the probe"
    provider.steps = whole().steps
    assert await bench.events() == TYPES
    assert row(bench)["state"] == "closed"


async def test_while_one_request_probes_the_others_are_told_to_wait() -> None:
    provider = fails(SILENT)
    bench = Bench(provider)
    for _ in range(3):
        await error_of(bench)
    provider.steps = (asyncio.Event(),)
    task = asyncio.create_task(bench.events())
    for _ in range(10):
        await asyncio.sleep(0)
    told = await error_of(bench)
    assert (told.status, told.code) == (503, "upstream_unavailable")
    assert "p1/m could not be reached" in told.message
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_failure_beside_cooling_targets_names_them() -> None:
    limited = UpstreamRefused("slow", status=429, retry_after=40.0)
    bench = Bench(
        fails(limited), fails(UpstreamRefused("too long", status=400, code="context_length_exceeded"))
    )
    await error_of(bench)
    told = await error_of(bench)
    assert (told.status, told.code) == (429, "rate_limit_exceeded")
    assert int(told.headers["retry-after"]) >= 39
    refusing = Bench(
        fails(UpstreamRefused("oops", status=503, retry_after=40.0)),
        fails(UpstreamRefused("too long", status=400, code="context_length_exceeded")),
        terms=Terms(max_wait=0.0),
    )
    await error_of(refusing)
    told = await error_of(refusing)
    assert (told.status, told.code) == (503, "upstream_unavailable")
    assert told.message.startswith("too long. Not asked: p1/m failed, asked again in 40 s: oops.")
    assert int(told.headers["retry-after"]) >= 39


async def test_every_attempt_has_one_line_with_all_that_followed(
    logged: list[MutableMapping[str, Any]],
) -> None:
    bench = Bench(Flaky(UpstreamRefused("oops", status=500, code="boom")), whole())
    await bench.events()
    bench.providers["p1"].steps = (UpstreamRefused("slow", status=429, retry_after=9.0),)
    await bench.events()
    lines = [line for line in logged if line["event"].startswith("attempt")]
    assert len(lines) == len(bench.progress.attempts) == 4
    first, second, third, fourth = lines
    assert (first["failure"], first["status"], first["code"], first["breaker"]) == (
        "refused",
        500,
        "boom",
        None,
    )
    assert 0 < first["wait"] < 1
    assert (second["target"], second["attempt"], second["log_level"]) == ("p1/m", 2, "info")
    assert (third["failure"], third["status"], third["wait"]) == ("limited", 429, None)
    assert third["breaker"] == "closed to open for 9s"
    assert fourth["target"] == "p2/m"
