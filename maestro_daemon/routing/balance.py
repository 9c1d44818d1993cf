"""Which of several targets is tried first: pure functions of the targets and of what happened before.

Targets are spoken of by their places among those that can be tried just now, at least one. Which these are
may change from call to call, as when one cools down: its share is then spread over the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Order = tuple[int, ...]
"""Places of targets, in the order in which to try them."""


def in_order(count: int) -> Order:
    """The first one first, always."""
    return tuple(range(count))


def round_robin(count: int, turn: int) -> Order:
    """Each in its turn; `turn` says how many were chosen before."""
    first = turn % count
    return (*range(first, count), *range(first))


def weighted(
    names: Sequence[str], weights: Mapping[str, int], credit: Mapping[str, int]
) -> tuple[Order, dict[str, int]]:
    """Each as often as its weight says, as evenly as that goes: smooth weighted round robin.

    Every target earns its weight (1 where `weights` does not name it); the richest is tried first and pays
    what all have earned, the others follow by what they own. Also returns the credit for the next call,
    that of absent targets kept.
    """
    after = dict(credit)
    total = 0
    for name in names:
        weight = weights.get(name, 1)
        total += weight
        after[name] = after.get(name, 0) + weight
    order = tuple(sorted(range(len(names)), key=lambda place: -after[names[place]]))
    after[names[order[0]]] -= total
    return order, after


def least_busy(in_flight: Sequence[int], turn: int) -> Order:
    """Those with the fewest requests under way first; equals in their turn, so that idle ones share."""
    return tuple(sorted(round_robin(len(in_flight), turn), key=in_flight.__getitem__))
