"""A Responses event, the currency of the house, and which types open, carry and end a stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from maestro_daemon.errors import NO_HEADERS


class ResponseEvent:
    """One event of a Responses stream.

    `type` is the event's name (``response.output_text.delta``), `payload` its JSON object as UTF-8 bytes
    without line breaks, exactly as it stands behind ``data:``.
    """

    __slots__ = ("payload", "type")

    def __init__(self, type: str, payload: bytes) -> None:
        self.type = type
        self.payload = payload

    def each(self) -> Iterator[ResponseEvent]:
        """The events that this object stands for: itself, but for a `DeltaBurst`."""
        yield self

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.type!r}, {self.payload!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ResponseEvent):
            return NotImplemented
        return self.type == other.type and self.payload == other.payload

    def __hash__(self) -> int:
        return hash((self.type, self.payload))


class Accepted(ResponseEvent):
    """The first event of a stream: the upstream answered 2xx. Never sent to a client.

    `headers` are the upstream's answer headers by lower-case name; the house passes rate-limit headers on.
    """

    __slots__ = ("headers",)

    def __init__(self, headers: Mapping[str, str] = NO_HEADERS) -> None:
        super().__init__("accepted", b"{}")
        self.headers = headers


class DeltaBurst(ResponseEvent):
    """Deltas of one type that one read of the upstream brought, in order: handled at one go where possible.

    `payloads` are theirs, `payload` is the first one's.
    """

    __slots__ = ("payloads",)

    def __init__(self, type: str, payloads: Sequence[bytes]) -> None:
        super().__init__(type, payloads[0])
        self.payloads = payloads

    def each(self) -> Iterator[ResponseEvent]:
        """The same as single events."""
        return (ResponseEvent(self.type, payload) for payload in self.payloads)


PREAMBLE: Final = frozenset({"response.created", "response.queued", "response.in_progress", "keepalive"})
"""Types of the response namespace that say nothing yet; the house writes its own instead."""

TERMINAL: Final = frozenset(
    {
        "response.completed",
        "response.failed",
        "response.incomplete",
        "response.done",
        "response.cancelled",
    }
)
"""Types that end a stream. ``done`` and ``cancelled`` are read, never written."""


DELTAS: Final = frozenset(
    {
        "response.output_text.delta",
        "response.refusal.delta",
        "response.reasoning_text.delta",
        "response.reasoning_summary_text.delta",
        "response.function_call_arguments.delta",
        "response.mcp_call_arguments.delta",
        "response.custom_tool_call_input.delta",
    }
)
"""Types of which a stream is full: neither preamble nor an end, and each adds to the text of an item."""


def is_preamble(type: str) -> bool:
    """True for an event that does not commit the response to its upstream. ``error`` is not preamble."""
    return type in PREAMBLE or not (type.startswith("response.") or type == "error")
