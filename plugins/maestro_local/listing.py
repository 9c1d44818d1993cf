"""What each server says about its models: listings in, `Model` objects out. No input or output here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from maestro_daemon.plugin import Model

_WINDOWS: Final = (
    "max_model_len",  # vLLM, SGLang
    "loaded_context_length",  # LM Studio, of a loaded model
    "max_context_length",  # LM Studio
    "context_length",
    "context_window",
)
_NUM_CTX: Final = re.compile(r"^num_ctx\s+(\d+)", re.MULTILINE)
_EFFORTS: Final = ("low", "medium", "high")


def listed(listing: Any) -> list[Model]:
    """The models of a ``GET /models`` answer in OpenAI's shape, with the context window where it is said.

    An entry without an id is left out; a server without models may say null for the list.
    """
    return [_model(entry) for entry in _entries(listing, "data")]


def _model(entry: Mapping[str, Any]) -> Model:
    meta = _table(entry, "meta")
    modalities = _table(entry, "architecture").get("input_modalities")
    return Model(
        entry["id"],
        context_window=_tokens(meta.get("n_ctx")) or _first_tokens(entry),
        vision="image" in modalities if isinstance(modalities, list) else None,
        details=_details(entry),
    )


def with_props(model: Model, props: Any) -> Model:
    """`model` with what llama.cpp's ``GET /props`` says of the one model that it has loaded."""
    if not isinstance(props, dict):
        return model
    caps = _table(props, "chat_template_caps")
    vision = _table(props, "modalities").get("vision")
    window = _tokens(_table(props, "default_generation_settings").get("n_ctx"))
    return replace(
        model,
        context_window=model.context_window or window,
        tools=caps["supports_tools"] if isinstance(caps.get("supports_tools"), bool) else model.tools,
        vision=vision if isinstance(vision, bool) else model.vision,
    )


def with_show(model: Model, show: Any, loaded: Mapping[str, int]) -> Model | None:
    """`model` with what Ollama's ``POST /api/show`` says; None for one that cannot chat (embeddings).

    `loaded` holds the windows that are in use, see `loaded_windows`.
    """
    if not isinstance(show, dict):
        return model
    said = show.get("capabilities")
    able = [each for each in said if isinstance(each, str)] if isinstance(said, list) else []
    if able and "completion" not in able:
        return None
    info = _table(show, "model_info")
    trained = next((_tokens(info[key]) for key in info if key.endswith(".context_length")), None)
    parameters = show.get("parameters")
    chosen = _NUM_CTX.search(parameters) if isinstance(parameters, str) else None
    return replace(
        model,
        context_window=loaded.get(model.id) or (int(chosen[1]) if chosen else None) or trained,
        tools="tools" in able if able else None,
        vision="vision" in able if able else None,
        reasoning_efforts=_EFFORTS if "thinking" in able else (),
        details={**model.details, "capabilities": able, "trained_context": trained},
    )


def loaded_windows(running: Any) -> dict[str, int]:
    """Context windows in use by model name, of Ollama's ``GET /api/ps``."""
    windows = {}
    for entry in _entries(running, "models", name="name"):
        window = _tokens(entry.get("context_length"))
        if window:
            windows[entry["name"]] = window
    return windows


def native_listing(listing: Any) -> dict[str, Model | None]:
    """Models by id, of LM Studio's own ``GET /api/v1/models`` or ``/api/v0/models``; None for an embedder."""
    found: dict[str, Model | None] = {}
    for entry in _entries(listing, "models", name="key"):
        instances = [each for each in _list(entry, "loaded_instances") if isinstance(each, dict)]
        windows = [_tokens(_table(each, "config").get("context_length")) for each in instances]
        able = _table(entry, "capabilities")
        model = Model(
            entry["key"],
            name=entry["display_name"] if isinstance(entry.get("display_name"), str) else "",
            context_window=next((each for each in windows if each), None) or _first_tokens(entry),
            tools=True if able.get("trained_for_tool_use") is True else None,
            vision=able["vision"] if isinstance(able.get("vision"), bool) else None,
            details=_details(entry),
        )
        chats = entry.get("type") != "embedding"
        for id in [model.id, *(each["id"] for each in instances if _named(each))]:
            found[id] = replace(model, id=id) if chats else None
    for entry in _entries(listing, "data"):
        kind = entry.get("type")
        model = replace(
            _model(entry),
            tools=True if "tool_use" in _list(entry, "capabilities") else None,
            vision=kind == "vlm" if kind in ("llm", "vlm") else None,
        )
        found[model.id] = model if kind != "embeddings" else None
    return found


def _entries(listing: Any, key: str, *, name: str = "id") -> Iterator[dict[str, Any]]:
    for entry in _list(listing, key):
        if isinstance(entry, dict) and isinstance(entry.get(name), str) and entry[name]:
            yield entry


def _named(entry: Mapping[str, Any]) -> bool:
    return isinstance(entry.get("id"), str) and bool(entry["id"])


def _list(holder: Any, key: str) -> list[Any]:
    value = holder.get(key) if isinstance(holder, dict) else None
    return value if isinstance(value, list) else []


def _table(holder: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = holder.get(key)
    return value if isinstance(value, dict) else {}


def _tokens(value: Any) -> int | None:
    return value if type(value) is int and value > 0 else None


def _first_tokens(entry: Mapping[str, Any]) -> int | None:
    return next((tokens for key in _WINDOWS if (tokens := _tokens(entry.get(key)))), None)


def _details(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The flat facts of an entry, for people to read."""
    return {
        key: value
        for key, value in entry.items()
        if key not in ("id", "object") and isinstance(value, str | int | float | bool) and value != ""
    }
