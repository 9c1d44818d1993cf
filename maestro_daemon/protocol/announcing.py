"""The announcement of an item, or of one of its parts, that an upstream left away.

The SDKs' accumulators and the AI SDK fail on what belongs to nothing that was announced before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from maestro_daemon.protocol.missing_text import ITEM_DONE, Told, begun_part
from maestro_daemon.protocol.open_item import BEARS_ITEM_ID, DELTAS
from maestro_daemon.protocol.whole_item import begun

WITHIN: Final = BEARS_ITEM_ID | {ITEM_DONE}
"""Types of events before which an item has to be announced."""

_OF_CALLS: Final = ("arguments", "input")
_OF_REASONING: Final = ("reasoning", "summary_text")


def announcement(type: str, event: Mapping[str, Any]) -> dict[str, Any] | None:
    """The item that `event`, the first of its item, belongs to, as it would have been announced.

    Its id is left out where the event does not say it. None where the event does not say enough: of a call's
    arguments not whose they are, of an end that holds no item nothing.
    """
    if type == ITEM_DONE:
        item = event.get("item")
        return begun(item) if isinstance(item, dict) else None
    stem = type.removeprefix("response.")
    if any(f"_{word}." in stem for word in _OF_CALLS):
        return None
    part = event.get("part")
    kind = part.get("type") if isinstance(part, dict) else stem
    item_id = {"id": event["item_id"]} if isinstance(event.get("item_id"), str) else {}
    if isinstance(kind, str) and kind.startswith(_OF_REASONING):
        return {**item_id, "type": "reasoning", "status": "in_progress", "summary": []}
    return {**item_id, "type": "message", "status": "in_progress", "role": "assistant", "content": []}


def part_announcement(type: str, event: Mapping[str, Any], item_id: str) -> Told:
    """What has to be told before `event`, a delta of a text: the beginning of the text's part."""
    kind, place = DELTAS[type]
    number = event.get(place)
    key = (kind, number if number.__class__ is int else 0)
    return begun_part({"item_id": item_id, "output_index": event["output_index"]}, key)
