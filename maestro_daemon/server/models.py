"""``GET /v1/models``: OpenAI's list, and in the same object the one that Codex reads."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from maestro_daemon.errors import ModelUnknown
from maestro_daemon.protocol import json
from maestro_daemon.protocol.field_checks import quoted
from maestro_daemon.providers.provider import Model
from maestro_daemon.server.access import CLIENT
from maestro_daemon.server.client import Client
from maestro_daemon.server.codex_models import codex_entry
from maestro_daemon.server.offer import Offer
from maestro_daemon.server.paths import API_PREFIXES
from maestro_daemon.server.visit import unknown_to

_OWNER = "maestro-daemon"
_LONGEST_ECHO = 128
_MOST_LISTS = 64


@dataclass(frozen=True, slots=True)
class _List:
    """A list as it is sent."""

    body: bytes
    etag: str


def nobody(name: str) -> Client | None:
    """No client has a name."""
    return None


class ModelsPage:
    """The list of what `offer` gives when it is asked for, built when that has changed.

    `client` gives a client by its name; one that may ask for some models alone is shown these. `created`
    (unix seconds) is said of models whose upstream does not say when they were made.
    """

    def __init__(
        self, offer: Callable[[], Offer], client: Callable[[str], Client | None] = nobody, *, created: int
    ) -> None:
        self._offer = offer
        self._client = client
        self._created = created
        self._seen: list[Any] | None = None
        self._entries: dict[str, dict[str, Any]] = {}
        self._codex: dict[str, dict[str, Any]] = {}
        self._lists: dict[tuple[str, ...] | None, _List] = {}

    def routes(self) -> list[web.RouteDef]:
        """The list and its single entries, under every prefix."""
        return [
            route
            for prefix in API_PREFIXES
            for route in (
                web.get(f"{prefix}/models", self.list_all),
                web.get(f"{prefix}/models/{{id:.+}}", self.show_one),
            )
        ]

    async def list_all(self, request: web.Request) -> web.StreamResponse:
        """The whole list, with a strong ETag."""
        self._refresh()
        listed = self._listed(self._client(request.get(CLIENT, "")))
        headers = {"etag": listed.etag, "cache-control": "no-cache"}
        if _matches(request.headers.getall("If-None-Match", ()), listed.etag):
            return web.Response(status=304, headers=headers)
        return web.Response(body=listed.body, headers=headers, content_type="application/json")

    async def show_one(self, request: web.Request) -> web.StreamResponse:
        """One entry of OpenAI's list; a bare id that exactly one provider lists is known as well."""
        offer = self._refresh()
        wanted = request.match_info["id"]
        client = self._client(request.get(CLIENT, ""))
        if client is not None and not client.may_ask_for(wanted):
            raise unknown_to(client, wanted)
        entry = self._entries.get(wanted) or self._bare(offer, wanted)
        if entry is None:
            shown = quoted(wanted, _LONGEST_ECHO)
            raise ModelUnknown(
                f"The model {shown} is not listed here; GET /v1/models lists what is.", param="model"
            )
        return web.Response(body=json.dumps(entry), content_type="application/json")

    def _bare(self, offer: Offer, wanted: str) -> dict[str, Any] | None:
        found = [
            entry
            for provider in offer.providers
            if (entry := self._entries.get(f"{provider}/{wanted}")) is not None
        ]
        return {**found[0], "id": wanted} if len(found) == 1 else None

    def _refresh(self) -> Offer:
        """Build the list anew if need be, and give what it lists."""
        offer = self._offer()
        auto = offer.auto()
        seen: list[Any] = [offer, auto, *(offer.catalogue.models(provider) for provider in offer.providers)]
        if self._seen is not None and all(map(_is_same, self._seen, seen)):
            return offer
        names = _names(offer, auto)
        self._entries = {name: self._entry(offer, name, targets) for name, targets in names.items()}
        self._codex = {
            name: entry
            for priority, (name, targets) in enumerate(names.items())
            if (entry := _codex_entry(offer, name, targets, priority)) is not None
        }
        self._lists.clear()
        self._seen = seen
        return offer

    def _listed(self, client: Client | None) -> _List:
        """What the client may ask for; None may all."""
        routes = None if client is None else client.routes
        listed = self._lists.get(routes)
        if listed is None:
            if len(self._lists) >= _MOST_LISTS:
                self._lists.clear()
            may = (lambda name: True) if client is None else client.may_ask_for
            document = {
                "object": "list",
                "data": [entry for name, entry in self._entries.items() if may(name)],
                "models": [entry for name, entry in self._codex.items() if may(name)],
            }
            body = json.dumps(document)
            listed = self._lists[routes] = _List(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')
        return listed

    def _entry(self, offer: Offer, name: str, targets: Sequence[str]) -> dict[str, Any]:
        models = [offer.model(target) for target in targets]
        known = [model for model in models if model is not None]
        own = len(targets) == 1 and targets[0] == name
        entry: dict[str, Any] = {
            "id": name,
            "object": "model",
            "created": _created(known[0], self._created) if own and known else self._created,
            "owned_by": name.partition("/")[0] if own else _OWNER,
        }
        if own and known and known[0].name:
            entry["name"] = known[0].name
        for field in ("context_window", "max_output_tokens"):
            said = [value for model in known if (value := getattr(model, field))]
            if said:
                entry[field] = min(said)
        return entry


def _codex_entry(offer: Offer, name: str, targets: Sequence[str], priority: int) -> dict[str, Any] | None:
    models = [offer.model(target) for target in targets]
    return codex_entry(name, models=models, priority=priority)


def _names(offer: Offer, auto: str | None) -> dict[str, Sequence[str]]:
    """Every model name on offer with the targets that may serve it, in the order of the list."""
    names: dict[str, Sequence[str]] = dict(offer.routes)
    if auto is not None:
        names.setdefault("auto", (auto,))
    for provider in offer.providers:
        for model in offer.catalogue.models(provider) or ():
            target = f"{provider}/{model.id}"
            names.setdefault(target, (target,))
    return names


def _created(model: Model, otherwise: int) -> int:
    said = model.details.get("created")
    return said if type(said) is int and said > 0 else otherwise


def _is_same(one: Any, other: Any) -> bool:
    return one is other or (isinstance(one, str) and one == other)


def _matches(headers: Sequence[str], etag: str) -> bool:
    for header in headers:
        for said in header.split(","):
            if said.strip() == "*" or said.strip().removeprefix("W/") == etag:
                return True
    return False
