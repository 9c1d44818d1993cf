"""Where scenarios are played: a fake upstream as the checks see it, whatever its dialect."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from maestro_daemon.testing.breach import Inapplicable
from maestro_daemon.testing.fake_upstream import FakeUpstream, fake_upstream
from maestro_daemon.testing.scenarios import Listing, Scenario
from maestro_daemon.testing.wire import Wire

Fields = Mapping[str, Any]
"""Fields that a request has to have (``{"input": …}``), so that it is answered as the scenario says."""


@dataclass(frozen=True)
class Asked:
    """One request as the upstream got it: `where` is path and query, `body` its bytes."""

    where: str
    body: bytes


class Stage(ABC):
    """A fake upstream of your own. Each method may raise `Inapplicable` with the reason why it cannot.

    `url` is what the provider's table gets as its base URL, "" for a provider that has none.
    """

    url: str = ""

    passes_unknown: bool = False
    """True where fields and events that nobody knows reach the client as they are."""

    says_what_it_is_told: bool = True
    """False for a model that says what it likes: its words are not compared then."""

    counts_tokens: bool = True
    """False where the provider counts by itself: its figures are not compared."""

    @abstractmethod
    def play(self, *scenarios: Scenario) -> Sequence[Fields]:
        """Script what the next requests get, in this order; the last one stays.

        Returns what each of those requests has to say for that: an empty mapping, unless the upstream
        answers from the prompt.
        """

    def play_listing(self, listing: Listing) -> None:
        """Script what a question for the models gets."""
        raise Inapplicable("the list of models is the provider's own")

    def asked(self) -> Sequence[Asked]:
        """Every request so far, questions for models among them."""
        raise Inapplicable("nothing is sent to an upstream")

    async def left(self) -> None:
        """Wait until a client left before its answer was complete; whoever calls bounds the wait."""
        raise Inapplicable("there is no connection to an upstream")

    def connections(self) -> int:
        """How many connections of the provider are open."""
        raise Inapplicable("there is no connection to an upstream")


class HttpStage(Stage):
    """The kit's own server, which answers in the words of a `Wire`. `fake` is the server itself."""

    def __init__(self, wire: Wire, fake: FakeUpstream) -> None:
        self.fake = fake
        self.url = fake.url
        self.passes_unknown = wire.passes_unknown
        self._wire = wire
        fake.models_path = wire.models_path
        fake.also = dict(wire.also)
        fake.models = wire.listing(("gpt-test",))

    def play(self, *scenarios: Scenario) -> Sequence[Fields]:
        """As `Stage.play`; the requests need nothing for it."""
        self.fake.play(*map(self._wire.played, scenarios))
        return [{} for _ in scenarios]

    def play_listing(self, listing: Listing) -> None:
        """As `Stage.play_listing`."""
        self.fake.models = self._wire.played_listing(listing)

    def asked(self) -> Sequence[Asked]:
        """As `Stage.asked`."""
        return [Asked(f"{each.path}?{each.query}", each.raw) for each in self.fake.every]

    async def left(self) -> None:
        """As `Stage.left`."""
        await self.fake.left.get()

    def connections(self) -> int:
        """As `Stage.connections`."""
        return self.fake.connections


@asynccontextmanager
async def http_stage(wire: Wire) -> AsyncIterator[HttpStage]:
    """A server that speaks as `wire` says."""
    async with fake_upstream() as fake:
        yield HttpStage(wire, fake)
