"""The health of targets: whom a failure concerns, what a probe is, and what is told."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from maestro_daemon.errors import (
    CredentialsRefused,
    HostUnknown,
    MaestroError,
    ProviderBusy,
    UpstreamBroken,
    UpstreamRefused,
    UpstreamUnreachable,
)
from maestro_daemon.routing.breaker import BreakerRules
from maestro_daemon.routing.failure_class import Failure, FailureClass, classify
from maestro_daemon.routing.health import Health
from maestro_daemon.routing.trial import Trial


@dataclass(frozen=True)
class Spot:
    name: str

    @property
    def provider_name(self) -> str:
        return self.name.partition("/")[0]


A1, A2, B1 = Spot("a/1"), Spot("a/2"), Spot("b/1")
BROKEN = classify(UpstreamBroken("cut"))


def refused(status: int, code: str | None = None, **more: float) -> Failure:
    kind = CredentialsRefused if status in (401, 403) else UpstreamRefused
    return classify(kind("no", status=status, code=code, **more))


class Bench:
    def __init__(self, **changes: int) -> None:
        self.now = 50.0
        self.health = Health(BreakerRules(), clock=lambda: self.now, random=lambda: 1.0, **changes)

    def begun(self, target: Spot) -> Trial:
        trial = self.health.begin(target)
        assert trial is not None
        return trial

    def fail(self, target: Spot, failure: Failure = BROKEN, times: int = 1) -> None:
        for _ in range(times):
            self.begun(target).failed(failure)

    def row(self, target: Spot) -> dict[str, object]:
        (row,) = [row for row in self.health.snapshot() if row["target"] == target.name]
        return row


def test_a_failure_of_one_model_leaves_the_others_alone() -> None:
    for failure in (BROKEN, refused(500), refused(429, retry_after=9.0), refused(403)):
        bench = Bench()
        bench.fail(A1, failure, times=1 if failure.retry_after else 3)
        assert [bench.health.available(each) for each in (A1, A2, B1)] == [False, True, True]
        assert bench.health.begin(A1) is None


@pytest.mark.parametrize(
    "failure", [refused(401), refused(402), refused(429, "insufficient_quota"), classify(HostUnknown("?"))]
)
def test_what_concerns_the_provider_concerns_all_its_models_those_never_asked_too(failure: Failure) -> None:
    bench = Bench()
    bench.fail(A1, failure, times=3 if failure.kind is FailureClass.UNREACHABLE else 1)
    assert [bench.health.available(each) for each in (A1, A2, B1)] == [False, False, True]
    cooling = bench.health.cooling(A2)
    assert cooling is not None
    assert (cooling.target, cooling.failure) == ("a/2", failure)
    assert bench.health.begin(A2) is None


def test_a_provider_has_one_probe_for_all_its_models() -> None:
    bench = Bench()
    bench.fail(A1, refused(401))
    bench.now += 30
    probe = bench.begun(A2)
    assert probe.is_probe
    assert bench.health.begin(A1) is None
    probe.answered(0.1)
    assert not probe.is_probe
    probe.succeeded()
    assert probe.change == "half_open to closed"
    assert bench.health.available(A1)


@pytest.mark.parametrize(
    "failure",
    [
        refused(400),
        refused(404, "model_not_found"),
        refused(400, "context_length_exceeded"),
        classify(ProviderBusy("256 wait", status=429, retry_after=1.0)),
    ],
)
def test_the_clients_faults_and_lacks_open_nothing_and_free_the_probe(failure: Failure) -> None:
    bench = Bench()
    bench.fail(A1, failure, times=20)
    assert bench.row(A1)["state"] == "closed"
    assert bench.row(A1)["failures"] == 0
    bench.fail(A1, BROKEN, times=3)
    bench.now += 30
    bench.fail(A1, failure)
    assert bench.row(A1)["state"] == "half_open"
    assert bench.health.available(A1)


def test_a_client_that_left_counts_neither_way_and_frees_the_probe() -> None:
    bench = Bench()
    bench.fail(A1, BROKEN, times=3)
    bench.now += 30
    probe = bench.begun(A1)
    assert not bench.health.available(A1)
    probe.left()
    probe.left()
    assert bench.health.available(A1)
    assert bench.row(A1)["attempts"] == 3
    assert bench.health.in_flight(A1) == 0


def test_only_the_first_end_of_an_attempt_counts() -> None:
    bench = Bench()
    trial = bench.begun(A1)
    trial.succeeded()
    trial.failed(BROKEN)
    trial.left()
    trial.succeeded()
    assert bench.row(A1)["attempts"] == 1
    assert bench.row(A1)["failures"] == 0
    assert bench.health.in_flight(A1) == 0


def test_a_stream_that_breaks_off_after_the_probes_first_output_opens_it_again() -> None:
    bench = Bench()
    bench.fail(A1, BROKEN, times=3)
    bench.now += 30
    probe = bench.begun(A1)
    probe.answered(0.5)
    assert bench.health.available(A1)
    probe.failed(BROKEN)
    assert not bench.health.available(A1)
    assert probe.change == "closed to open for 60s"


def test_what_an_attempt_does_to_a_breaker_is_told() -> None:
    bench = Bench()
    trials = [bench.begun(A1) for _ in range(3)]
    for trial in trials:
        trial.failed(BROKEN)
    assert [trial.change for trial in trials] == [None, None, "closed to open for 30s"]
    bench.now += 30
    probe = bench.begun(A1)
    assert probe.change == "probe"
    probe.failed(BROKEN)
    assert probe.change == "half_open to open for 60s"
    trial = bench.begun(B1)
    trial.failed(refused(402))
    assert trial.change == "closed to open for 1800s of the whole provider"


def test_only_an_early_probe_may_begin_before_the_cooldowns_end_and_only_one() -> None:
    bench = Bench()
    bench.fail(A1, classify(UpstreamUnreachable("nobody")), times=3)
    assert bench.health.begin(A1) is None
    probe = bench.health.begin(A1, early=True)
    assert probe is not None
    assert bench.health.begin(A1, early=True) is None
    probe.left()
    assert bench.health.cooldown_left(A1) == 30.0
    bench.fail(B1, refused(500), times=3)
    assert bench.health.begin(B1, early=True) is None


def test_a_provider_with_new_credentials_begins_anew() -> None:
    bench = Bench()
    bench.fail(A1, refused(401))
    bench.fail(B1, refused(401))
    bench.health.heal("a")
    bench.health.heal("nobody")
    assert [bench.health.available(each) for each in (A1, A2, B1)] == [True, True, False]


def test_the_rows_say_how_targets_do() -> None:
    bench = Bench()
    for place in range(20):
        trial = bench.begun(A1)
        trial.answered(0.1 * (place + 1))
        trial.succeeded()
    bench.health.used(A1, {"input_tokens": 300, "input_tokens_details": {"cached_tokens": 240}})
    bench.health.used(A1, {"input_tokens": 100})
    bench.health.used(A1, {"input_tokens": "many"})
    bench.health.used(A1, None)
    bench.health.used(B1, {"input_tokens": 5})
    bench.fail(A1, refused(429, retry_after=12.0))
    bench.begun(B1)
    assert bench.row(A1) == {
        "target": "a/1",
        "state": "open",
        "in_flight": 0,
        "cooldown_left": 12.0,
        "cause": "limited",
        "reason": "no",
        "attempts": 21,
        "failures": 1,
        "success_ratio": 0.9524,
        "first_output_p50": pytest.approx(1.1, abs=0.11),
        "first_output_p95": pytest.approx(1.9, abs=0.11),
        "input_tokens": 400,
        "cached_tokens": 240,
        "cached_share": 0.6,
    }
    row = bench.row(B1)
    assert (row["in_flight"], row["success_ratio"], row["first_output_p95"]) == (1, None, None)


def test_what_is_remembered_is_bounded_and_what_fails_stays_longest() -> None:
    bench = Bench(targets=10)
    bench.fail(A1, BROKEN, times=3)
    for number in range(100):
        bench.begun(Spot(f"b/{number}")).succeeded()
    assert len(bench.health.snapshot()) == 10
    assert not bench.health.available(A1)
    for number in range(100):
        bench.fail(Spot(f"c/{number}"), BROKEN)
    assert len(bench.health.snapshot()) == 10


def test_health_follows_new_rules() -> None:
    bench = Bench()
    bench.fail(A1)
    bench.health.follow(BreakerRules(failures=2, cooldown=4.0))
    bench.fail(A1)
    assert bench.health.cooldown_left(A1) == 4.0
    bench.fail(B1, times=2)
    assert not bench.health.available(B1)


SPOTS = st.sampled_from([A1, A2, B1])
ERRORS: list[MaestroError] = [
    UpstreamBroken("cut"),
    UpstreamUnreachable("silent"),
    HostUnknown("?"),
    UpstreamRefused("no", status=500),
    UpstreamRefused("slow", status=429, retry_after=20.0),
    UpstreamRefused("pay", status=402),
    CredentialsRefused("key", status=401),
    UpstreamRefused("bad", status=400),
]


class Storm(RuleBasedStateMachine):
    """Attempts at several targets, ended in any order and way, or never."""

    @initialize()
    def start(self) -> None:
        self.now = 0.0
        self.health = Health(clock=lambda: self.now, random=lambda: 0.5)
        self.under_way: list[tuple[Spot, Trial]] = []

    @rule(seconds=st.floats(0, 100))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(spot=SPOTS, early=st.booleans())
    def begin(self, spot: Spot, early: bool) -> None:
        available = self.health.available(spot)
        trial = self.health.begin(spot, early=early)
        assert available <= (trial is not None)
        if not early:
            assert (trial is not None) == available
        if trial is not None:
            self.under_way.append((spot, trial))

    @precondition(lambda self: self.under_way)
    @rule(which=st.integers(0, 99), how=st.sampled_from(["answered", "succeeded", "left", *ERRORS]))
    def report(self, which: int, how: str | MaestroError) -> None:
        place = which % len(self.under_way)
        if how == "answered":
            self.under_way[place][1].answered(0.1)
            return
        _, trial = self.under_way.pop(place)
        match how:
            case "succeeded":
                trial.succeeded()
            case "left":
                trial.left()
            case MaestroError():
                trial.failed(classify(how))

    @invariant()
    def one_probe_for_each(self) -> None:
        if not hasattr(self, "health"):
            return
        probes = [target for target, trial in self.under_way if trial.is_probe]
        assert len(probes) == len(set(probes))
        for target in (A1, A2, B1):
            assert self.health.in_flight(target) == sum(1 for each, _ in self.under_way if each == target)

    def teardown(self) -> None:
        for _, trial in self.under_way:
            trial.left()
        self.now += 1e6
        for target in (A1, A2, B1):
            assert self.health.in_flight(target) == 0
            assert self.health.available(target)


TestStorm = Storm.TestCase
TestStorm.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)
