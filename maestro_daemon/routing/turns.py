"""Whose turn it is: what each route's balance remembers. By names, so that it outlives configurations."""

from __future__ import annotations

from collections.abc import Callable, Collection

from maestro_daemon.routing import balance
from maestro_daemon.routing.target import Route, Target


class Turns:
    """The turns of every route."""

    def __init__(self) -> None:
        self._taken: dict[str, int] = {}
        self._credit: dict[str, dict[str, int]] = {}

    def follow(self, routes: Collection[str]) -> None:
        """From now on there are these routes; the turns of others are forgotten."""
        self._taken = {name: taken for name, taken in self._taken.items() if name in routes}
        self._credit = {name: credit for name, credit in self._credit.items() if name in routes}

    def ordered(
        self, route: Route, targets: list[Target], in_flight: Callable[[Target], int], *, count: bool = False
    ) -> list[Target]:
        """The targets as the route's balance orders them; with `count` the first one has now had its turn.

        `in_flight` says how many requests a target is answering.
        """
        if len(targets) < 2:
            return targets
        name = route.name
        turn = self._taken.get(name, 0)
        match route.balance:
            case "in_order":
                return targets
            case "round_robin":
                order = balance.round_robin(len(targets), turn)
            case "least_busy":
                order = balance.least_busy([in_flight(each) for each in targets], turn)
            case _:
                order, credit = balance.weighted(
                    [each.name for each in targets], route.weights, self._credit.get(name, {})
                )
                if count:
                    self._credit[name] = credit
        if count:
            self._taken[name] = turn + 1
        return [targets[place] for place in order]
