"""A whole output item told as events, for an upstream that put it in its final Response alone.

Clients take items from different places: Codex from ``output_item.done``, the SDKs' accumulators from the
events before it. So each of them is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

_EMPTY: Final[Mapping[str, tuple[str, Any]]] = {
    # item type -> (the field that its events fill, what it begins as)
    "message": ("content", []),
    "reasoning": ("summary", []),
    "function_call": ("arguments", ""),
    "custom_tool_call": ("input", ""),
}

_TEXT_FIELD: Final[Mapping[str, str]] = {
    "output_text": "text",
    "refusal": "refusal",
    "reasoning_text": "text",
}

Told = tuple[str, dict[str, Any]]
"""An event's type and its fields, but for ``sequence_number``."""


def begun(item: Mapping[str, Any]) -> dict[str, Any]:
    """The item `item`, which is whole, as it is announced."""
    kind = item.get("type")
    announced = {**item, "status": "in_progress"}
    if isinstance(kind, str) and kind in _EMPTY:
        field, nothing = _EMPTY[kind]
        announced[field] = nothing
    if kind == "reasoning":
        announced.pop("content", None)
    return announced


def whole_item(index: int, item: Mapping[str, Any]) -> Iterator[Told]:
    """Every event of `item` (it has an id), from added to done, at place `index` of the output."""
    kind = item.get("type")
    yield "response.output_item.added", {"output_index": index, "item": begun(item)}
    place = {"item_id": item["id"], "output_index": index}
    if kind in ("message", "reasoning"):
        if kind == "reasoning":
            for number, part in enumerate(_parts(item, "summary")):
                yield from _summary({**place, "summary_index": number}, part)
        for number, part in enumerate(_parts(item, "content")):
            yield from _content({**place, "content_index": number}, part)
    elif kind == "function_call":
        name = {"name": item.get("name")}
        yield from _text("response.function_call_arguments", place, "arguments", item.get("arguments"), name)
    elif kind == "custom_tool_call":
        yield from _text("response.custom_tool_call_input", place, "input", item.get("input"), {})
    yield "response.output_item.done", {"output_index": index, "item": dict(item)}


def _parts(item: Mapping[str, Any], field: str) -> Iterator[dict[str, Any]]:
    parts = item.get(field)
    yield from (part for part in parts if isinstance(part, dict)) if isinstance(parts, list) else ()


def _text(
    stem: str, place: Mapping[str, Any], field: str, text: Any, more: Mapping[str, Any], **delta: Any
) -> Iterator[Told]:
    said = text if isinstance(text, str) else ""
    if said:
        yield f"{stem}.delta", {**place, "delta": said, **delta}
    yield f"{stem}.done", {**place, field: said, **more}


def _summary(place: Mapping[str, Any], part: Mapping[str, Any]) -> Iterator[Told]:
    yield "response.reasoning_summary_part.added", {**place, "part": {**part, "text": ""}}
    yield from _text("response.reasoning_summary_text", place, "text", part.get("text"), {})
    yield "response.reasoning_summary_part.done", {**place, "part": part}


def _content(place: Mapping[str, Any], part: Mapping[str, Any]) -> Iterator[Told]:
    kind = part.get("type")
    if not isinstance(kind, str) or kind not in _TEXT_FIELD:
        yield "response.content_part.added", {**place, "part": part}
        yield "response.content_part.done", {**place, "part": part}
        return
    field = _TEXT_FIELD[kind]
    more: dict[str, Any] = {}
    empty = {**part, field: ""}
    annotations: Any = ()
    if kind == "output_text":
        more = {"logprobs": part.get("logprobs") or []}
        annotations = part.get("annotations") or ()
        empty |= {"annotations": [], "logprobs": []}
    yield "response.content_part.added", {**place, "part": empty}
    deltas = _text(f"response.{kind}", place, field, part.get(field), more, **more)
    *before, done = deltas
    yield from before
    for number, annotation in enumerate(annotations):
        fields = {**place, "annotation_index": number, "annotation": annotation}
        yield "response.output_text.annotation.added", fields
    yield done
    yield "response.content_part.done", {**place, "part": part}
