"""What a stream has said of its output items so far: enough to keep their ids stable, and to end them well.

A native upstream's events pass as bytes; the log remembers of each item only what its deltas add up to, so
that an item which the upstream never finishes can still be closed, and is not lost from the final output.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from typing import Any, Final

PREFIXES: Final[Mapping[str, str]] = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "custom_tool_call": "ctc",
    "tool_search_call": "tsc",
    "compaction": "cmp",
    "web_search_call": "ws",
    "file_search_call": "fs",
    "code_interpreter_call": "ci",
    "image_generation_call": "ig",
    "mcp_call": "mcp",
    "mcp_list_tools": "mcpl",
    "mcp_approval_request": "mcpr",
}
"""What the ids of an item's type begin with."""

_LARGEST_OUTPUT: Final = 64 * 1024 * 1024

_TEXT_DELTAS: Final[Mapping[str, tuple[str, str]]] = {
    # event type -> (kind of the text, the field that says which of several)
    "response.output_text.delta": ("output_text", "content_index"),
    "response.refusal.delta": ("refusal", "content_index"),
    "response.reasoning_text.delta": ("reasoning_text", "content_index"),
    "response.reasoning_summary_text.delta": ("summary_text", "summary_index"),
    "response.function_call_arguments.delta": ("arguments", ""),
    "response.custom_tool_call_input.delta": ("input", ""),
    "response.mcp_call_arguments.delta": ("arguments", ""),
}

_PART_EVENTS: Final[Mapping[str, tuple[str, bool]]] = {
    # event type -> (the field that says which part, whether the part is complete)
    "response.content_part.added": ("content_index", False),
    "response.content_part.done": ("content_index", True),
    "response.reasoning_summary_part.added": ("summary_index", False),
    "response.reasoning_summary_part.done": ("summary_index", True),
}

_TEXT_FIELD: Final[Mapping[str, str]] = {
    "output_text": "text",
    "refusal": "refusal",
    "reasoning_text": "text",
    "summary_text": "text",
}


def new_item_id(type: str) -> str:
    """An unguessable id with the prefix of the item's type."""
    return f"{PREFIXES.get(type, type.removesuffix('_call')[:24])}_{secrets.token_hex(24)}"


class OutputTooLarge(ValueError):
    """The answer's text outgrew what one response may hold."""


class _OpenItem:
    __slots__ = ("closed", "id", "index", "item", "opened", "texts")

    def __init__(self, index: int, item: dict[str, Any], id: str) -> None:
        self.index = index
        self.item = item
        self.id = id
        self.texts: dict[tuple[str, int], list[str]] = {}
        self.opened: dict[tuple[str, int], dict[str, Any]] = {}
        self.closed: set[tuple[str, int]] = set()


