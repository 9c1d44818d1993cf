"""Counts over a sliding window."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from maestro_daemon.routing.budget import BudgetRules, RetryBudget
from maestro_daemon.routing.window import Window

STEPS = st.lists(st.tuples(st.floats(0, 30), st.booleans()), max_size=60)


@given(STEPS)
def test_what_is_younger_than_nine_tenths_counts_and_what_is_older_than_the_window_does_not(
    steps: list[tuple[float, bool]],
) -> None:
    window = Window(20.0)
    now = 500.0
    happened: list[tuple[float, bool]] = []
    for seconds, first in steps:
        now += seconds
        (window.add_first if first else window.add_second)(now)
        happened.append((now, first))
        for kind, count in ((True, window.first), (False, window.second)):
            young = sum(1 for at, which in happened if which is kind and now - at < 17.99)
            kept = sum(1 for at, which in happened if which is kind and now - at <= 20.01)
            assert young <= count <= kept


def test_a_cleared_window_holds_nothing() -> None:
    window = Window(10.0)
    window.add_first(3.0)
    window.add_second(4.0)
    window.clear()
    assert (window.first, window.second) == (0, 0)
    window.forward(100.0)
    assert (window.first, window.second) == (0, 0)


def test_retries_are_a_share_of_the_requests_beside_a_reserve() -> None:
    now = [100.0]
    budget = RetryBudget(BudgetRules(ratio=0.2, reserve=2, window=10.0), clock=lambda: now[0])
    assert [budget.withdraw() for _ in range(4)] == [True, True, False, False]
    for _ in range(10):
        budget.deposit()
    assert [budget.withdraw() for _ in range(3)] == [True, True, False]
    now[0] += 11
    assert [budget.withdraw() for _ in range(3)] == [True, True, False]


def test_a_budget_follows_new_rules() -> None:
    budget = RetryBudget(BudgetRules(ratio=0.0, reserve=0), clock=lambda: 5.0)
    assert not budget.withdraw()
    budget.follow(BudgetRules(ratio=0.0, reserve=1, window=3.0))
    assert [budget.withdraw(), budget.withdraw()] == [True, False]
