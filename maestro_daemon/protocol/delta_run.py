"""Deltas of one text that follow each other: nearly every event of a stream, so the way of least work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

DELTA_OVERHEAD: Final = 64
"""What keeping one delta costs beside its characters, in bytes."""


class DeltaRun:
    """The text that the last delta belonged to.

    `first` is that delta, `texts` the list that further ones are appended to, `room` the bytes that may be
    added; `size` is what was.
    """

    __slots__ = ("_index", "_item_id", "_part", "_room", "_summary", "_texts", "_type", "size")

    def __init__(self, type: str, first: Mapping[str, Any], texts: list[str], room: int) -> None:
        self._type = type
        self._item_id = first.get("item_id")
        self._index = first.get("output_index")
        self._part = first.get("content_index")
        self._summary = first.get("summary_index")
        self._texts = texts
        self._room = room
        self.size = 0

    def takes(self, type: Any, event: Mapping[str, Any], number: int) -> bool:
        """Append `event` if it goes on with the same text under this sequence number, and adds no more."""
        text: Any = event.get("delta")
        said = event.get("sequence_number")
        if (
            type != self._type
            or said != number
            or event.get("item_id") != self._item_id
            or event.get("output_index") != self._index
            or event.get("content_index") != self._part
            or event.get("summary_index") != self._summary
            or text.__class__ is not str
            or said.__class__ is not int
            or event.get("logprobs")
        ):
            return False
        self.size += len(text) + DELTA_OVERHEAD
        if self.size > self._room:
            return False
        self._texts.append(text)
        return True
