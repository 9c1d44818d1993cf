"""Frames as a native Responses upstream sends them: those of the contract kit."""

from maestro_daemon.testing.native import (
    Event,
    call,
    call_events,
    events,
    frame,
    frames,
    message,
    message_events,
    numbered,
    response,
    text,
    thought_events,
)

__all__ = [
    "Event",
    "call",
    "call_events",
    "events",
    "frame",
    "frames",
    "message",
    "message_events",
    "numbered",
    "response",
    "text",
    "thought_events",
]
