"""The circuit breaker, on a clock of the test's own."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from maestro_daemon.errors import CredentialsRefused, UpstreamBroken, UpstreamRefused, UpstreamUnreachable
from maestro_daemon.routing.breaker import Breaker, BreakerRules
from maestro_daemon.routing.failure_class import Failure, classify

RULES = BreakerRules(failures=3, ratio=0.5, least=10, window=60.0, cooldown=30.0, longest_cooldown=100.0)
BROKEN = classify(UpstreamBroken("cut"))
SILENT = classify(UpstreamUnreachable("silent"))


def refused(status: int, retry_after: float | None = None, code: str | None = None) -> Failure:
    kind = CredentialsRefused if status in (401, 403) else UpstreamRefused
    return classify(kind("no", status=status, retry_after=retry_after, code=code))


class Bench:
    """A breaker and its clock; jitter takes nothing away unless `random` says so."""

    def __init__(self, random: float = 1.0, **changes: Any) -> None:
        rules = {name: getattr(RULES, name) for name in RULES.__slots__} | changes
        self.now = 1000.0
        self.breaker = Breaker(BreakerRules(**rules), lambda: random)

    @property
    def state(self) -> str:
        return self.breaker.state(self.now)

    def attempt(self, failure: Failure | None = None) -> None:
        """One whole attempt that is admitted."""
        assert self.breaker.admits(self.now)
        probe = self.breaker.begin()
        if failure is None:
            self.breaker.succeed(self.now, self.breaker.epoch, probe=probe)
        else:
            self.breaker.fail(self.now, self.breaker.epoch, failure, probe=probe)

    def open(self) -> None:
        for _ in range(3):
            self.attempt(BROKEN)
        assert self.state == "open"


def test_failures_in_a_row_open_it_and_a_success_between_does_not() -> None:
    bench = Bench(least=100)
    for _ in range(4):
        bench.attempt(BROKEN)
        bench.attempt(SILENT)
        bench.attempt()
    assert bench.state == "closed"
    bench.open()
    assert not bench.breaker.admits(bench.now)
    assert bench.breaker.cooldown_left(bench.now) == 30.0


def test_the_share_of_failures_opens_it_from_enough_attempts_on() -> None:
    bench = Bench()
    for _ in range(4):
        bench.attempt(BROKEN)
        bench.attempt()
    bench.attempt()
    assert bench.state == "closed"
    bench.attempt(BROKEN)
    assert bench.state == "open"


def test_what_is_older_than_the_window_is_no_part_of_the_share() -> None:
    bench = Bench()
    for _ in range(20):
        bench.attempt(BROKEN)
        bench.attempt()
        bench.now += 14
    assert bench.state == "closed"


def test_after_its_cooldown_one_probe_at_a_time_is_let_through() -> None:
    bench = Bench()
    bench.open()
    bench.now += 29.9
    assert not bench.breaker.admits(bench.now)
    bench.now += 0.1
    assert bench.state == "half_open"
    assert bench.breaker.admits(bench.now)
    assert bench.breaker.begin()
    assert not bench.breaker.admits(bench.now)
    assert bench.state == "half_open"


def test_a_probe_that_says_nothing_is_free_again() -> None:
    bench = Bench()
    bench.open()
    bench.now += 30
    for _ in range(3):
        assert bench.breaker.admits(bench.now)
        bench.breaker.leave(bench.breaker.epoch, probe=bench.breaker.begin())
    assert bench.state == "half_open"


def test_the_probes_success_closes_it_and_forgets_what_was() -> None:
    bench = Bench()
    bench.open()
    bench.now += 30
    bench.attempt()
    assert bench.state == "closed"
    assert bench.breaker.cause is None
    bench.attempt(BROKEN)
    bench.attempt(BROKEN)
    assert bench.state == "closed"
    bench.attempt(BROKEN)
    assert bench.breaker.cooldown_left(bench.now) == 30.0


def test_the_probes_first_output_lets_others_through_but_the_next_failure_opens_it_again() -> None:
    bench = Bench()
    bench.open()
    bench.now += 30
    breaker = bench.breaker
    assert breaker.begin()
    breaker.answer(breaker.epoch)
    assert bench.state == "closed"
    breaker.fail(bench.now, breaker.epoch, BROKEN, probe=False)
    assert bench.state == "open"
    assert breaker.cooldown_left(bench.now) == 60.0


def test_a_whole_answer_ends_the_trial() -> None:
    bench = Bench()
    bench.open()
    bench.now += 30
    assert bench.breaker.begin()
    bench.breaker.answer(bench.breaker.epoch)
    bench.breaker.succeed(bench.now, bench.breaker.epoch, probe=False)
    bench.attempt(BROKEN)
    bench.attempt(BROKEN)
    assert bench.state == "closed"


def test_cooldowns_double_up_to_their_bound_and_begin_anew_after_a_success() -> None:
    bench = Bench()
    bench.open()
    lasted = []
    for _ in range(4):
        lasted.append(bench.breaker.cooldown_left(bench.now))
        bench.now += lasted[-1]
        bench.attempt(SILENT)
    assert lasted == [30.0, 60.0, 100.0, 100.0]
    bench.now += 100
    bench.attempt()
    bench.open()
    assert bench.breaker.cooldown_left(bench.now) == 30.0


def test_jitter_takes_up_to_a_fifth_away() -> None:
    for random, lasts in ((0.0, 24.0), (0.5, 27.0), (1.0, 30.0)):
        bench = Bench(random)
        bench.open()
        assert bench.breaker.cooldown_left(bench.now) == pytest.approx(lasts)


@pytest.mark.parametrize(
    ("failure", "lasts"),
    [
        (refused(429, 12.5), 12.5),
        (refused(503, 7.0), 7.0),
        (refused(402, 5.0), 5.0),
        (refused(429, 58 * 3600.0), 24 * 3600.0),
        (refused(402), 1800.0),
        (refused(429, None, "insufficient_quota"), 1800.0),
        (refused(401), 30.0),
    ],
)
def test_who_says_when_to_come_back_and_who_cannot_serve_is_left_alone_at_once(
    failure: Failure, lasts: float
) -> None:
    bench = Bench()
    bench.attempt(failure)
    assert bench.state == "open"
    assert bench.breaker.cooldown_left(bench.now) == lasts
    assert bench.breaker.cause == failure


@pytest.mark.parametrize("failure", [refused(429), refused(500), refused(403), refused(503, 0.0), BROKEN])
def test_all_else_has_to_happen_more_than_once(failure: Failure) -> None:
    bench = Bench()
    bench.attempt(failure)
    bench.attempt(failure)
    assert bench.state == "closed"
    bench.attempt(failure)
    assert bench.state == "open"


def test_what_began_under_another_state_says_nothing_of_this_one() -> None:
    bench = Bench()
    before = bench.breaker.epoch
    bench.open()
    bench.breaker.succeed(bench.now, before, probe=False)
    bench.breaker.fail(bench.now, before, BROKEN, probe=False)
    assert bench.breaker.cooldown_left(bench.now) == 30.0
    bench.now += 30
    bench.attempt()
    for _ in range(5):
        bench.breaker.fail(bench.now, before, BROKEN, probe=False)
    assert bench.state == "closed"


def test_a_later_retry_after_makes_an_open_one_wait_longer_never_shorter() -> None:
    bench = Bench()
    before = bench.breaker.epoch
    bench.attempt(refused(429, 20.0))
    assert bench.breaker.fail(bench.now, before, refused(429, 50.0), probe=False)
    assert not bench.breaker.fail(bench.now, before, refused(429, 5.0), probe=False)
    assert bench.breaker.cooldown_left(bench.now) == 50.0


@pytest.mark.parametrize(
    ("failure", "early"),
    [(SILENT, True), (BROKEN, True), (refused(500), False), (refused(429), False), (refused(403), False)],
)
def test_only_what_may_be_gone_is_probed_before_its_time(failure: Failure, early: bool) -> None:
    bench = Bench()
    for _ in range(3):
        bench.attempt(failure)
    assert bench.breaker.admits_early() is early
    bench.breaker.begin()
    assert not bench.breaker.admits_early()


def test_an_early_probe_that_says_nothing_leaves_the_cooldown_as_it_was() -> None:
    bench = Bench()
    bench.open()
    bench.breaker.leave(bench.breaker.epoch, probe=bench.breaker.begin())
    assert bench.state == "open"
    assert bench.breaker.cooldown_left(bench.now) == 30.0


def test_a_probe_of_before_it_was_forgiven_says_nothing() -> None:
    bench = Bench()
    bench.open()
    before = bench.breaker.epoch
    assert bench.breaker.begin()
    bench.breaker.forgive()
    bench.open()
    assert bench.breaker.begin()
    bench.breaker.leave(before, probe=True)
    assert not bench.breaker.admits_early(), "another probe is out"
    assert bench.breaker.answer(before) == before
    bench.breaker.succeed(bench.now, before, probe=True)
    bench.breaker.fail(bench.now, before, BROKEN, probe=True)
    assert bench.state == "half_open"
    assert bench.breaker.cooldown_left(bench.now) == 30.0


def test_new_rules_hold_at_once() -> None:
    bench = Bench()
    bench.attempt(BROKEN)
    bench.breaker.follow(BreakerRules(failures=2, cooldown=5.0, window=10.0))
    bench.attempt(BROKEN)
    assert bench.breaker.cooldown_left(bench.now) == 5.0
    bench.breaker.forgive()
    assert bench.state == "closed"
    assert not bench.breaker.is_troubled


FAILURES = st.sampled_from(
    [BROKEN, SILENT, refused(500), refused(429), refused(429, 12.0), refused(402), refused(401), refused(403)]
)


class Traffic(RuleBasedStateMachine):
    """Attempts of every length begin and end in any order, while time passes."""

    @initialize(failures=st.integers(1, 4), least=st.integers(1, 12), random=st.floats(0, 0.999))
    def start(self, failures: int, least: int, random: float) -> None:
        rules = BreakerRules(failures=failures, least=least, longest_cooldown=100.0, longest_retry_after=50.0)
        self.rules = rules
        self.breaker = Breaker(rules, lambda: random)
        self.now = 0.0
        self.under_way: list[tuple[int, bool]] = []
        self.probes = 0

    @rule(seconds=st.floats(0, 200))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    def _begin(self) -> None:
        probe = self.breaker.begin()
        assert probe == self.breaker.is_open
        self.probes += probe
        self.under_way.append((self.breaker.epoch, probe))

    @rule()
    def begin(self) -> None:
        if self.breaker.admits(self.now):
            self._begin()

    @rule()
    def begin_early(self) -> None:
        if self.breaker.admits_early():
            self._begin()

    def _ended(self, which: int) -> tuple[int, bool]:
        epoch, probe = self.under_way.pop(which % len(self.under_way))
        self.probes -= probe
        return epoch, probe

    @precondition(lambda self: self.under_way)
    @rule(which=st.integers(0, 50))
    def succeed(self, which: int) -> None:
        epoch, probe = self._ended(which)
        self.breaker.succeed(self.now, epoch, probe=probe)
        if probe:
            assert self.breaker.state(self.now) == "closed"

    @precondition(lambda self: self.under_way)
    @rule(which=st.integers(0, 50), failure=FAILURES)
    def fail(self, which: int, failure: Failure) -> None:
        epoch, probe = self._ended(which)
        was_open, until = self.breaker.is_open, self.breaker.until
        opened = self.breaker.fail(self.now, epoch, failure, probe=probe)
        if probe:
            assert opened
        if opened:
            assert self.breaker.cause == failure
            assert self.breaker.is_open
        elif was_open:
            assert self.breaker.until == until

    @precondition(lambda self: self.under_way)
    @rule(which=st.integers(0, 50))
    def leave(self, which: int) -> None:
        state = self.breaker.is_open
        epoch, probe = self._ended(which)
        self.breaker.leave(epoch, probe=probe)
        assert self.breaker.is_open == state

    @precondition(lambda self: any(probe for _, probe in self.under_way))
    @rule()
    def answer(self) -> None:
        (place,) = [place for place, (_, probe) in enumerate(self.under_way) if probe]
        epoch = self.breaker.answer(self.under_way[place][0])
        self.probes -= 1
        self.under_way[place] = (epoch, False)
        assert self.breaker.state(self.now) == "closed"

    @rule()
    def forgive(self) -> None:
        """New credentials came, in the middle of whatever is under way."""
        self.breaker.forgive()
        self.under_way = [(epoch, False) for epoch, _ in self.under_way]
        self.probes = 0

    @invariant()
    def one_probe_at_most(self) -> None:
        assert self.probes <= 1

    @invariant()
    def an_open_one_admits_again_in_time(self) -> None:
        breaker = self.breaker
        assert breaker.cooldown_left(self.now) <= max(1800.0, self.rules.longest_cooldown) + 1e-6
        if breaker.is_open:
            assert breaker.cause is not None
            assert self.probes or breaker.admits(max(self.now, breaker.until))
        else:
            assert breaker.admits(self.now)
        assert breaker.admits(math.inf) or self.probes


TestTraffic = Traffic.TestCase
TestTraffic.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
