"""Text of an item that an upstream told only when it was over, told as the deltas that clients go by.

Some upstreams (GitHub Copilot) leave text out of their deltas and have it in the ``done`` events alone, or
in the finished item alone. Whatever is missing there is supplied before the event that holds it; nothing is
told twice, and a text that disagrees with its deltas is left as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from maestro_daemon.protocol.open_item import CALL_TEXTS, DONES, PARTS, TEXT_FIELD, Key, OpenItem

ITEM_DONE: Final = "response.output_item.done"

ENDS: Final = frozenset({*DONES, *(type for type, (_, complete) in PARTS.items() if complete), ITEM_DONE})
"""Types of events that hold a whole text."""

_PART_LISTS: Final[Mapping[str, tuple[str, ...]]] = {
    # item type -> the fields with its parts, in the order in which they are told
    "message": ("content",),
    "reasoning": ("summary", "content"),
}

Told = tuple[str, dict[str, Any]]
"""An event's type and its fields, but for ``sequence_number``."""


def missing_text(item: OpenItem, type: str, event: Mapping[str, Any]) -> Iterator[Told]:
    """The events to tell before `event` of this `type` (one of `ENDS`), which is not noted in `item` yet."""
    if type in DONES:
        kind, place, field = DONES[type]
        yield from _text(item, (kind, _number(event.get(place))), event.get(field), type)
    elif type in PARTS:
        place, _ = PARTS[type]
        yield from _part(item, _number(event.get(place)), event.get("part"), ended=False)
    elif type == ITEM_DONE and isinstance(event.get("item"), dict):
        yield from _item(item, event["item"])


def _item(item: OpenItem, whole: Mapping[str, Any]) -> Iterator[Told]:
    kind = whole.get("type")
    if not isinstance(kind, str):
        return
    for field in _PART_LISTS.get(kind, ()):
        parts = whole.get(field)
        for number, part in enumerate(parts if isinstance(parts, list) else ()):
            yield from _part(item, number, part, ended=True)
    if kind in CALL_TEXTS:
        field, done = CALL_TEXTS[kind]
        text = whole.get(field)
        if isinstance(text, str) and text and not item.has_ended((field, 0)):
            yield from _text(item, (field, 0), text, done)
            name = {"name": whole.get("name")} if kind == "function_call" else {}
            yield done, {**item.place, field: text, **name}


def _part(item: OpenItem, number: int, part: Any, *, ended: bool) -> Iterator[Told]:
    """What is missing of a part that is whole as `part`; with `ended` its own end too."""
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(kind, str) or kind not in TEXT_FIELD:
        return
    key = (kind, number)
    text = part.get(TEXT_FIELD[kind])
    if not isinstance(text, str) or (ended and item.has_closed(key)):
        return
    done = f"response.{'reasoning_summary_text' if kind == 'summary_text' else kind}.done"
    yield from _text(item, key, text, done)
    if not item.has_ended(key):
        logprobs = {"logprobs": part.get("logprobs") or []} if kind == "output_text" else {}
        yield done, {**_where(item.place, key), TEXT_FIELD[kind]: text, **logprobs}
    if ended:
        yield f"response.{_part_stem(kind)}.done", {**_where(item.place, key), "part": part}


def _text(item: OpenItem, key: Key, whole: Any, done: str) -> Iterator[Told]:
    """What is missing of a text that ends as `whole`, by the event `done`: its part's beginning, deltas."""
    if not isinstance(whole, str):
        return
    kind, _ = key
    if kind in TEXT_FIELD and not item.has_begun(key):
        yield begun_part(item.place, key)
    said = item.said(key)
    if len(said) < len(whole) and whole.startswith(said):
        more: dict[str, Any] = {"logprobs": []} if kind == "output_text" else {}
        yield (
            f"{done.removesuffix('done')}delta",
            {**_where(item.place, key), "delta": whole[len(said) :], **more},
        )


def begun_part(place: Mapping[str, Any], key: Key) -> Told:
    """The beginning of a text's part, in the item that `place` names (``item_id`` and ``output_index``)."""
    kind, _ = key
    empty: dict[str, Any] = {"type": kind, TEXT_FIELD[kind]: ""}
    if kind == "output_text":
        empty |= {"annotations": [], "logprobs": []}
    return f"response.{_part_stem(kind)}.added", {**_where(place, key), "part": empty}


def _where(place: Mapping[str, Any], key: Key) -> dict[str, Any]:
    kind, number = key
    if kind not in TEXT_FIELD:
        return dict(place)
    return {**place, "summary_index" if kind == "summary_text" else "content_index": number}


def _part_stem(kind: str) -> str:
    return "reasoning_summary_part" if kind == "summary_text" else "content_part"


def _number(value: Any) -> int:
    return value if value.__class__ is int else 0
