"""From the name that a client asks for to the ordered targets of one request."""

from __future__ import annotations

import asyncio
import contextlib
import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from maestro_daemon.errors import CatalogueUnread, ModelUnknown
from maestro_daemon.providers.provider import Model, Provider, Unmetered

Balance = Literal["round_robin", "in_order"]
AUTO: Final = "auto"
_MOST_AIMED: Final = 256

_PATIENCE: Final = 10.0  # seconds; an engine loads its model before it lists it


@dataclass(frozen=True, slots=True)
class Target:
    """One upstream model at one provider."""

    provider: Provider
    provider_name: str
    model: str

    @property
    def name(self) -> str:
        """``provider/model``."""
        return f"{self.provider_name}/{self.model}"

    @property
    def keeps_responses(self) -> bool:
        """Whether `previous_response_id` has a meaning there."""
        # Not isinstance(…, NativeResponses): a runtime protocol's check costs as much as a whole plan.
        keeps: Callable[[str], bool] | None = getattr(self.provider, "keeps_responses", None)
        return keeps is not None and keeps(self.model)


@dataclass(frozen=True, slots=True)
class Route:
    """A model name of the configuration: `targets` are balanced, `fallbacks` follow in order."""

    name: str
    targets: tuple[Target, ...]
    fallbacks: tuple[Target, ...] = ()
    balance: Balance = "round_robin"


class Catalogue(Protocol):
    """What the planner asks about the models that providers list."""

    def models(self, provider: str) -> Sequence[Model] | None:
        """The models that `provider` lists; None if its list has never been read."""
        ...

    async def more_read(self) -> bool:
        """Wait until one more provider was read for the first time; False at once when all were."""
        ...


class Planner:
    """Resolves names: a route, ``provider/model``, a bare id that exactly one catalogue lists, ``auto``."""

    def __init__(
        self, providers: Mapping[str, Provider], routes: Mapping[str, Route], catalogue: Catalogue
    ) -> None:
        self._providers = providers
        self._routes = routes
        self._catalogue = catalogue
        self._aimed: dict[str, tuple[Target]] = {}  # names of the form provider/model that were asked for
        self._turns = dict.fromkeys(routes, 0)

    def plan(self, name: str) -> tuple[Target, ...]:
        """The targets to try for one request, in order; at least one.

        Raises `ModelUnknown` naming the nearest names, or `CatalogueUnread` if a list that may hold the
        name has never been read.
        """
        route = self._routes.get(name)
        if route is not None:
            return self._balanced(route) + route.fallbacks
        aimed = self._aimed.get(name)
        if aimed is not None:
            return aimed
        provider_name, slash, rest = name.partition("/")
        if slash and rest and provider_name in self._providers:
            aimed = (Target(self._providers[provider_name], provider_name, rest),)
            if len(self._aimed) < _MOST_AIMED:
                self._aimed[name] = aimed
            return aimed
        if name == AUTO:
            return (self._auto(),)
        listing = [each for each in self._providers if self._lists(each, name)]
        if len(listing) == 1:
            return (Target(self._providers[listing[0]], listing[0], name),)
        if listing:
            candidates = ", ".join(f"{each}/{name}" for each in listing)
            raise ModelUnknown(
                f"Several providers list the model {name!r}: ask for one of {candidates}.", param="model"
            )
        raise self._unknown(name)

    async def plan_patiently(self, name: str) -> tuple[Target, ...]:
        """As `plan`, but first readings of catalogues that are still under way are waited for, within bounds.

        So the first request after a start is answered as any later one.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                while await self._catalogue.more_read():
                    with contextlib.suppress(CatalogueUnread):
                        return self.plan(name)
        return self.plan(name)

    def auto(self) -> Target | None:
        """What ``auto`` stands for without a route of that name: a model that costs nothing, or None."""
        ranked: list[tuple[int, int, str]] = []
        for position, (name, provider) in enumerate(self._providers.items()):
            rank = provider.unmetered_rank() if isinstance(provider, Unmetered) else None
            if rank is not None and self._catalogue.models(name):
                ranked.append((rank, position, name))
        if not ranked:
            return None
        name = min(ranked)[2]
        models = self._catalogue.models(name) or ()
        return Target(self._providers[name], name, models[0].id)

    def names(self) -> Iterator[str]:
        """Every name that can be asked for and is known now: routes, ``auto``, each provider's models."""
        yield from self._routes
        if AUTO not in self._routes and self.auto() is not None:
            yield AUTO
        for provider in self._providers:
            for model in self._catalogue.models(provider) or ():
                yield f"{provider}/{model.id}"

    def _balanced(self, route: Route) -> tuple[Target, ...]:
        if route.balance == "in_order" or len(route.targets) == 1:
            return route.targets
        turn = self._turns[route.name]
        self._turns[route.name] = (turn + 1) % len(route.targets)
        return route.targets[turn:] + route.targets[:turn]

    def _lists(self, provider: str, model: str) -> bool:
        return any(each.id == model for each in self._catalogue.models(provider) or ())

    def _auto(self) -> Target:
        target = self.auto()
        if target is not None:
            return target
        if self._unread():
            raise self._catalogue_unread(AUTO)
        raise ModelUnknown(
            "The model 'auto' stands for nothing here: no local server and no embedded model was found. "
            "Configure [routes.auto], or ask for another model (GET /v1/models lists them).",
            param="model",
        )

    def _unread(self) -> list[str]:
        return [each for each in self._providers if self._catalogue.models(each) is None]

    def _catalogue_unread(self, name: str) -> CatalogueUnread:
        return CatalogueUnread(
            f"Whether {name!r} is served cannot be said yet: the models of "
            f"{', '.join(self._unread())} could not be read so far. Ask for provider/model to go without.",
            headers={"retry-after": "2"},
        )

    def _unknown(self, name: str) -> ModelUnknown | CatalogueUnread:
        if self._unread():
            return self._catalogue_unread(name)
        known = list(self.names())
        near = difflib.get_close_matches(name, [*known, *(each.partition("/")[2] for each in known)], n=3)
        bare = {each.partition("/")[2]: each for each in known if "/" in each}
        suggested = list(dict.fromkeys(bare.get(each, each) for each in near))
        if suggested:
            hint = f"Did you mean {' or '.join(suggested)}?"
        elif known:
            hint = f"Known are {', '.join(known[:8])}{' …' if len(known) > 8 else ''}."
        else:
            hint = "No model is known here at all; check the providers of the configuration."
        return ModelUnknown(f"The model {_short(name)!r} does not exist. {hint}", param="model")


def _short(name: str) -> str:
    return name if len(name) <= 120 else f"{name[:120]}…"
