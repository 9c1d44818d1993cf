"""Chunks as a chat-completions upstream sends them: those of the contract kit."""

from maestro_daemon.testing.chat import (
    DONE,
    USAGE,
    call,
    calls,
    chunks,
    frame,
    text,
)

__all__ = [
    "DONE",
    "USAGE",
    "call",
    "calls",
    "chunks",
    "frame",
    "text",
]
