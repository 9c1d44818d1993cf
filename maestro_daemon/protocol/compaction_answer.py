"""The answer to a client that asked for a summary in the place of its conversation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from maestro_daemon.deltas import Delta
from maestro_daemon.errors import UpstreamBroken
from maestro_daemon.events import ResponseEvent
from maestro_daemon.protocol.compaction import sealed_summary
from maestro_daemon.protocol.event_numbers import EventNumbers
from maestro_daemon.protocol.item_log import new_item_id
from maestro_daemon.protocol.json import loads
from maestro_daemon.protocol.reducer import FIRST_NUMBER, ResponseReducer


class CompactionReducer:
    """Deltas of a summary in, the events of an answer out that consists of one compaction item.

    `reducer` is that of the plain answer; its bounds, usage and failures are this one's. Nothing is said
    before the summary is whole, so that until then another target may make it.
    """

    def __init__(self, reducer: ResponseReducer) -> None:
        self._reducer = reducer

    def feed(self, delta: Delta) -> list[ResponseEvent]:
        """Take one delta; there is nothing to tell yet. Raises as `ResponseReducer.feed`."""
        self._reducer.feed(delta)
        return []

    def finish(self) -> list[ResponseEvent]:
        """The whole answer. Raises as `ResponseReducer.finish`, and `UpstreamBroken` for an empty one."""
        end = self._reducer.finish()[-1]
        response = loads(end.payload)["response"]
        summary = _text_of(response["output"])
        if not summary:
            raise UpstreamBroken("The upstream was asked for a summary of the conversation and wrote none.")
        item = {
            "id": new_item_id("compaction"),
            "type": "compaction",
            "status": response["status"],
            "encrypted_content": sealed_summary(summary),
        }
        response["output"] = [item]
        event = EventNumbers(FIRST_NUMBER).event
        begun = {**item, "status": "in_progress", "encrypted_content": ""}
        return [
            event("response.output_item.added", output_index=0, item=begun),
            event("response.compaction.compacting", output_index=0, item_id=item["id"]),
            event("response.output_item.done", output_index=0, item=item),
            event(end.type, response=response),
        ]


def _text_of(output: Sequence[Mapping[str, Any]]) -> str:
    messages = [item for item in output if item["type"] == "message"]
    texts = ["".join(part.get("text", "") for part in message["content"]) for message in messages]
    return "\n\n".join(texts).strip()
