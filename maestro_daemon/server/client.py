"""A client: whom a key stands for, what may be asked for with it, and how much."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Client:
    """A client by its `name`; None is no limit.

    `admin` opens ``/admin`` and ``/metrics``. `routes` are the model names that it may ask for, as
    ``GET /v1/models`` lists them; one that ends in ``/*`` stands for all models of a provider. `streams` is
    how many may be open at once; days are those of UTC.
    """

    name: str
    admin: bool = False
    routes: tuple[str, ...] | None = None
    requests_per_minute: int | None = None
    streams: int | None = None
    tokens_per_day: int | None = None

    def may_ask_for(self, model: str) -> bool:
        """Whether `model`, as a request names it, is one of `routes`."""
        routes = self.routes
        if routes is None or model in routes:
            return True
        return any(route.endswith("/*") and model.startswith(route[:-1]) for route in routes)


def is_askable(model: str, routes: Container[str], providers: Container[str]) -> bool:
    """Whether `model` of a client's `routes` can be asked for: a route, ``auto``, or of a provider."""
    if model in routes or model == "auto":
        return True
    provider, slash, rest = model.partition("/")
    return bool(slash and rest) and provider in providers
