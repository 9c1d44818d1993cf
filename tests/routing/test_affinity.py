"""Which target served a conversation."""

from __future__ import annotations

from maestro_daemon.routing.affinity import Affinity


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_conversation_stays_for_its_time_after_it_was_last_served() -> None:
    clock = Clock()
    affinity = Affinity(clock=clock)
    affinity.note("c", "a/m", 60)
    clock.now += 59
    assert affinity.target("c") == "a/m"
    affinity.note("c", "a/m", 60)
    clock.now += 59
    assert affinity.target("c") == "a/m"
    clock.now += 1
    assert affinity.target("c") is None
    assert len(affinity) == 0


def test_the_last_who_served_counts_and_conversations_are_apart() -> None:
    affinity = Affinity()
    affinity.note("c", "a/m", 60)
    affinity.note("d", "a/m", 60)
    affinity.note("c", "b/m", 60)
    assert (affinity.target("c"), affinity.target("d"), affinity.target("e")) == ("b/m", "a/m", None)


def test_a_provider_that_keeps_nobody_is_not_stayed_with() -> None:
    affinity = Affinity()
    affinity.note("c", "a/m", 60)
    affinity.note("c", "b/m", 0)
    assert affinity.target("c") is None
    assert len(affinity) == 0


def test_the_conversation_that_was_served_longest_ago_is_forgotten_first() -> None:
    affinity = Affinity(conversations=3)
    for name in "abc":
        affinity.note(name, "t/m", 60)
    affinity.note("a", "t/m", 60)
    affinity.note("d", "t/m", 60)
    assert [name for name in "abcd" if affinity.target(name)] == ["a", "c", "d"]
    assert len(affinity) == 3
