"""Who is tried first."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_daemon.routing.balance import in_order, least_busy, round_robin, weighted

COUNTS = st.integers(1, 6)


@given(COUNTS)
def test_in_order_begins_with_the_first(count: int) -> None:
    assert in_order(count) == tuple(range(count))


@given(COUNTS, st.integers(0, 1000))
def test_round_robin_gives_each_its_turn_and_then_the_ones_behind_it(count: int, turn: int) -> None:
    orders = [round_robin(count, turn + number) for number in range(count)]
    assert sorted(order[0] for order in orders) == list(range(count))
    for order in orders:
        assert [(place - order[0]) % count for place in order] == list(range(count))


def spread(
    weights: dict[str, int], plans: int, credit: dict[str, int] | None = None
) -> tuple[list[str], dict[str, int]]:
    names = list(weights)
    chosen, credit = [], credit or {}
    for _ in range(plans):
        order, credit = weighted(names, weights, credit)
        assert sorted(order) == list(range(len(names)))
        chosen.append(names[order[0]])
    return chosen, credit


@given(st.lists(st.integers(1, 50), min_size=1, max_size=5))
def test_weights_are_kept_exactly_over_a_whole_round(weights: list[int]) -> None:
    shares = {f"t{number}": weight for number, weight in enumerate(weights)}
    chosen, credit = spread(shares, sum(weights))
    assert Counter(chosen) == shares
    assert set(credit.values()) == {0}


def test_weights_are_spread_smoothly_and_always_alike() -> None:
    chosen, _ = spread({"a": 5, "b": 1, "c": 1}, 7)
    assert chosen == ["a", "a", "b", "a", "c", "a", "a"]
    assert spread({"a": 5, "b": 1, "c": 1}, 7)[0] == chosen


def test_a_target_without_a_weight_has_the_weight_one() -> None:
    chosen = []
    credit: dict[str, int] = {}
    for _ in range(8):
        order, credit = weighted(["a", "b"], {"a": 3}, credit)
        chosen.append("ab"[order[0]])
    assert Counter(chosen) == {"a": 6, "b": 2}


def test_the_share_of_an_absent_target_goes_to_the_others_by_their_weights() -> None:
    weights = {"a": 3, "b": 1, "c": 4}
    _, credit = spread(weights, 3)
    before = credit["c"]
    chosen = []
    for _ in range(40):
        order, credit = weighted(["a", "b"], weights, credit)
        chosen.append("ab"[order[0]])
    assert abs(Counter(chosen)["a"] - 30) <= 2
    assert credit["c"] == before


def test_weighing_changes_nothing_that_it_was_given() -> None:
    credit = {"a": 1}
    weighted(["a", "b"], {"a": 2}, credit)
    assert credit == {"a": 1}


@given(st.lists(st.integers(0, 5), min_size=1, max_size=6), st.integers(0, 100))
def test_the_least_busy_come_first(in_flight: list[int], turn: int) -> None:
    order = least_busy(in_flight, turn)
    assert sorted(order) == list(range(len(in_flight)))
    assert [in_flight[place] for place in order] == sorted(in_flight)


@pytest.mark.parametrize("in_flight", [[0, 0, 0], [2, 2, 2]])
def test_equally_busy_ones_have_their_turns(in_flight: list[int]) -> None:
    assert [least_busy(in_flight, turn)[0] for turn in range(4)] == [0, 1, 2, 0]
