"""Where the prompt is cached up to: the tools, the system prompt, and the ends of the last two user turns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

_USER_TURNS: Final = 2
"""Breakpoints among the messages: the newest is written to, the one before is read from."""

_UNCACHEABLE: Final = ("thinking", "redacted_thinking")


def set_breakpoints(body: dict[str, Any], ttl: Literal["5m", "1h", "off"]) -> None:
    """Mark the body's cache breakpoints, of which the API takes four.

    What stays the same comes first: tools, then the system prompt, then the messages. Each request reads what
    the one before had written up to its last user turn.
    """
    if ttl == "off":
        return
    mark: Mapping[str, str] = {"type": "ephemeral"} if ttl == "5m" else {"type": "ephemeral", "ttl": ttl}
    for field in ("tools", "system"):
        if body.get(field):
            body[field][-1] = {**body[field][-1], "cache_control": mark}
    left = _USER_TURNS
    for message in reversed(body["messages"]):
        content = message["content"]
        if message["role"] != "user" or not left or content[-1]["type"] in _UNCACHEABLE:
            continue
        content[-1] = {**content[-1], "cache_control": mark}
        left -= 1
