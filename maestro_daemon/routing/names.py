"""What a name stands for: a route, a provider's model, a bare id, ``auto``."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Protocol

from maestro_daemon.errors import CatalogueUnread, ModelUnknown
from maestro_daemon.providers.abilities import unmetered_rank_of
from maestro_daemon.providers.provider import Model, Provider
from maestro_daemon.routing.target import Route, Target

AUTO: Final = "auto"
_MOST_AIMED: Final = 256


class Catalogue(Protocol):
    """What is asked about the models that providers list."""

    def models(self, provider: str) -> Sequence[Model] | None:
        """The models that `provider` lists; None if its list has never been read. Read anew, a new object."""
        ...

    async def more_read(self) -> bool:
        """Wait until one more provider was read for the first time; False at once when all were."""
        ...


class Names:
    """Resolves names, and lists those that can be asked for."""

    def __init__(
        self, providers: Mapping[str, Provider], routes: Mapping[str, Route], catalogue: Catalogue
    ) -> None:
        self._providers = providers
        self._routes = routes
        self._catalogue = catalogue
        self._aimed: dict[str, Route] = {}  # names of the form provider/model that were asked for

    def route(self, name: str) -> Route:
        """The route of this name, or one of the single target that the name stands for.

        Raises `ModelUnknown` naming the nearest names, or `CatalogueUnread` if a list that may hold the
        name has never been read.
        """
        route = self._routes.get(name)
        if route is not None:
            return route
        aimed = self._aimed.get(name)
        if aimed is not None:
            return aimed
        provider_name, slash, rest = name.partition("/")
        if slash and rest and provider_name in self._providers:
            aimed = self._alone(name, provider_name, rest)
            if len(self._aimed) < _MOST_AIMED:
                self._aimed[name] = aimed
            return aimed
        if name == AUTO:
            return self._auto()
        listing = [each for each in self._providers if self._lists(each, name)]
        if len(listing) == 1:
            return self._alone(name, listing[0], name)
        if listing:
            candidates = ", ".join(f"{each}/{name}" for each in listing)
            raise ModelUnknown(
                f"Several providers list the model {name!r}: ask for one of {candidates}.", param="model"
            )
        raise self._unknown(name)

    def auto(self) -> Target | None:
        """What ``auto`` stands for without a route of that name: a model that costs nothing, or None."""
        ranked: list[tuple[int, int, str]] = []
        for position, (name, provider) in enumerate(self._providers.items()):
            rank = unmetered_rank_of(name, provider)
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

    def _alone(self, name: str, provider: str, model: str) -> Route:
        return Route(name, (Target(self._providers[provider], provider, model),))

    def _lists(self, provider: str, model: str) -> bool:
        return any(each.id == model for each in self._catalogue.models(provider) or ())

    def _auto(self) -> Route:
        target = self.auto()
        if target is not None:
            return Route(AUTO, (target,))
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
