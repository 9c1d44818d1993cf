"""What is known of each model: from the list of models, or asked for when a request names another one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode

from maestro_daemon.plugin import HttpUpstream, MaestroError, Model, UpstreamBroken, UpstreamRefused

EFFORTS: Final = ("low", "medium", "high", "xhigh", "max")
"""The efforts that the API knows, lowest first."""

_PATIENCE: Final = 2.0
"""Seconds that a request waits to learn about its model; it is sent without that knowledge then."""

_ASK_AGAIN: Final = 60.0
_ASK_AGAIN_AFTER_NO: Final = 600.0
_MOST_KNOWN: Final = 2000
_MOST_PAGES: Final = 20
_PAGE: Final = 1000


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """One model's abilities; None is not known.

    `max_tokens` bounds an answer. `adaptive`, `budget` and `disabled` say which kinds of thinking a request
    may ask for, `efforts` which efforts. `images`, `pdfs` and `schemas` say what it takes.
    """

    max_tokens: int | None = None
    adaptive: bool | None = None
    budget: bool | None = None
    disabled: bool | None = None
    efforts: tuple[str, ...] | None = None
    images: bool | None = None
    pdfs: bool | None = None
    schemas: bool | None = None

    @property
    def always_thinks(self) -> bool:
        """Thinking cannot be turned off, so that no tool can be forced either."""
        return self.adaptive is True and self.disabled is False


NOTHING_KNOWN: Final = ModelFacts()


class Knowledge:
    """The facts of one upstream's models. `http` is for questions alone: short timeouts, no queue."""

    def __init__(self, http: HttpUpstream) -> None:
        self._http = http
        self._known: dict[str, ModelFacts] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._not_before: dict[str, float] = {}

    async def listed(self) -> Sequence[Model]:
        """``GET /models``, all pages, less entries without an id. Raises as `HttpUpstream.get_json`."""
        models: list[Model] = []
        query: dict[str, Any] = {"limit": _PAGE}
        for _ in range(_MOST_PAGES):
            page = await self._http.get_json(f"/models?{urlencode(query)}")
            entries = page.get("data") if isinstance(page, dict) else None
            if not isinstance(entries, list):
                raise UpstreamBroken(
                    f"{self._http.provider} answered /models with something else than a list of models."
                )
            for entry in entries:
                if isinstance(entry, dict) and isinstance(entry.get("id"), str):
                    facts = facts_of(entry)
                    self._learn(entry["id"], facts)
                    models.append(_model(entry, facts))
            last = page.get("last_id")
            if page.get("has_more") is not True or not isinstance(last, str) or last == query.get("after_id"):
                break
            query["after_id"] = last
        return models

    async def of(self, model: str) -> ModelFacts:
        """What is known of a model, asked for within a short wait if need be. Never raises."""
        known = self._known.get(model)
        if known is not None:
            return known
        asking = self._asking.get(model)
        if asking is None:
            if asyncio.get_running_loop().time() < self._not_before.get(model, 0.0):
                return NOTHING_KNOWN
            asking = asyncio.create_task(self._ask(model), name=f"what model is {model}")
            self._asking[model] = asking
        await asyncio.wait({asking}, timeout=_PATIENCE)
        return self._known.get(model, NOTHING_KNOWN)

    async def aclose(self) -> None:
        """End the questions that are still open."""
        asking = set(self._asking.values())
        for task in asking:
            task.cancel()
        if asking:
            await asyncio.wait(asking)

    async def _ask(self, model: str) -> None:
        try:
            entry = await self._http.get_json(f"/models/{quote(model, safe='')}")
            self._learn(model, facts_of(entry if isinstance(entry, dict) else {}))
        except MaestroError as error:
            no = isinstance(error, UpstreamRefused) and error.status == 404
            if len(self._not_before) >= _MOST_KNOWN:
                self._not_before.clear()
            wait = _ASK_AGAIN_AFTER_NO if no else _ASK_AGAIN
            self._not_before[model] = asyncio.get_running_loop().time() + wait
        finally:
            del self._asking[model]

    def _learn(self, model: str, facts: ModelFacts) -> None:
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[model] = facts


def facts_of(entry: Mapping[str, Any]) -> ModelFacts:
    """The facts that one entry of the list of models tells."""
    able = _table(entry.get("capabilities"))
    thinking = _table(able.get("thinking"))
    types = _table(thinking.get("types"))
    effort = able.get("effort")
    efforts = None
    if isinstance(effort, dict):
        efforts = tuple(word for word in EFFORTS if _supported(effort.get(word)))
    none_at_all = thinking.get("supported") is False
    return ModelFacts(
        max_tokens=_tokens(entry.get("max_tokens")),
        adaptive=False if none_at_all else _supported(types.get("adaptive")),
        budget=False if none_at_all else _supported(types.get("enabled")),
        disabled=_supported(types.get("disabled")),
        efforts=efforts,
        images=_supported(able.get("image_input")),
        pdfs=_supported(able.get("pdf_input")),
        schemas=_supported(able.get("structured_outputs")),
    )


def _model(entry: Mapping[str, Any], facts: ModelFacts) -> Model:
    efforts: tuple[str, ...] = facts.efforts or ()
    if not efforts and facts.budget:
        efforts = ("low", "medium", "high")
    if efforts and facts.disabled is not False:
        efforts = ("none", *efforts)
    name = entry.get("display_name")
    return Model(
        entry["id"],
        name=name if isinstance(name, str) else "",
        context_window=_tokens(entry.get("max_input_tokens")),
        max_output_tokens=facts.max_tokens,
        vision=facts.images,
        reasoning_efforts=efforts,
        details={key: value for key, value in entry.items() if key != "id"},
    )


def _supported(said: Any) -> bool | None:
    supported = _table(said).get("supported")
    return supported if isinstance(supported, bool) else None


def _tokens(value: Any) -> int | None:
    return value if type(value) is int and value > 0 else None


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
