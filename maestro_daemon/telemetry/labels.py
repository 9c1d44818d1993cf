"""Label values: few enough to be kept, although clients may name any model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from maestro_daemon.server.offer import Offer

OTHER: Final = "(other)"


class Labels:
    """The values for what is on `offer`; all else is told together."""

    def __init__(self, offer: Callable[[], Offer]) -> None:
        self.offer = offer

    def route(self, asked: str) -> str:
        """The route that was asked for; "" for a model that was named directly."""
        return asked if asked == "auto" or asked in self.offer().routes else ""

    def target(self, target: str) -> str:
        """A target of a route or a list of models as it is, others as ``provider/(other)``; "" for none."""
        if not target:
            return ""
        offer = self.offer()
        if any(target in targets for targets in offer.routes.values()) or offer.model(target) is not None:
            return target
        provider = target.partition("/")[0]
        return f"{provider}/{OTHER}" if provider in offer.providers else OTHER
