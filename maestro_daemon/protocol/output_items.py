"""An output item while it is open: each step gives the events that tell of it, the last the whole item."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import StringIO
from typing import Any, Literal, Protocol

from maestro_daemon.events import ResponseEvent
from maestro_daemon.protocol.event_numbers import DeltaShape, EventNumbers, delta_shape
from maestro_daemon.protocol.item_log import new_item_id
from maestro_daemon.protocol.sealed_reasoning import seal
from maestro_daemon.request import ResponseRequest

Status = Literal["completed", "incomplete"]

Sealer = Callable[[str, str | None], str]
"""``sealer(text, opaque)`` makes a reasoning item's ``encrypted_content``."""


def sealer_for(request: ResponseRequest, provider: str) -> Sealer | None:
    """How the answer's reasoning is sealed for `provider`; None where the client did not ask for it."""
    include = request.body.get("include")
    asked = isinstance(include, list) and "reasoning.encrypted_content" in include
    if not asked and request.body.get("store") is not False:
        return None
    return lambda text, opaque: seal(text, provider=provider, opaque=opaque)


class OpenItem(Protocol):
    """An item between its first and its last event."""

    def open(self) -> list[ResponseEvent]:
        """Announce the item: ``output_item.added``."""
        ...

    def close(self, status: Status) -> tuple[dict[str, Any], list[ResponseEvent]]:
        """The whole item, and the events up to and with ``output_item.done``."""
        ...


class MessageItem:
    """A message: parts of text and of refusal, one open at a time."""

    def __init__(self, numbers: EventNumbers, output_index: int) -> None:
        self._numbers = numbers
        self._id = new_item_id("message")
        self._index = output_index
        self._content: list[dict[str, Any]] = []
        self._part: Literal["", "output_text", "refusal"] = ""
        self._place: dict[str, Any] = {}
        self._shape: DeltaShape
        self._said = StringIO()
        self._logprobs: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []

    @property
    def in_text(self) -> bool:
        """True while a part of text is open, the only time for `text` and `annotate`."""
        return self._part == "output_text"

    def open(self) -> list[ResponseEvent]:
        item = self._item("in_progress")
        return [self._numbers.event("response.output_item.added", output_index=self._index, item=item)]

    def open_text(self) -> list[ResponseEvent]:
        """Begin a part of text."""
        events = self._close_part()
        self._logprobs = []
        self._annotations = []
        end = b',"logprobs":[]'
        self._begin("output_text", "response.output_text.delta", end)
        part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
        events.append(self._numbers.event("response.content_part.added", **self._place, part=part))
        return events

    def text(self, text: str, logprobs: Sequence[dict[str, Any]] = ()) -> ResponseEvent:
        """More text."""
        self._said.write(text)
        if not logprobs:
            return self._numbers.delta(self._shape, text)
        self._logprobs += logprobs
        return self._numbers.event(
            "response.output_text.delta", **self._place, delta=text, logprobs=list(logprobs)
        )

    def annotate(self, annotation: dict[str, Any]) -> ResponseEvent:
        """An annotation of the text."""
        self._annotations.append(annotation)
        return self._numbers.event(
            "response.output_text.annotation.added",
            **self._place,
            annotation_index=len(self._annotations) - 1,
            annotation=annotation,
        )

    def refusal(self, text: str) -> list[ResponseEvent]:
        """More of a refusal, in a part of its own."""
        events = []
        if self._part != "refusal":
            events = self._close_part()
            self._begin("refusal", "response.refusal.delta")
            part = {"type": "refusal", "refusal": ""}
            events.append(self._numbers.event("response.content_part.added", **self._place, part=part))
        self._said.write(text)
        events.append(self._numbers.delta(self._shape, text))
        return events

    def close(self, status: Status) -> tuple[dict[str, Any], list[ResponseEvent]]:
        events = self._close_part()
        item = self._item(status)
        events.append(self._numbers.event("response.output_item.done", output_index=self._index, item=item))
        return item, events

    def _item(self, status: str) -> dict[str, Any]:
        return {
            "id": self._id,
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": self._content,
        }

    def _begin(self, part: Literal["output_text", "refusal"], delta_type: str, end: bytes = b"") -> None:
        number = len(self._content)
        self._part = part
        self._said = StringIO()
        self._place = {"item_id": self._id, "output_index": self._index, "content_index": number}
        self._shape = delta_shape(
            delta_type, item_id=self._id, output_index=self._index, content_index=number, end=end
        )

    def _close_part(self) -> list[ResponseEvent]:
        if not self._part:
            return []
        said = self._said.getvalue()
        event = self._numbers.event
        part: dict[str, Any]
        if self._part == "output_text":
            part = {
                "type": "output_text",
                "text": said,
                "annotations": self._annotations,
                "logprobs": self._logprobs,
            }
            done = event("response.output_text.done", **self._place, text=said, logprobs=self._logprobs)
        else:
            part = {"type": "refusal", "refusal": said}
            done = event("response.refusal.done", **self._place, refusal=said)
        self._part = ""
        self._content.append(part)
        return [done, event("response.content_part.done", **self._place, part=part)]


class ReasoningItem:
    """Reasoning in clear, as one part of text. `sealer` is None where the client asked for no seal."""

    def __init__(self, numbers: EventNumbers, output_index: int, sealer: Sealer | None) -> None:
        self._numbers = numbers
        self._id = new_item_id("reasoning")
        self._index = output_index
        self._sealer = sealer
        self._opaque: str | None = None
        self._place = {"item_id": self._id, "output_index": output_index, "content_index": 0}
        self._shape: DeltaShape | None = None
        self._said = StringIO()

    def open(self) -> list[ResponseEvent]:
        item = self._item("in_progress")
        return [self._numbers.event("response.output_item.added", output_index=self._index, item=item)]

    def text(self, text: str) -> list[ResponseEvent]:
        """More reasoning."""
        events = []
        if self._shape is None:
            self._shape = delta_shape(
                "response.reasoning_text.delta", item_id=self._id, output_index=self._index, content_index=0
            )
            part = {"type": "reasoning_text", "text": ""}
            events.append(self._numbers.event("response.content_part.added", **self._place, part=part))
        self._said.write(text)
        events.append(self._numbers.delta(self._shape, text))
        return events

    def keep(self, opaque: str) -> None:
        """What the upstream wants back with this reasoning; the last one said counts."""
        self._opaque = opaque

    def close(self, status: Status) -> tuple[dict[str, Any], list[ResponseEvent]]:
        said = self._said.getvalue()
        event = self._numbers.event
        events = []
        item = self._item(status)
        if self._shape is not None:
            part = {"type": "reasoning_text", "text": said}
            events.append(event("response.reasoning_text.done", **self._place, text=said))
            events.append(event("response.content_part.done", **self._place, part=part))
            item["content"] = [part]
        if self._sealer is not None:
            item["encrypted_content"] = self._sealer(said, self._opaque)
        events.append(event("response.output_item.done", output_index=self._index, item=item))
        return item, events

    def _item(self, status: str) -> dict[str, Any]:
        return {"id": self._id, "type": "reasoning", "status": status, "summary": []}
