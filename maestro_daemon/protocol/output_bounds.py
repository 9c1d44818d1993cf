"""How much one answer may say: an upstream that runs away is stopped, not buffered."""

from __future__ import annotations

from typing import Final

from maestro_daemon.deltas import AnnotationDelta, ImageDelta, ReasoningDelta, RefusalDelta, TextDelta
from maestro_daemon.errors import UpstreamBroken
from maestro_daemon.protocol.json import dumps

Piece = TextDelta | ReasoningDelta | RefusalDelta | AnnotationDelta | ImageDelta
"""A delta that is output, calls aside."""

MOST_OUTPUT: Final = 16 * 1024 * 1024
"""Characters in one answer, whatever they are for."""

MOST_EMPTY_DELTAS: Final = 100_000
"""Deltas in a row that say nothing."""

MOST_ITEMS: Final = 4096
"""Output items in one answer."""

PLACE_COST: Final = 64
"""What a call, or a piece that has to wait, counts besides its text."""

_LOGPROB_COST: Final = 8


class OutputBounds:
    """The bounds of one answer. Every method raises `UpstreamBroken` where one is passed."""

    __slots__ = ("_empty", "_left")

    def __init__(self) -> None:
        self._left = MOST_OUTPUT
        self._empty = 0

    def spend(self, characters: int) -> None:
        """Something was said, of this size."""
        self._empty = 0
        self._left -= characters
        if self._left < 0:
            raise UpstreamBroken(f"The upstream's answer is longer than {MOST_OUTPUT} characters.")

    def note_empty(self) -> None:
        """A delta said nothing."""
        self._empty += 1
        if self._empty > MOST_EMPTY_DELTAS:
            raise UpstreamBroken(f"The upstream sent {MOST_EMPTY_DELTAS} deltas in a row that say nothing.")


def room_for_item(items: int) -> None:
    """Another item after `items` of them. Raises `UpstreamBroken`."""
    if items >= MOST_ITEMS:
        raise UpstreamBroken(f"The upstream's answer has more than {MOST_ITEMS} items.")


def size_of(piece: Piece) -> int:
    """What a piece counts against `MOST_OUTPUT`; 0 if it says nothing."""
    match piece:
        case TextDelta(text, logprobs):
            tokens = sum(1 + len(each.get("top_logprobs") or ()) for each in logprobs) if text else 0
            return len(text) + _LOGPROB_COST * tokens
        case ReasoningDelta(text, opaque):
            return len(text) + len(opaque or "")
        case RefusalDelta(text):
            return len(text)
        case AnnotationDelta(annotation):
            return len(dumps(annotation))
        case ImageDelta(base64):
            return len(base64)
