"""An image that the model made, as an ``image_generation_call``: whole at once, so never open."""

from __future__ import annotations

from typing import Any, Final

from maestro_daemon.deltas import ImageDelta
from maestro_daemon.events import ResponseEvent
from maestro_daemon.protocol.event_numbers import EventNumbers
from maestro_daemon.protocol.item_log import new_item_id

_FORMATS: Final = ("png", "jpeg", "webp")
_STEPS: Final = ("in_progress", "generating", "completed")


def image_events(
    image: ImageDelta, *, numbers: EventNumbers, output_index: int
) -> tuple[dict[str, Any], list[ResponseEvent]]:
    """The item, and every event that tells of it. `result` is base64."""
    id = new_item_id("image_generation_call")
    begun: dict[str, Any] = {
        "id": id,
        "type": "image_generation_call",
        "status": "in_progress",
        "result": None,
    }
    item = {**begun, "status": "completed", "result": image.base64}
    if image.format in _FORMATS:
        item["output_format"] = image.format
    events = [numbers.event("response.output_item.added", output_index=output_index, item=begun)]
    for step in _STEPS:
        step_type = f"response.image_generation_call.{step}"
        events.append(numbers.event(step_type, item_id=id, output_index=output_index))
    events.append(numbers.event("response.output_item.done", output_index=output_index, item=item))
    return item, events
