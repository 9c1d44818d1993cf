"""Who began a request, as Copilot bills it: ``X-Initiator: user`` is a premium request, ``agent`` goes on.

Told honestly: it is the user's exactly when the last input item is the user's, and a request that Copilot
took up before is not begun a second time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final, Literal

HEADER: Final = "x-initiator"

Initiator = Literal["user", "agent"]

_MOST_REMEMBERED: Final = 4096


def told(headers: Mapping[str, str]) -> Initiator | None:
    """What the client says itself (`headers` by lower-case name); None if nothing valid."""
    match headers.get(HEADER, "").strip().lower():
        case "user":
            return "user"
        case "agent":
            return "agent"
        case _:
            return None


def by_last_item(body: Mapping[str, Any]) -> Initiator:
    """By the input of a Responses request."""
    given = body.get("input")
    if not isinstance(given, list):
        return "user"
    last = given[-1] if given else {"role": "user"}
    return "user" if isinstance(last, dict) and last.get("role") == "user" else "agent"


class TakenUp:
    """The responses that Copilot has taken up, by their ids; the latest few thousand."""

    def __init__(self, most: int = _MOST_REMEMBERED) -> None:
        self._ids: OrderedDict[str, None] = OrderedDict()
        self._most = most

    def note(self, response_id: str) -> None:
        """Copilot began to work on this response."""
        self._ids[response_id] = None
        self._ids.move_to_end(response_id)
        if len(self._ids) > self._most:
            self._ids.popitem(last=False)

    def __contains__(self, response_id: str) -> bool:
        return response_id in self._ids
