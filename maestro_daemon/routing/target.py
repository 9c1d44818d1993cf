"""Targets, and the routes that name them: made once per configuration, read by every request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from maestro_daemon.providers.abilities import keeps_responses_of
from maestro_daemon.providers.provider import Provider
from maestro_daemon.routing.terms import USUAL, Terms

Balance = Literal["round_robin", "in_order", "weighted", "least_busy"]
KEPT_FOR: Final = 3600.0
"""Seconds for which a conversation stays with its target, where a provider says nothing else."""


@dataclass(frozen=True, slots=True)
class Target:
    """One upstream model at one provider.

    `affinity` is for how many seconds after its last answer a conversation stays here, 0 for never.
    `name` is ``provider/model``, of no two targets the same.
    """

    provider: Provider
    provider_name: str
    model: str
    affinity: float = KEPT_FOR
    name: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Make the name once: health and affinity are looked up by it."""
        object.__setattr__(self, "name", f"{self.provider_name}/{self.model}")

    @property
    def keeps_responses(self) -> bool:
        """Whether `previous_response_id` has a meaning there."""
        return keeps_responses_of(self.provider_name, self.provider, self.model)


@dataclass(frozen=True, slots=True)
class Route:
    """A model name of the configuration: `targets` are balanced, `fallbacks` follow in order.

    `weights` are the shares of new conversations by targets' names, 1 where not named; ``weighted`` alone
    reads them. What is asked for without a route is a route of one target.
    """

    name: str
    targets: tuple[Target, ...]
    fallbacks: tuple[Target, ...] = ()
    balance: Balance = "round_robin"
    weights: Mapping[str, int] = field(default_factory=dict)
    terms: Terms = USUAL
