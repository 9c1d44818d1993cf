"""An output item whose end has not come yet: what its events add up to, and how it is ended for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

Key = tuple[str, int]
"""One text of an item: its kind (a part's type, ``arguments``, ``input``) and the index of its part."""

DELTAS: Final[Mapping[str, tuple[str, str]]] = {
    # event type -> (the text's kind, the field with its index)
    "response.output_text.delta": ("output_text", "content_index"),
    "response.refusal.delta": ("refusal", "content_index"),
    "response.reasoning_text.delta": ("reasoning_text", "content_index"),
    "response.reasoning_summary_text.delta": ("summary_text", "summary_index"),
    "response.function_call_arguments.delta": ("arguments", ""),
    "response.mcp_call_arguments.delta": ("arguments", ""),
    "response.custom_tool_call_input.delta": ("input", ""),
}

DONES: Final[Mapping[str, tuple[str, str, str]]] = {
    # event type -> (the text's kind, the field with its index, the field with the whole text)
    "response.output_text.done": ("output_text", "content_index", "text"),
    "response.refusal.done": ("refusal", "content_index", "refusal"),
    "response.reasoning_text.done": ("reasoning_text", "content_index", "text"),
    "response.reasoning_summary_text.done": ("summary_text", "summary_index", "text"),
    "response.function_call_arguments.done": ("arguments", "", "arguments"),
    "response.mcp_call_arguments.done": ("arguments", "", "arguments"),
    "response.custom_tool_call_input.done": ("input", "", "input"),
}

PARTS: Final[Mapping[str, tuple[str, bool]]] = {
    # event type -> (the field with the part's index, whether the part is complete)
    "response.content_part.added": ("content_index", False),
    "response.content_part.done": ("content_index", True),
    "response.reasoning_summary_part.added": ("summary_index", False),
    "response.reasoning_summary_part.done": ("summary_index", True),
}

_ANNOTATION: Final = "response.output_text.annotation.added"

TEXT_FIELD: Final[Mapping[str, str]] = {
    "output_text": "text",
    "refusal": "refusal",
    "reasoning_text": "text",
    "summary_text": "text",
}
"""A part's kind, and which of its fields holds the text."""

CALL_TEXTS: Final[Mapping[str, tuple[str, str]]] = {
    # item type -> (its text's field, the event that ends the text)
    "function_call": ("arguments", "response.function_call_arguments.done"),
    "mcp_call": ("arguments", "response.mcp_call_arguments.done"),
    "custom_tool_call": ("input", "response.custom_tool_call_input.done"),
}

BEARS_ITEM_ID: Final = frozenset({*DELTAS, *DONES, *PARTS, _ANNOTATION})
"""Types of events within an item; each has the item's id in ``item_id``."""


class OpenItem:
    """The item announced at `index` as `item`; `id` is the one it keeps."""

    __slots__ = ("_annotations", "_closed", "_item", "_logprobs", "_parts", "_texts", "_whole", "id", "index")

    def __init__(self, index: int, item: Mapping[str, Any], id: str) -> None:
        self.index = index
        self.id = id
        self._item = item
        self._texts: dict[Key, list[str]] = {}
        self._whole: dict[Key, str] = {}
        self._logprobs: dict[Key, list[Any]] = {}
        self._annotations: dict[Key, list[Any]] = {}
        self._parts: dict[Key, Mapping[str, Any]] = {}
        self._closed: set[Key] = set()

    def note(self, type: str, event: Mapping[str, Any]) -> bool:
        """Remember what `event` adds; events that add nothing to the item are passed over.

        True for a delta that begins a part of which nothing was told.
        """
        if type in DELTAS:
            kind, place = DELTAS[type]
            return self._note_delta((kind, _number(event.get(place))), event)
        if type in DONES:
            kind, place, field = DONES[type]
            text = event.get(field)
            if isinstance(text, str):
                self._whole[kind, _number(event.get(place))] = text
        elif type in PARTS:
            part = event.get("part")
            if isinstance(part, dict):
                place, complete = PARTS[type]
                key = (str(part.get("type")), _number(event.get(place)))
                self._parts[key] = part
                if complete:
                    self._closed.add(key)
        elif type == _ANNOTATION:
            key = ("output_text", _number(event.get("content_index")))
            self._annotations.setdefault(key, []).append(event.get("annotation"))
        return False

    def texts(self, type: str, event: Mapping[str, Any]) -> list[str] | None:
        """The pieces of the text to which a delta like `event` is added; None if there are none yet."""
        if type not in DELTAS:
            return None
        kind, place = DELTAS[type]
        return self._texts.get((kind, _number(event.get(place))))

    def _note_delta(self, key: Key, event: Mapping[str, Any]) -> bool:
        text = event.get("delta")
        if not isinstance(text, str):
            return False
        begins = False
        texts = self._texts.get(key)
        if texts is None:
            begins = key[0] in TEXT_FIELD and not self.has_begun(key) and not self._came_with(key)
            self._texts[key] = [text]
        else:
            texts.append(text)
        logprobs = event.get("logprobs")
        if logprobs and isinstance(logprobs, list):
            self._logprobs.setdefault(key, []).extend(logprobs)
        return begins

    def _came_with(self, key: Key) -> bool:
        """Whether the announced item held the part already."""
        kind, number = key
        parts = self._item.get("summary" if kind == "summary_text" else "content")
        return isinstance(parts, list) and number < len(parts)

    @property
    def place(self) -> dict[str, Any]:
        """The fields of its events that say which item they belong to."""
        return {"item_id": self.id, "output_index": self.index}

    def said(self, key: Key) -> str:
        """A text as far as it came, whole or in deltas."""
        return self._text(key)

    def has_begun(self, key: Key) -> bool:
        """Whether a text, or its part, was told of."""
        return key in self._parts or key in self._texts or key in self._whole

    def has_ended(self, key: Key) -> bool:
        """Whether the end of a text was told."""
        return key in self._whole

    def has_closed(self, key: Key) -> bool:
        """Whether the end of a text's part was told."""
        return key in self._closed

    def closing(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """The done events within the item that have not come: (event type, fields)."""
        place = self.place
        for key in self._keys():
            if key not in self._closed:
                yield from self._closing_part(key, place)
        kind = self._item.get("type")
        if isinstance(kind, str) and kind in CALL_TEXTS:
            field, done = CALL_TEXTS[kind]
            if (field, 0) not in self._whole:
                name = {"name": self._item.get("name")} if kind == "function_call" else {}
                yield done, {**place, field: self._text((field, 0)), **name}

    def _closing_part(self, key: Key, place: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        kind, number = key
        summary = kind == "summary_text"
        where = {**place, "summary_index" if summary else "content_index": number}
        if key not in self._whole and kind in TEXT_FIELD:
            stem = "reasoning_summary_text" if summary else kind
            logprobs = {"logprobs": self._logprobs.get(key, [])} if kind == "output_text" else {}
            yield f"response.{stem}.done", {**where, TEXT_FIELD[kind]: self._text(key), **logprobs}
        part = "reasoning_summary_part" if summary else "content_part"
        yield f"response.{part}.done", {**where, "part": self._part(key)}

    def finished(self, status: str) -> dict[str, Any]:
        """The whole item as far as it came, with `status`."""
        item = {**self._item, "id": self.id}
        kind = item.get("type")
        if kind == "message":
            item["content"] = self._parts_of("output_text", "refusal")
        elif kind == "reasoning":
            item["summary"] = self._parts_of("summary_text")
            content = self._parts_of("reasoning_text")
            if content:
                item["content"] = content
        elif isinstance(kind, str) and kind in CALL_TEXTS:
            field, _ = CALL_TEXTS[kind]
            if (field, 0) in self._whole or (field, 0) in self._texts:
                item[field] = self._text((field, 0))
        item["status"] = status
        return item

    def _text(self, key: Key) -> str:
        whole = self._whole.get(key)
        return "".join(self._texts.get(key, ())) if whole is None else whole

    def _keys(self) -> list[Key]:
        seen = {*self._parts, *(key for key in (*self._texts, *self._whole) if key[0] in TEXT_FIELD)}
        return sorted(seen, key=lambda key: (key[1], key[0]))

    def _parts_of(self, *kinds: str) -> list[dict[str, Any]]:
        return [self._part(key) for key in self._keys() if key[0] in kinds]

    def _part(self, key: Key) -> dict[str, Any]:
        kind, _ = key
        part = dict(self._parts.get(key, {"type": kind}))
        if key in self._closed or kind not in TEXT_FIELD:
            return part
        part[TEXT_FIELD[kind]] = self._text(key)
        if kind == "output_text":
            part["annotations"] = self._annotations.get(key) or part.get("annotations") or []
            part["logprobs"] = self._logprobs.get(key, [])
        return part


def _number(value: Any) -> int:
    return value if value.__class__ is int else 0
