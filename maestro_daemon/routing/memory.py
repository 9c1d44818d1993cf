"""What the house remembers of answers it gave: who made a response, and the items it held.

Both are bounded, least recently used out, and kept apart per client: one client's ids mean nothing to
another. Nothing here survives a restart.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from maestro_daemon.protocol import json

_RESPONSES: Final = 10_000
ITEM_BYTES: Final = 64 * 1024 * 1024
_ITEM_OVERHEAD: Final = 400  # what one entry costs beside its JSON, in bytes


@dataclass(frozen=True, slots=True)
class Origin:
    """Who made a response: the provider, and the id by which it knows the response."""

    provider: str
    upstream_id: str
    native: bool


class KeptItem(NamedTuple):
    """One output item that was sent, and the provider that made it."""

    item: dict[str, Any]
    provider: str
    native: bool


class Memory:
    """Responses and items by (client, id): so many `responses`, and items of so many bytes."""

    def __init__(self, *, responses: int = _RESPONSES, item_bytes: int = ITEM_BYTES) -> None:
        self._origins: OrderedDict[tuple[str, str], Origin] = OrderedDict()
        self._most_responses = responses
        self._items: OrderedDict[tuple[str, str], tuple[bytes, str, bool]] = OrderedDict()
        self._item_bytes = item_bytes
        self._held_bytes = 0

    def follow(self, item_bytes: int) -> None:
        """Keep items of so many bytes from now on."""
        self._item_bytes = item_bytes
        self._forget()

    def remember(self, client: str, response_id: str, origin: Origin, output: Iterable[Any]) -> None:
        """Keep who made `response_id`, and its output items: dicts with an ``id``, their ``type`` a name."""
        key = (client, response_id)
        self._origins[key] = origin
        self._origins.move_to_end(key)
        if len(self._origins) > self._most_responses:
            self._origins.popitem(last=False)
        for item in output:
            if (
                isinstance(item, dict)
                and isinstance(item.get("id"), str)
                and isinstance(item.get("type", ""), str)
            ):
                self._keep(client, item, origin)

    def origin(self, client: str, response_id: str) -> Origin | None:
        """Who made a response, or None if that is not known (any more)."""
        key = (client, response_id)
        origin = self._origins.get(key)
        if origin is not None:
            self._origins.move_to_end(key)
        return origin

    def item(self, client: str, item_id: str) -> KeptItem | None:
        """An item by its id, or None."""
        key = (client, item_id)
        found = self._items.get(key)
        if found is None:
            return None
        self._items.move_to_end(key)
        raw, provider, native = found
        return KeptItem(json.loads(raw), provider, native)

    def _keep(self, client: str, item: Mapping[str, Any], origin: Origin) -> None:
        # A copy of its own: what orjson gives keeps kilobytes of room behind its end.
        raw = bytes(memoryview(json.dumps(item)))
        size = len(raw) + _ITEM_OVERHEAD
        key = (client, item["id"])
        before = self._items.pop(key, None)
        if before is not None:
            self._held_bytes -= len(before[0]) + _ITEM_OVERHEAD
        if size > self._item_bytes:
            return
        self._items[key] = (raw, origin.provider, origin.native)
        self._held_bytes += size
        self._forget()

    def _forget(self) -> None:
        while self._held_bytes > self._item_bytes:
            _, (oldest, _, _) = self._items.popitem(last=False)
            self._held_bytes -= len(oldest) + _ITEM_OVERHEAD
