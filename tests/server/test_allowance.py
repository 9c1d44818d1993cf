from __future__ import annotations

import pytest

from maestro_daemon.server.allowance import Allowance, LimitReached
from maestro_daemon.server.client import Client, is_askable

DAY = 24 * 3600.0


class Clock:
    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def retry_after(error: pytest.ExceptionInfo[LimitReached]) -> int:
    assert error.value.status == 429
    assert error.value.code == "rate_limit_exceeded"
    return int(error.value.headers["retry-after"])


def test_within_any_minute_no_more_requests_begin_than_allowed() -> None:
    clock = Clock()
    client = Client("alice", requests_per_minute=3)
    allowance = Allowance(clock, Clock())
    for _ in range(3):
        allowance.begin(client, stream=False)
        clock.now += 10
    with pytest.raises(LimitReached) as refused:
        allowance.begin(client, stream=False)
    assert retry_after(refused) == 30
    assert refused.value.headers["x-ratelimit-remaining-requests"] == "0"
    assert refused.value.headers["x-ratelimit-reset-requests"] == "50s"
    clock.now += 29.9
    with pytest.raises(LimitReached) as refused:
        allowance.begin(client, stream=False)
    assert retry_after(refused) == 1
    clock.now += 0.1
    allowance.begin(client, stream=False)
    with pytest.raises(LimitReached) as refused:
        allowance.check(client)
    assert retry_after(refused) == 10


def test_a_refused_request_does_not_count() -> None:
    clock = Clock()
    client = Client("alice", requests_per_minute=1)
    allowance = Allowance(clock, Clock())
    allowance.begin(client, stream=False)
    for _ in range(5):
        clock.now += 10
        with pytest.raises(LimitReached):
            allowance.begin(client, stream=False)
    clock.now += 10
    allowance.begin(client, stream=False)


def test_a_smaller_limit_counts_what_went_before() -> None:
    clock = Clock()
    allowance = Allowance(clock, Clock())
    for _ in range(5):
        allowance.begin(Client("alice", requests_per_minute=5), stream=False)
        clock.now += 1
    with pytest.raises(LimitReached) as refused:
        allowance.begin(Client("alice", requests_per_minute=2), stream=False)
    assert retry_after(refused) == 58


def test_streams_are_counted_while_they_are_open_and_other_requests_are_none() -> None:
    client = Client("alice", streams=2)
    allowance = Allowance(Clock(), Clock())
    allowance.begin(client, stream=True)
    allowance.begin(client, stream=True)
    allowance.begin(client, stream=False)
    with pytest.raises(LimitReached) as refused:
        allowance.begin(client, stream=True)
    assert retry_after(refused) == 1
    allowance.end(stream=False)
    with pytest.raises(LimitReached):
        allowance.begin(client, stream=True)
    allowance.end(stream=True)
    allowance.begin(client, stream=True)


def test_a_stream_that_is_refused_is_no_request_of_the_minute() -> None:
    client = Client("alice", streams=1, requests_per_minute=2)
    allowance = Allowance(Clock(), Clock())
    allowance.begin(client, stream=True)
    for _ in range(3):
        with pytest.raises(LimitReached):
            allowance.begin(client, stream=True)
    allowance.begin(client, stream=False)


def test_the_tokens_of_a_day_are_spent_until_the_next_day_of_utc() -> None:
    wall = Clock(DAY * 20_000 + DAY - 90)
    client = Client("alice", tokens_per_day=100)
    allowance = Allowance(Clock(), wall)
    allowance.spend(99)
    allowance.begin(client, stream=False)
    allowance.spend(40)
    assert allowance.tokens == 139
    with pytest.raises(LimitReached) as refused:
        allowance.check(client)
    assert retry_after(refused) == 90
    assert refused.value.headers["x-ratelimit-remaining-tokens"] == "0"
    assert refused.value.headers["x-ratelimit-reset-tokens"] == "1m30s"
    assert refused.value.headers["x-should-retry"] == "false"
    wall.now += 90
    allowance.check(client)
    assert allowance.tokens == 0


def test_what_is_left_is_told_unless_the_upstreams_own_limit_is_nearer() -> None:
    client = Client("alice", requests_per_minute=10, tokens_per_day=1000)
    allowance = Allowance(Clock(), Clock(DAY - 3661))
    allowance.begin(client, stream=False)
    allowance.spend(400)
    headers = {
        "x-ratelimit-limit-requests": "500",
        "x-ratelimit-remaining-requests": "499",
        "x-ratelimit-reset-requests": "120ms",
        "x-ratelimit-limit-tokens": "30000",
        "x-ratelimit-remaining-tokens": "599",
        "x-ratelimit-reset-tokens": "6m0s",
    }
    allowance.tell(client, headers)
    assert headers == {
        "x-ratelimit-limit-requests": "10",
        "x-ratelimit-remaining-requests": "9",
        "x-ratelimit-reset-requests": "1m0s",
        "x-ratelimit-limit-tokens": "30000",
        "x-ratelimit-remaining-tokens": "599",
        "x-ratelimit-reset-tokens": "6m0s",
    }
    alone: dict[str, str] = {}
    allowance.tell(client, alone)
    assert alone["x-ratelimit-remaining-tokens"] == "600"
    assert alone["x-ratelimit-reset-tokens"] == "1h1m1s"


def test_who_has_no_limits_is_told_of_none() -> None:
    headers: dict[str, str] = {}
    allowance = Allowance(Clock(), Clock())
    for _ in range(1000):
        allowance.begin(Client("alice"), stream=True)
    allowance.tell(Client("alice"), headers)
    assert headers == {}


@pytest.mark.parametrize(
    ("routes", "model", "may"),
    [
        (None, "anything", True),
        (("coder",), "coder", True),
        (("coder",), "coder2", False),
        (("coder",), "openai/gpt-5.5", False),
        (("openai/*",), "openai/gpt-5.5", True),
        (("openai/*",), "openai2/gpt-5.5", False),
        (("openai/*",), "gpt-5.5", False),
        (("openai/gpt-5.5", "auto"), "auto", True),
    ],
)
def test_a_client_may_ask_for_its_routes(routes: tuple[str, ...] | None, model: str, may: bool) -> None:
    assert Client("alice", routes=routes).may_ask_for(model) is may


@pytest.mark.parametrize(
    ("model", "askable"),
    [
        ("coder", True),
        ("auto", True),
        ("openai/gpt-5.5", True),
        ("openai/*", True),
        ("openai/", False),
        ("openai", False),
        ("gpt-5.5", False),
        ("home/x", False),
    ],
)
def test_what_can_be_asked_for(model: str, askable: bool) -> None:
    assert is_askable(model, {"coder"}, ["openai"]) is askable
