"""From a request to the ordered targets that may answer it: one decision, in one place.

What is asked for stands for a route. Of its targets

1. `previous_response_id` leaves those that hold that response;
2. those that are known to lack what the request needs are left out;
3. those whose circuit breaker is open are set aside;
4. those of the account that sealed the conversation's reasoning come first;
5. among these, the one that served the conversation before (affinity), else whose turn it is (balance).

Fallbacks keep their order behind the targets, whatever was said of them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal, Protocol

import structlog

from maestro_daemon.errors import CatalogueUnread
from maestro_daemon.protocol.sealing import sealed_origins
from maestro_daemon.providers.account import account_hash
from maestro_daemon.providers.provider import Model, Provider
from maestro_daemon.request import ResponseRequest
from maestro_daemon.routing.affinity import Affinity
from maestro_daemon.routing.aim import pinned
from maestro_daemon.routing.conversation import Conversation, Kind, continued, conversation_of
from maestro_daemon.routing.memory import Memory
from maestro_daemon.routing.names import AUTO, Catalogue, Names
from maestro_daemon.routing.needs import Lack, Needs, unservable
from maestro_daemon.routing.target import Balance, Route, Target
from maestro_daemon.routing.turns import Turns

__all__ = ["AUTO", "Balance", "Catalogue", "Health", "Plan", "Planner", "Route", "Target"]

_log: Final = structlog.get_logger(__name__)
_PATIENCE: Final = 10.0  # seconds; an engine loads its model before it lists it


class Health(Protocol):
    """What is asked about how targets fare."""

    def available(self, target: Target) -> bool:
        """Whether it may be tried: its breaker is closed, or half-open with its probe free."""
        ...

    def in_flight(self, target: Target) -> int:
        """How many requests it is answering."""
        ...


class AllWell:
    """The health of targets that nobody watches."""

    def available(self, target: Target) -> bool:
        """Always."""
        return True

    def in_flight(self, target: Target) -> int:
        """None."""
        return 0


class Plan:
    """The targets for one request, and why these.

    `candidates` are to be tried in order. `cooling` are those whose breaker is open, as they would have
    come; without candidates there is one at least. `lacking` says who was left out, and for what. `kept_by`
    is what put the first candidate first: ``response`` (it holds the previous one), ``sealed`` (its account
    sealed the reasoning), affinity by the client's ``key``, by a ``header`` or by the ``history``; None for
    a new conversation.
    """

    __slots__ = (
        "_affinity",
        "_conversation",
        "_served_by",
        "candidates",
        "cooling",
        "kept_by",
        "lacking",
        "route",
    )

    def __init__(
        self,
        route: Route,
        candidates: tuple[Target, ...],
        *,
        cooling: tuple[Target, ...] = (),
        lacking: Sequence[Lack] = (),
        kept_by: Literal["response", "sealed"] | Kind | None = None,
        conversation: Conversation | None = None,
        affinity: Affinity | None = None,
    ) -> None:
        self.route = route
        self.candidates = candidates
        self.cooling = cooling
        self.lacking = lacking
        self.kept_by = kept_by
        self._conversation = conversation
        self._affinity = affinity
        self._served_by: Target | None = None

    def served_by(self, target: Target) -> None:
        """This target answers: the conversation stays with it, unless it is a fallback, which stands in."""
        if self._affinity is not None and self._conversation is not None and target in self.route.targets:
            self._served_by = target
            for key in self._conversation.keys:
                self._affinity.note(key, target.name, target.affinity)

    def answered(self, output: Sequence[Any]) -> None:
        """The answer is whole and holds these items; its next turn is told by them from those of others."""
        target = self._served_by
        if target is not None and self._affinity is not None and self._conversation is not None:
            for key in continued(self._conversation, output):
                self._affinity.note(key, target.name, target.affinity)


class Planner:
    """Makes the plan of every request.

    `memory` knows who made which response, `health` how targets fare, `affinity` who served which
    conversation and `turns` who gets the next one; these outlive the planner, which a new configuration
    replaces.
    """

    def __init__(
        self,
        providers: Mapping[str, Provider],
        routes: Mapping[str, Route],
        catalogue: Catalogue,
        memory: Memory,
        *,
        health: Health | None = None,
        affinity: Affinity | None = None,
        turns: Turns | None = None,
    ) -> None:
        self._names = Names(providers, routes, catalogue)
        self._catalogue = catalogue
        self._memory = memory
        self._health = AllWell() if health is None else health
        self._affinity = Affinity() if affinity is None else affinity
        self._turns = Turns() if turns is None else turns
        self._listed: dict[str, tuple[Sequence[Model] | None, dict[str, Model]]] = {}

    def auto(self) -> Target | None:
        """What ``auto`` stands for without a route of that name: a model that costs nothing, or None."""
        return self._names.auto()

    def names(self) -> Iterator[str]:
        """Every name that can be asked for and is known now: routes, ``auto``, each provider's models."""
        return self._names.names()

    async def plan_patiently(self, request: ResponseRequest) -> Plan:
        """As `plan`, but first readings of catalogues that are still under way are waited for, within bounds.

        So the first request after a start is answered as any later one.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                while await self._catalogue.more_read():
                    with contextlib.suppress(CatalogueUnread):
                        return self.plan(request)
        return self.plan(request)

    def plan(self, request: ResponseRequest) -> Plan:
        """The plan of one request; it has candidates, or targets that cool.

        Raises `ModelUnknown` naming the nearest names; `CatalogueUnread` if a list that may hold the name
        has never been read; `RequestInvalid` if no target holds the previous response or none has what the
        request needs.
        """
        route = self._names.route(request.model)
        targets, fallbacks = route.targets, route.fallbacks
        kept_by: Literal["response", "sealed"] | Kind | None = None
        if request.previous_response_id is not None:
            holders = pinned(request, targets + fallbacks, self._memory)
            targets = tuple(each for each in targets if each in holders)
            fallbacks = tuple(each for each in fallbacks if each in holders)
            kept_by = "response"
        lacking = self._lacking(request, targets + fallbacks)
        if lacking:
            _log.debug("targets left out", lacking={lack.target.name: lack.why for lack in lacking})
            left_out = [lack.target for lack in lacking]
            targets = tuple(each for each in targets if each not in left_out)
            fallbacks = tuple(each for each in fallbacks if each not in left_out)
            if not targets and not fallbacks:
                raise unservable(request.model, lacking)
        available = self._health.available
        ready = [each for each in targets if available(each)]
        standing_in = tuple(each for each in fallbacks if available(each)) if fallbacks else ()
        cooling: tuple[Target, ...] = ()
        if len(ready) + len(standing_in) < len(targets) + len(fallbacks):
            cooling = tuple(
                each for each in targets + fallbacks if each not in ready and each not in standing_in
            )
        if len(route.targets) == 1:
            return Plan(route, (*ready, *standing_in), cooling=cooling, lacking=lacking, kept_by=kept_by)
        conversation = conversation_of(request, route.name)
        ordered, why = self._ordered(request, route, ready, conversation)
        return Plan(
            route,
            (*ordered, *standing_in),
            cooling=cooling,
            lacking=lacking,
            kept_by=kept_by or why,
            conversation=conversation,
            affinity=self._affinity,
        )

    def _ordered(
        self,
        request: ResponseRequest,
        route: Route,
        ready: list[Target],
        conversation: Conversation | None,
    ) -> tuple[list[Target], Literal["sealed"] | Kind | None]:
        """The targets that can be tried, in order, and why the first is the first."""
        served = None
        if conversation is not None:
            for key in conversation.known_as:
                served = self._affinity.target(key)
                if served is not None:
                    break
        if len(ready) < 2:
            found = bool(ready) and served == ready[0].name
            return ready, conversation.kind if found and conversation is not None else None
        why: Literal["sealed"] | Kind | None = None
        later: list[Target] = []
        for account in sealed_origins(request):  # an older one, where none of the latest can be tried
            own = [each for each in ready if account_hash(each.provider, each.provider_name) == account]
            if own and len(own) < len(ready):
                why = "sealed"
                later = [each for each in ready if each not in own]
                ready = own
            if own:
                break
        turns, in_flight = self._turns.ordered, self._health.in_flight
        stays = next((each for each in ready if each.name == served), None)
        if stays is not None and conversation is not None:
            ready.remove(stays)
            ordered = [stays, *turns(route, ready, in_flight)]
            why = why or conversation.kind
        else:
            ordered = turns(route, ready, in_flight, count=True)
            if conversation is not None and conversation.kind != "history" and served is None:
                # Clients ask several things at once, and these are to share one prompt cache.
                self._affinity.note(conversation.keys[0], ordered[0].name, ordered[0].affinity)
        return ordered + turns(route, later, in_flight), why

    def _lacking(self, request: ResponseRequest, targets: Sequence[Target]) -> list[Lack]:
        """The targets that cannot serve the request, as far as the catalogue knows them."""
        # Words have four letters on average, their space included: where these fit, none are counted.
        most_tokens = 1 << 62 if request.text is None else len(request.text) >> 2
        longest = request.body.get("max_output_tokens")
        needs: Needs | None = None
        lacks: list[Lack] = []
        short: list[Lack] = []
        able = 0
        for target in targets:
            model = self._model(target)
            if model is None:
                able += 1
                continue
            window = model.context_window
            too_long = window is not None and window < most_tokens
            if model.vision is False or model.tools is False or too_long:
                needs = needs or Needs(request)
                lack = needs.lack(target, model)
                if lack is not None:
                    lacks.append(lack)
                    continue
            most = model.max_output_tokens
            if most is not None and longest.__class__ is int and longest > most:
                short.append(
                    Lack(target, f"answers {most} tokens at most", "invalid_value", "max_output_tokens")
                )
                continue
            able += 1
        # Some upstreams refuse what is more than they can say, others just say less.
        return lacks + short if able else lacks

    def _model(self, target: Target) -> Model | None:
        """What the catalogue says of a target, None if nothing."""
        models = self._catalogue.models(target.provider_name)
        listed = self._listed.get(target.provider_name)
        if listed is None or listed[0] is not models:
            listed = (models, {each.id: each for each in models or ()})
            self._listed[target.provider_name] = listed
        return listed[1].get(target.model)
