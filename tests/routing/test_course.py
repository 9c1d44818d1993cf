"""Whom a request asks next."""

from __future__ import annotations

from typing import Any

import pytest

from maestro_daemon.errors import (
    ConnectionLost,
    CredentialsRefused,
    UpstreamBroken,
    UpstreamRefused,
    UpstreamUnreachable,
)
from maestro_daemon.routing.budget import BudgetRules, RetryBudget
from maestro_daemon.routing.course import Course
from maestro_daemon.routing.failure_class import classify
from maestro_daemon.routing.health import Health
from maestro_daemon.routing.target import Target

NOBODY: Any = None
A, B, C = (Target(NOBODY, name, "m") for name in "abc")
SERVER_ERROR = classify(UpstreamRefused("oops", status=500))
LOST = classify(ConnectionLost("hung up"))
BROKEN = classify(UpstreamBroken("cut"))
SILENT = classify(UpstreamUnreachable("silent"))
LIMITED = classify(UpstreamRefused("slow", status=429, retry_after=20.0))
FAULT = classify(UpstreamRefused("bad", status=400))
NO_KEY = classify(CredentialsRefused("who", status=401))


class Bench:
    """A course and everything that it asks."""

    def __init__(self, *targets: Target, max_wait: float = 2.0, reserve: int = 10) -> None:
        self.now = 10.0
        self.health = Health(clock=lambda: self.now, random=lambda: 1.0)
        self.budget = RetryBudget(BudgetRules(0.0, reserve), clock=lambda: self.now)
        self.targets = targets
        self.max_wait = max_wait
        self.course = self.another()

    def another(self) -> Course:
        ready = [each for each in self.targets if self.health.available(each)]
        cooling = [each for each in self.targets if each not in ready]
        return Course(ready, cooling, self.health, self.budget, self.max_wait, random=lambda: 0.5)

    def open(self, target: Target, failure: Any) -> None:
        for _ in range(3):
            trial = self.health.begin(target)
            if trial is not None:
                trial.failed(failure)
        assert not self.health.available(target)

    def asked(self, *outcomes: Any, left: float = float("inf")) -> str:
        """The names of who is asked, in order, while these are the failures; then nobody fails any more."""
        failures = iter(outcomes)
        names = []
        while (step := self.course.step()) is not None:
            target, trial = step
            names.append(target.provider_name)
            failure = next(failures, None)
            if failure is None:
                trial.succeeded()
                break
            self.course.failed(target, trial, failure, left=left)
        return "".join(names)


def test_the_candidates_are_asked_in_order_each_once() -> None:
    assert Bench(A, B, C).asked(BROKEN, SILENT, BROKEN) == "abc"
    assert Bench(A, B, C).asked() == "a"


def test_the_clients_fault_ends_the_course() -> None:
    bench = Bench(A, B)
    assert bench.asked(FAULT) == "a"
    assert bench.course.step() is None


@pytest.mark.parametrize("failure", [SERVER_ERROR, LOST])
def test_what_may_pass_is_tried_here_once_more_for_each_target(failure: Any) -> None:
    bench = Bench(A, B)
    assert bench.asked(failure, failure, failure, failure) == "aabb"
    assert Bench(A, B).asked(failure) == "aa"


def test_a_retry_waits_a_moment_or_as_long_as_the_upstream_says() -> None:
    bench = Bench(A, B)
    for failure, wait in (
        (SERVER_ERROR, 0.1),
        (classify(UpstreamRefused("later", status=503, retry_after=1.5)), 1.5),
    ):
        bench.course = bench.another()
        step = bench.course.step()
        assert step is not None
        bench.course.failed(*step, failure)
        assert bench.course.wait == pytest.approx(wait)
        assert bench.health.available(A), "what is waited for sends nobody away"
        again = bench.course.step()
        assert again is not None
        assert again[0] is A
        assert bench.course.wait == 0.0
        again[1].succeeded()


def test_what_is_not_waited_for_sets_the_target_aside() -> None:
    bench = Bench(A, B)
    later = classify(UpstreamRefused("later", status=503, retry_after=9.0))
    assert bench.asked(later) == "ab"
    assert bench.health.cooldown_left(A) == 9.0


