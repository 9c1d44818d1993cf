"""A fake upstream: that of the contract kit."""

from maestro_daemon.testing.fake_upstream import (
    CUT,
    PAUSE,
    STALL,
    TURN,
    Answer,
    FakeUpstream,
    Raw,
    Reply,
    Stream,
    fake_upstream,
    refusal,
)

__all__ = [
    "CUT",
    "PAUSE",
    "STALL",
    "TURN",
    "Answer",
    "FakeUpstream",
    "Raw",
    "Reply",
    "Stream",
    "fake_upstream",
    "refusal",
]
