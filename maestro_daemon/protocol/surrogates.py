"""Halves of UTF-16 pairs: a stream may cut an emoji in two, and JSON cannot carry either half alone."""

from __future__ import annotations

import re
from typing import Final

_HALF: Final = re.compile("[\ud800-\udfff]")


def whole(text: str) -> str:
    """The text with halves that meet joined, and every half that stays alone as U+FFFD."""
    if text.isascii() or _HALF.search(text) is None:
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class PairJoiner:
    """Joins the pieces of one text: a high half at the end of a piece waits for the next piece."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = ""

    def feed(self, piece: str) -> str:
        """What can be passed on now; "" when all of it has to wait."""
        if self._held:
            if not piece:
                return ""
            piece = self._held + piece
            self._held = ""
        elif piece.isascii():
            return piece
        if "\ud800" <= piece[-1] <= "\udbff":
            self._held = piece[-1]
            piece = piece[:-1]
        return whole(piece)

    def close(self) -> str:
        """The text is over: U+FFFD for a half that never met its other one, else ""."""
        held, self._held = self._held, ""
        return "\ufffd" if held else ""
