"""What Copilot's ``GET /models`` says, entry by entry. No input or output here.

Every field may be missing; one of another shape than any seen so far spoils its own entry and no other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from maestro_copilot.quirks import Dialect
from maestro_daemon.plugin import Model, UpstreamBroken

_RESPONSES: Final = "/responses"
_CHAT: Final = "/chat/completions"
_LONGEST_NAME: Final = 60

Kind = TypeVar("Kind")


@dataclass(frozen=True, slots=True)
class CopilotModel:
    """One chat model that the subscription may use.

    `model` is what the house lists. `dialect` is how it is spoken to. `streams` is False for one that cannot
    stream; `reasons` False for one that says what it supports, and thinking is not among it.
    """

    model: Model
    dialect: Dialect
    streams: bool
    reasons: bool | None


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The models of one answer by their ids, and the entries that could not be read, with the reason."""

    models: Mapping[str, CopilotModel]
    skipped: tuple[str, ...] = ()


class _Bad(ValueError):
    """An entry is not what an entry is; the message says where."""


def catalogue(listing: Any) -> Catalogue:
    """The chat models on offer of a ``GET /models`` answer.

    Left out are models of other types and such whose policy is not enabled. Raises `UpstreamBroken` for what
    is no list of models at all.
    """
    data = listing.get("data") if isinstance(listing, dict) else None
    if not isinstance(data, list):
        raise UpstreamBroken("GitHub Copilot answered /models with something else than a list of models.")
    models: dict[str, CopilotModel] = {}
    skipped: list[str] = []
    for place, entry in enumerate(data):
        try:
            model = _entry(entry)
        except _Bad as error:
            skipped.append(f"{_name(entry, place)}: {error}")
            continue
        if model is None:
            continue
        known = models.get(model.model.id)
        if known is None or _version(model) > _version(known):
            models[model.model.id] = model
    return Catalogue(models, tuple(skipped))


def _entry(entry: Any) -> CopilotModel | None:
    if not isinstance(entry, dict):
        raise _Bad("is no object")
    id = _text(entry, "id")
    if not id:
        raise _Bad("has no id")
    if not id.isprintable():
        raise _Bad("its id holds characters that no name has")
    able = _table(entry, "capabilities")
    if able.get("type") is not None and _text(able, "type") != "chat":
        return None
    state = _text(_table(entry, "policy"), "state")
    if state not in ("", "enabled"):
        return None
    endpoints = _endpoints(entry)
    dialect = _dialect(endpoints)
    if dialect is None:
        raise _Bad(f"is served at {', '.join(endpoints)} alone")
    if not able and not endpoints:
        raise _Bad("does not say what it is")
    limits = _table(able, "limits")
    supports = _table(able, "supports")
    efforts = _efforts(supports.get("reasoning_effort"))
    thinks = any(_flag(supports, name) for name in ("thinking", "adaptive_thinking")) or bool(efforts)
    model = Model(
        id,
        name=_text(entry, "name"),
        context_window=_tokens(limits, "max_context_window_tokens") or _tokens(limits, "max_prompt_tokens"),
        max_output_tokens=_tokens(limits, "max_output_tokens"),
        tools=_flag(supports, "tool_calls"),
        vision=_flag(supports, "vision"),
        reasoning_efforts=efforts,
        details=_details(
            entry, endpoints, _tokens(limits, "max_prompt_tokens"), thinks if supports else None
        ),
    )
    return CopilotModel(
        model, dialect, _flag(supports, "streaming") is not False, thinks if supports else None
    )


def _endpoints(entry: Mapping[str, Any]) -> tuple[str, ...]:
    said = _typed(entry, "supported_endpoints", list) or []
    if not all(isinstance(each, str) for each in said):
        raise _Bad("supported_endpoints holds something else than strings")
    return tuple(said)


def _dialect(endpoints: Iterable[str]) -> Dialect | None:
    """Native where it can be; a model that does not say its endpoints is an older one, with chat alone."""
    if _RESPONSES in endpoints:
        return "responses"
    return "chat" if _CHAT in endpoints or not endpoints else None


def _efforts(said: Any) -> tuple[str, ...]:
    """The efforts, told as a list of words, as ``{values: […]}``, or as ``[{value: …}]``."""
    if isinstance(said, dict):
        said = said.get("values")
    if said is None or isinstance(said, bool):
        return ()
    if not isinstance(said, list):
        raise _Bad("reasoning_effort is no list")
    words = [each.get("value") if isinstance(each, dict) else each for each in said]
    efforts = tuple(word for word in words if isinstance(word, str) and word)
    if len(efforts) < len(words):
        raise _Bad("reasoning_effort holds something else than words")
    return efforts


def _details(
    entry: Mapping[str, Any], endpoints: tuple[str, ...], prompt: int | None, thinks: bool | None
) -> dict[str, Any]:
    """The facts for people to read: of a wrong type, they are left out."""
    billing = entry.get("billing")
    multiplier = billing.get("multiplier") if isinstance(billing, dict) else None
    family = _table(entry, "capabilities").get("family")
    said: dict[str, Any] = {
        "endpoints": list(endpoints),
        "vendor": entry.get("vendor"),
        "family": family,
        "version": entry.get("version"),
        "preview": entry.get("preview"),
        "picker": entry.get("model_picker_enabled"),
        "multiplier": multiplier,
        "max_prompt_tokens": prompt,
        "thinking": thinks,
    }
    return {
        key: value
        for key, value in said.items()
        if key == "endpoints" or (isinstance(value, str | int | float | bool) and value != "")
    }


def _version(model: CopilotModel) -> str:
    return str(model.model.details.get("version", ""))


def _name(entry: Any, place: int) -> str:
    id = entry.get("id") if isinstance(entry, dict) else None
    if isinstance(id, str) and id:
        return id[:_LONGEST_NAME]
    return f"data[{place}]"


def _typed(holder: Mapping[str, Any], key: str, kind: type[Kind]) -> Kind | None:
    value = holder.get(key)
    if value is None or isinstance(value, kind):
        return value
    raise _Bad(f"{key} is no {_WORDS[kind]}")


_WORDS: Final[Mapping[type[Any], str]] = {str: "string", dict: "object", list: "list", bool: "boolean"}


def _text(holder: Mapping[str, Any], key: str) -> str:
    return _typed(holder, key, str) or ""


def _table(holder: Mapping[str, Any], key: str) -> dict[str, Any]:
    return _typed(holder, key, dict) or {}


def _flag(holder: Mapping[str, Any], key: str) -> bool | None:
    return _typed(holder, key, bool)


def _tokens(holder: Mapping[str, Any], key: str) -> int | None:
    value = holder.get(key)
    if value is None or value == 0:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1 or value < 0:
        raise _Bad(f"{key} is no number of tokens")
    return int(value)
