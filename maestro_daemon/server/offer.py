"""What the daemon has on offer, as the pages that list it see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from maestro_daemon.providers.provider import Model


class Catalogue(Protocol):
    """What each provider's upstream was last heard to list."""

    def models(self, provider: str) -> Sequence[Model] | None:
        """The provider's models, None while they have never been read. The same object until read anew."""
        ...

    def failure(self, provider: str) -> str | None:
        """Why the provider cannot serve just now, as one sentence without secrets; None when it can."""
        ...


@dataclass(frozen=True, slots=True)
class Offer:
    """Routes, providers and their models.

    `providers` are the configured names, in order. `routes` maps each route's name to all its targets and
    fallbacks, each ``provider/model``. `auto` gives the target that the name ``auto`` stands for, None if
    there is none; a configured route of that name goes before it.
    """

    providers: Sequence[str]
    routes: Mapping[str, Sequence[str]]
    catalogue: Catalogue
    auto: Callable[[], str | None] = lambda: None

    def model(self, target: str) -> Model | None:
        """What is known of ``provider/model``, None if no catalogue lists it."""
        provider, _, wanted = target.partition("/")
        if provider not in self.providers:
            return None
        for model in self.catalogue.models(provider) or ():
            if model.id == wanted:
                return model
        return None