def test_a_wait_above_the_routes_bound_means_the_next_target() -> None:
    later = classify(UpstreamRefused("later", status=503, retry_after=1.5))
    assert Bench(A, B, max_wait=1.0).asked(later) == "ab"
    assert Bench(A, B, max_wait=0.0).asked(SERVER_ERROR) == "ab"


def test_a_retry_that_would_come_too_late_for_the_client_is_not_made() -> None:
    assert Bench(A, B).asked(SERVER_ERROR, left=0.05) == "ab"


def test_retries_have_a_budget_and_fallbacks_do_not() -> None:
    bench = Bench(A, B, C, reserve=1)
    assert bench.asked(SERVER_ERROR, SERVER_ERROR, SERVER_ERROR, SERVER_ERROR) == "aabc"


def test_a_target_whose_breaker_has_just_opened_is_not_tried_once_more() -> None:
    bench = Bench(A, B)
    for _ in range(2):
        trial = bench.health.begin(A)
        assert trial is not None
        trial.failed(BROKEN)
    assert bench.asked(SERVER_ERROR) == "ab"


def test_one_that_opened_since_the_plan_was_made_is_passed_over() -> None:
    bench = Bench(A, B)
    bench.open(A, BROKEN)
    assert bench.asked() == "b"


def test_when_all_cool_down_and_may_be_back_each_is_probed_nearest_its_end_first() -> None:
    bench = Bench(A, B)
    bench.open(A, SILENT)
    bench.now += 5
    bench.open(B, BROKEN)
    bench.course = bench.another()
    assert bench.asked(SILENT, BROKEN) == "ab"
    # Their cooldowns are longer now, and again the first is nearest.
    bench.now += 1
    bench.course = bench.another()
    assert bench.asked() == "a"
    assert bench.health.available(A)


def test_one_probe_at_a_time() -> None:
    bench = Bench(A)
    bench.open(A, SILENT)
    first, second = bench.another(), bench.another()
    step = first.step()
    assert step is not None
    assert step[1].is_probe
    assert second.step() is None
    assert [each.target for each in second.cooling()] == ["a/m"]
    step[1].left()
    assert bench.another().step() is not None


@pytest.mark.parametrize("cause", [LIMITED, NO_KEY, SERVER_ERROR])
def test_nobody_is_probed_early_while_one_of_them_said_when_or_why(cause: Any) -> None:
    bench = Bench(A, B)
    bench.open(A, cause)
    bench.open(B, SILENT)
    bench.course = bench.another()
    assert bench.course.step() is None
    assert {each.target for each in bench.course.cooling()} == {"a/m", "b/m"}


def test_when_the_last_one_left_fails_those_that_may_be_back_are_probed() -> None:
    bench = Bench(A, B, C)
    bench.open(B, SILENT)
    bench.course = bench.another()
    assert bench.asked(LIMITED, BROKEN) == "acb"


def test_a_probe_that_fails_is_no_reason_to_try_it_again() -> None:
    bench = Bench(A)
    bench.open(A, LOST)
    bench.course = bench.another()
    assert bench.asked(LOST, LOST) == "a"


def test_a_target_that_refuses_ciphertext_is_asked_again_at_once() -> None:
    bench = Bench(A, B)
    step = bench.course.step()
    assert step is not None
    step[1].left()
    bench.course.ask_again(A)
    assert bench.course.wait == 0.0
    assert bench.asked() == "a"


def test_a_second_attempt_beside_the_first_is_the_next_of_the_same_kind_within_the_budget() -> None:
    bench = Bench(A, B, C, reserve=1)
    bench.open(B, BROKEN)
    bench.course.step()
    beside = bench.course.beside((A, B, C))
    assert beside is not None
    assert beside[0] is C
    assert Bench(A, B).course.beside((A,)) is not None  # nothing was asked yet: the first is next
    bench = Bench(A, B, reserve=0)
    bench.course.step()
    assert bench.course.beside((A, B)) is None
    bench = Bench(A, B)
    bench.course.step()
    assert bench.course.beside((A,)) is None, "fallbacks are not hedged with"
    assert bench.asked() == "b"
