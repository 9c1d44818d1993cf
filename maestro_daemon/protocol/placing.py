"""Where in the answer a native event belongs, for upstreams that do not say it.

llama.cpp's own ``/responses`` names neither ``output_index`` nor ``content_index``, and gives function calls
no id but their call id. Without places no client can follow, and the house neither: it would take the items
of the final Response for new ones, and tell them a second time.
"""

from __future__ import annotations

from typing import Any, Final

from maestro_daemon.events import ResponseEvent
from maestro_daemon.protocol import json
from maestro_daemon.protocol.open_item import BEARS_ITEM_ID

_ADDED: Final = "response.output_item.added"
_ITEM_EVENTS: Final = (_ADDED, "response.output_item.done")
_TEXT_EVENTS: Final = ("response.output_text.delta", "response.output_text.done")


class Placing:
    """Gives the events of one stream the places that they lack.

    `needed` is False, and every event passes as it is, until an item is announced without its place.
    """

    def __init__(self) -> None:
        self.needed = False
        self._indexes: dict[str, int] = {}
        self._items = 0
        self._parts: dict[tuple[int, str], int] = {}

    def take(self, event: ResponseEvent) -> ResponseEvent:
        """The event with its place; as it is if it can have none, or is no JSON object."""
        if not self.needed:
            if event.type != _ADDED or b'"output_index"' in event.payload:
                return event
            self.needed = True
        try:
            data = json.loads(event.payload)
        except json.JSONInvalid:
            return event
        if not isinstance(data, dict):
            return event
        if event.type in _ITEM_EVENTS and isinstance(data.get("item"), dict):
            data.setdefault("output_index", self._index_of_item(event.type, data["item"]))
        elif event.type in BEARS_ITEM_ID:
            index = data.setdefault("output_index", self._indexes.get(str(data.get("item_id")), self._last))
            self._place_in_item(event.type, index, data)
        else:
            return event
        return ResponseEvent(event.type, json.dumps(data))

    @property
    def _last(self) -> int:
        return max(0, self._items - 1)

    def _index_of_item(self, type: str, item: dict[str, Any]) -> int:
        names = [item[key] for key in ("id", "call_id") if isinstance(item.get(key), str)]
        if type != _ADDED:
            return next((self._indexes[name] for name in names if name in self._indexes), self._last)
        index = self._items
        self._items += 1
        self._indexes.update(dict.fromkeys(names, index))
        return index

    def _place_in_item(self, type: str, index: int, data: dict[str, Any]) -> None:
        if "_call" in type:
            return
        field = "summary_index" if "summary" in type else "content_index"
        begun = self._parts.get((index, field), 0)
        if type.endswith("_part.added"):
            self._parts[index, field] = begun + 1
            data.setdefault(field, begun)
            part = data.get("part")
            if isinstance(part, dict) and part.get("type") == "output_text":
                part.setdefault("annotations", [])
            return
        data.setdefault(field, max(0, begun - 1))
        if type in _TEXT_EVENTS:
            data.setdefault("logprobs", [])
