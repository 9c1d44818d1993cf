"""The numbered events of one stream, and the fast way to write the many that differ by one string."""

from __future__ import annotations

from typing import Any, NamedTuple

from maestro_daemon.events import ResponseEvent
from maestro_daemon.protocol.json import dumps


class DeltaShape(NamedTuple):
    """A delta event but for its number and its text: `template` has a ``%d`` and a ``%b`` for them."""

    type: str
    template: bytes


def delta_shape(
    type: str,
    *,
    item_id: str,
    output_index: int,
    content_index: int | None = None,
    end: bytes = b"",
) -> DeltaShape:
    """The shape of one part's delta events. `end` stands behind the delta: ``,"logprobs":[]``."""
    place = b'"item_id":"%b","output_index":%d' % (item_id.encode(), output_index)
    if content_index is not None:
        place += b',"content_index":%d' % content_index
    head = b'{"type":"%b","sequence_number":%%d,' % type.encode()
    return DeltaShape(type, head + place + b',"delta":%b' + end + b"}")


class EventNumbers:
    """Gives each event of a stream its ``sequence_number``: `first`, then one more each."""

    __slots__ = ("_next",)

    def __init__(self, first: int) -> None:
        self._next = first

    def event(self, type: str, **fields: Any) -> ResponseEvent:
        """An event of any kind; the payload begins with ``type`` and ``sequence_number``."""
        number = self._next
        self._next = number + 1
        return ResponseEvent(type, dumps({"type": type, "sequence_number": number, **fields}))

    def delta(self, shape: DeltaShape, text: str) -> ResponseEvent:
        """A delta event of `shape`."""
        number = self._next
        self._next = number + 1
        return ResponseEvent(shape.type, shape.template % (number, dumps(text)))