class ItemLog:
    """The output items of one stream, by `output_index`."""

    def __init__(self) -> None:
        self._open: dict[int, _OpenItem] = {}
        self._done: dict[int, dict[str, Any]] = {}
        self._ids: dict[int, str] = {}
        self._size = 0

    def stable_id(self, index: int) -> str | None:
        """The id under which the item at `index` was announced."""
        return self._ids.get(index)

    def added(self, index: int, item: dict[str, Any]) -> str:
        """An item was announced; returns its id for the rest of the stream (minted if it came without)."""
        said = item.get("id")
        kind = item.get("type")
        id = (
            said if isinstance(said, str) and said else new_item_id(kind if isinstance(kind, str) else "item")
        )
        self._ids[index] = id
        self._open[index] = _OpenItem(index, item, id)
        return id

    def done(self, index: int, item: dict[str, Any]) -> None:
        """The item at `index` is complete as `item`."""
        self._open.pop(index, None)
        self._done[index] = item

    def note(self, type: str, index: int, event: Mapping[str, Any]) -> None:
        """Remember what an event within an item adds. Raises `OutputTooLarge`."""
        open_item = self._open.get(index)
        if open_item is None:
            return
        delta = _TEXT_DELTAS.get(type)
        if delta is not None:
            text = event.get("delta")
            if isinstance(text, str):
                self._size += len(text)
                if self._size > _LARGEST_OUTPUT:
                    raise OutputTooLarge(f"the answer holds more than {_LARGEST_OUTPUT} characters")
                kind, place = delta
                key = (kind, _number(event.get(place)))
                texts = open_item.texts.get(key)
                if texts is None:
                    open_item.texts[key] = [text]
                else:
                    texts.append(text)
            return
        part = event.get("part")
        if type in _PART_EVENTS and isinstance(part, dict):
            place, complete = _PART_EVENTS[type]
            where = (str(part.get("type")), _number(event.get(place)))
            open_item.opened[where] = part
            if complete:
                open_item.closed.add(where)

    def ids(self) -> list[str]:
        """The ids of all items announced, in the order of their places."""
        return [self._ids[index] for index in sorted(self._ids)]

    def output(self) -> list[dict[str, Any]]:
        """The items that are complete, in order."""
        return [self._done[index] for index in sorted(self._done)]

    def close_all(self, status: str = "incomplete") -> Iterator[tuple[str, dict[str, Any]]]:
        """End every open item as it stands, with `status`: (event type, fields) in the right order."""
        for index in sorted(self._open):
            yield from _closing(self._open[index])
            item = self._finished(self._open[index], status)
            self._done[index] = item
            yield "response.output_item.done", {"output_index": index, "item": item}
        self._open.clear()

    def _finished(self, open_item: _OpenItem, status: str) -> dict[str, Any]:
        item = {**open_item.item, "id": open_item.id}
        kind = item.get("type")
        if kind == "message":
            item["content"] = _parts(open_item, ("output_text", "refusal"))
        elif kind == "reasoning":
            item["summary"] = _parts(open_item, ("summary_text",))
            content = _parts(open_item, ("reasoning_text",))
            if content:
                item["content"] = content
        else:
            for field in ("arguments", "input"):
                if (texts := open_item.texts.get((field, 0))) is not None:
                    item[field] = "".join(texts)
        item["status"] = status
        return item


def _number(value: Any) -> int:
    return value if value.__class__ is int else 0


def _part(open_item: _OpenItem, key: tuple[str, int]) -> dict[str, Any]:
    kind, _ = key
    begun = open_item.opened.get(key, {"type": kind})
    if key in open_item.closed:
        return begun
    part = {**begun, _TEXT_FIELD.get(kind, "text"): "".join(open_item.texts.get(key, ()))}
    if kind == "output_text":
        part.setdefault("annotations", [])
    return part


def _keys(open_item: _OpenItem) -> list[tuple[str, int]]:
    seen = {*open_item.opened, *(key for key in open_item.texts if key[0] in _TEXT_FIELD)}
    return sorted(seen, key=lambda key: (key[1], key[0]))


def _parts(open_item: _OpenItem, kinds: tuple[str, ...]) -> list[dict[str, Any]]:
    return [_part(open_item, key) for key in _keys(open_item) if key[0] in kinds]


def _closing(open_item: _OpenItem) -> Iterator[tuple[str, dict[str, Any]]]:
    """The done events within an item that the upstream left open."""
    place = {"item_id": open_item.id, "output_index": open_item.index}
    for key in _keys(open_item):
        if key in open_item.closed:
            continue
        kind, number = key
        part = _part(open_item, key)
        if kind == "summary_text":
            where = {**place, "summary_index": number}
            yield "response.reasoning_summary_text.done", {**where, "text": part["text"]}
            yield "response.reasoning_summary_part.done", {**where, "part": part}
            continue
        where = {**place, "content_index": number}
        if kind == "output_text":
            yield "response.output_text.done", {**where, "text": part["text"], "logprobs": []}
        elif kind == "refusal":
            yield "response.refusal.done", {**where, "refusal": part["refusal"]}
        elif kind == "reasoning_text":
            yield "response.reasoning_text.done", {**where, "text": part["text"]}
        yield "response.content_part.done", {**where, "part": part}
    if open_item.item.get("type") == "function_call":
        arguments = "".join(open_item.texts.get(("arguments", 0), ()))
        fields = {**place, "arguments": arguments, "name": open_item.item.get("name")}
        yield "response.function_call_arguments.done", fields
    elif (texts := open_item.texts.get(("input", 0))) is not None:
        yield "response.custom_tool_call_input.done", {**place, "input": "".join(texts)}
