"""A second target is asked when the first is late: who wins, who is dropped, and when it is not done."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from maestro_daemon.errors import DeadlinePassed, MaestroError, UpstreamBroken, UpstreamRefused
from maestro_daemon.events import Accepted
from maestro_daemon.request import ResponseRequest
from maestro_daemon.routing.budget import BudgetRules
from maestro_daemon.routing.terms import Patience, Terms
from tests.support import native
from tests.support.core import named
from tests.support.scripted import ANSWER, HELLO, Bench, Scripted, whole

TYPES = [event["type"] for event in HELLO[2:]]
EVENTS = [Accepted(), *map(named, HELLO)]
HEDGED = Terms(hedge=True)


class Reply(Scripted):
    """Answers as JSON what `reply` is, after `before` came."""

    def __init__(self, before: asyncio.Event, reply: Any) -> None:
        super().__init__(reply=reply)
        self.before = before

    async def complete(self, request: ResponseRequest) -> Any:
        self.asked.append(request)
        await self.before.wait()
        return await super().complete(request)


def hedging(*providers: Scripted, samples: int = 20, stream: bool = True, **more: Any) -> Bench:
    """A bench whose route has begun so many answers within a millisecond."""
    bench = Bench(*providers, terms=more.pop("terms", HEDGED), **more)
    for _ in range(samples):
        bench.health.pace("r", stream=stream).add(0.001)
    bench.request.stream = stream
    return bench


def attempts(bench: Bench) -> list[dict[str, Any]]:
    return [
        {key: each[key] for key in ("target", "attempts", "failures", "in_flight")}
        for each in bench.health.snapshot()
    ]


def counted(target: str, ended: int, failures: int = 0) -> dict[str, Any]:
    return {"target": target, "attempts": ended, "failures": failures, "in_flight": 0}


async def test_the_second_wins_when_the_first_is_late_and_the_first_counts_neither_way() -> None:
    bench = hedging(Scripted(asyncio.Event()), whole())
    assert await bench.events() == TYPES
    assert bench.asked == ["p1/m", "p2/m"]
    assert bench.progress.target == "p2/m"
    assert attempts(bench) == [counted("p1/m", 0), counted("p2/m", 1)]
    assert [attempt.error for attempt in bench.progress.attempts] == [None, None]
    bench.check_closed()


async def test_the_first_wins_when_it_speaks_first_though_it_was_late() -> None:
    late = asyncio.Event()

    class Second(Scripted):
        async def stream(self, request: ResponseRequest) -> Any:
            late.set()
            async for event in super().stream(request):
                yield event

    bench = hedging(Scripted(Accepted(), late, *EVENTS[1:]), Second(Accepted(), asyncio.Event()))
    assert await bench.events() == TYPES
    assert bench.asked == ["p1/m", "p2/m"]
    assert bench.progress.target == "p1/m"
    assert attempts(bench) == [counted("p1/m", 1), counted("p2/m", 0)]
    bench.check_closed()


async def test_acceptance_does_not_win_the_first_output_does() -> None:
    bench = hedging(Scripted(Accepted({"x-from": "first"}), asyncio.Event()), whole())
    stream = await bench.router.stream(bench.request, bench.progress)
    assert stream.headers == {"x-from": "first"}
    assert stream.target is not None
    assert stream.target.name == "p1/m"
    async with stream as events:
        assert [event.type async for event in events] == TYPES
    assert stream.target.name == bench.progress.target == "p2/m"
    bench.check_closed()


async def test_who_accepted_is_told_whoever_was_asked_last() -> None:
    second_failed = asyncio.Event()

    class Refusing(Scripted):
        async def stream(self, request: ResponseRequest) -> Any:
            second_failed.set()
            async for event in super().stream(request):
                yield event

    first = Scripted(second_failed, Accepted(), *EVENTS[1:])
    bench = hedging(first, Refusing(UpstreamRefused("busy", status=500)))
    stream = await bench.router.stream(bench.request, bench.progress)
    assert bench.asked == ["p1/m", "p2/m"]
    assert bench.progress.target == "p1/m"
    async with stream as events:
        assert [event.type async for event in events] == TYPES
    bench.check_closed()


async def test_a_third_is_told_when_both_of_a_race_accepted_in_vain() -> None:
    bench = hedging(
        Scripted(Accepted(), UpstreamBroken("cut")), Scripted(Accepted(), UpstreamBroken("cut")), whole()
    )
    assert await bench.events() == TYPES
    assert bench.progress.target == bench.asked[-1] == "p3/m"
    bench.check_closed()


async def test_one_that_is_in_time_is_not_doubled() -> None:
    bench = hedging(whole(), whole())
    for _ in range(20):
        bench.health.pace("r", stream=True).add(30.0)
    assert await bench.events() == TYPES
    assert bench.asked == ["p1/m"]
    bench.check_closed()


async def test_too_few_answers_are_no_measure_and_streams_are_measured_apart() -> None:
    bench = hedging(Scripted(asyncio.Event()), whole(), samples=19, patience=Patience(total=0.05))
    for _ in range(50):
        bench.health.pace("r", stream=False).add(0.001)
    with pytest.raises(DeadlinePassed):
        await bench.events()
    assert bench.asked == ["p1/m"]


async def test_without_the_setting_nothing_is_doubled() -> None:
    bench = hedging(Scripted(asyncio.Event()), whole(), terms=Terms(total=0.03))
    with pytest.raises(DeadlinePassed):
        await bench.events()
    assert bench.asked == ["p1/m"]


@pytest.mark.parametrize(
    "field", [{"conversation": "conv_1"}, {"background": True}, {"previous_response_id": "resp_1"}]
)
async def test_what_leaves_something_behind_is_never_doubled(field: dict[str, Any]) -> None:
    bench = hedging(Scripted(asyncio.Event()), whole(), patience=Patience(total=0.05))
    bench.providers["p2"].keeps_responses = lambda model: False
    bench.request.body = {**bench.request.body, **field}
    with pytest.raises(DeadlinePassed):
        await bench.events()
    assert bench.asked == ["p1/m"]


async def test_fallbacks_are_not_hedged_with() -> None:
    bench = hedging(Scripted(asyncio.Event()), whole(), fallback=True, patience=Patience(total=0.05))
    with pytest.raises(DeadlinePassed):
        await bench.events()
    assert bench.asked == ["p1/m"]


async def test_hedges_count_in_the_budget_of_retries() -> None:
    bench = hedging(Scripted(asyncio.Event()), whole(), patience=Patience(total=0.05))
    bench.budget.follow(BudgetRules(ratio=0.0, reserve=0))
    with pytest.raises(DeadlinePassed):
        await bench.events()
    assert bench.asked == ["p1/m"]


async def test_a_late_first_that_fails_leaves_the_answer_to_the_second() -> None:
    asked = asyncio.Event()
    go = asyncio.Event()

    class Second(Scripted):
        async def stream(self, request: ResponseRequest) -> Any:
            asked.set()
            async for event in super().stream(request):
                yield event

    bench = hedging(Scripted(asked, UpstreamBroken("cut")), Second(Accepted(), go, *EVENTS[1:]))
    task = asyncio.create_task(bench.events())
    await asked.wait()
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(bench.heard.attempts) == 1
    go.set()
    assert await task == TYPES
    assert attempts(bench) == [counted("p1/m", 1, 1), counted("p2/m", 1)]
    bench.check_closed()


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "json"])
async def test_one_that_fails_in_time_is_followed_as_without_hedging(stream: bool) -> None:
    error = UpstreamRefused("no", status=501)
    bench = hedging(Scripted(error, reply=error), whole(), stream=stream)
    for _ in range(20):
        bench.health.pace("r", stream=stream).add(30.0)
    await (bench.events() if stream else bench.answer())
    assert bench.asked == ["p1/m", "p2/m"]
    assert attempts(bench) == [counted("p1/m", 1, 1), counted("p2/m", 1)]


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "json"])
async def test_when_both_fail_others_are_asked(stream: bool) -> None:
    asked = asyncio.Event()

    class Second(Scripted):
        async def stream(self, request: ResponseRequest) -> Any:
            asked.set()
            raise UpstreamBroken("second")
            yield

        async def complete(self, request: ResponseRequest) -> Any:
            asked.set()
            raise UpstreamBroken("second")

    class First(Scripted):
        async def complete(self, request: ResponseRequest) -> Any:
            await asked.wait()
            raise UpstreamBroken("first")

    bench = hedging(First(asked, UpstreamBroken("first")), Second(), whole(), stream=stream)
    await (bench.events() if stream else bench.answer())
    assert bench.asked == ["p1/m", "p2/m", "p3/m"]
    assert [attempt.error is None for attempt in bench.progress.attempts] == [False, False, True]
    assert bench.progress.target == "p3/m"


async def test_a_winner_that_breaks_off_is_not_replaced() -> None:
    bench = hedging(Scripted(asyncio.Event()), Scripted(*EVENTS[:5], UpstreamBroken("cut")), whole())
    with pytest.raises(UpstreamBroken, match="cut"):
        await bench.events()
    assert bench.asked == ["p1/m", "p2/m"]
    assert attempts(bench) == [counted("p1/m", 0), counted("p2/m", 1, 1)]
    bench.check_closed()


async def test_a_winner_that_ends_too_early_is_broken() -> None:
    bench = hedging(Scripted(asyncio.Event()), Scripted(*EVENTS[:5]))
    with pytest.raises(UpstreamBroken, match="p2 ended its stream before"):
        await bench.events()
    assert attempts(bench) == [counted("p1/m", 0), counted("p2/m", 1, 1)]
    bench.check_closed()


async def test_json_the_first_whole_answer_wins() -> None:
    now = asyncio.Event()
    now.set()
    bench = hedging(Reply(asyncio.Event(), ANSWER), Reply(now, ANSWER), stream=False)
    assert (await bench.answer()).response == ANSWER
    assert bench.progress.target == "p2/m"
    assert attempts(bench) == [counted("p1/m", 0), counted("p2/m", 1)]
    assert bench.heard.attempts != []
    origin = bench.memory.origin("", ANSWER["id"])
    assert origin is not None
    assert origin.provider == "p2"


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "json"])
async def test_leaving_a_race_closes_both(stream: bool) -> None:
    first, second = Scripted(Accepted(), asyncio.Event()), Scripted(Accepted(), asyncio.Event())
    first.reply = second.reply = asyncio.Event()
    bench = hedging(first, second, stream=stream)
    before = asyncio.all_tasks()
    task = asyncio.create_task(bench.events() if stream else _answered(bench))
    await second.began.wait()
    for _ in range(10):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert attempts(bench) == [counted("p1/m", 0), counted("p2/m", 0)]
    assert asyncio.all_tasks() == before
    if stream:
        bench.check_closed()


async def _answered(bench: Bench) -> list[str]:
    await bench.answer()
    return []


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "json"])
async def test_a_race_ends_with_the_deadline_too(stream: bool) -> None:
    first, second = Scripted(asyncio.Event()), Scripted(asyncio.Event())
    first.reply = second.reply = asyncio.Event()
    bench = hedging(first, second, stream=stream)
    bench.request.deadline = 0.05
    with pytest.raises(MaestroError) as told:
        await (bench.events() if stream else bench.answer())
    assert isinstance(told.value, DeadlinePassed)
    assert bench.asked == ["p1/m", "p2/m"]
    assert attempts(bench) == [counted("p1/m", 0), counted("p2/m", 0)]


async def test_a_long_answer_passes_whole_through_a_race() -> None:
    events = native.events(native.message_events(["word "] * 500))
    bench = hedging(Scripted(asyncio.Event()), Scripted(Accepted(), *map(named, events)))
    assert await bench.events() == [event["type"] for event in events[2:]]
    bench.check_closed()


async def test_what_answers_take_is_measured_from_the_first_attempt_on() -> None:
    bench = hedging(Scripted(asyncio.Event()), whole())
    pace = bench.health.pace("r", stream=True)
    await bench.events()
    assert len(pace) == 21
    attempt = bench.progress.attempts[1]
    assert attempt.first_output_after is not None
    assert pace._times[-1] > attempt.first_output_after
