"""Where a JSON object or array ends that arrives in pieces. Says nothing on whether it is valid inside."""

from __future__ import annotations

import re
from typing import Final

_CLOSING: Final = {"{": "}", "[": "]"}
_STRUCTURE: Final = {"{": re.compile(r'[{}"]'), "[": re.compile(r'[\[\]"]')}
_IN_STRING: Final = re.compile(r'["\\]')


class JSONExtent:
    """The extent of one value. `complete` is true once its closing bracket came.

    White space before the value does not belong to it. A text that begins with anything but an opening
    bracket has no end that could be seen, and is never complete.
    """

    __slots__ = ("_depth", "_escaped", "_in_string", "_opening", "complete")

    def __init__(self) -> None:
        self.complete = False
        self._opening = ""
        self._depth = 0
        self._in_string = False
        self._escaped = False

    @property
    def begun(self) -> bool:
        """Something other than white space came."""
        return bool(self._opening)

    def cut(self, piece: str) -> str:
        """The part of the piece that belongs to the value."""
        if self.complete:
            return ""
        if not self._opening:
            piece = piece.lstrip()
            if not piece:
                return ""
            self._opening = piece[0] if piece[0] in _CLOSING else "-"
        if self._opening == "-":
            return piece
        return piece[: self._end(piece)]

    def _end(self, piece: str) -> int:
        position = 0
        size = len(piece)
        opening = self._opening
        while position < size:
            if self._escaped:
                self._escaped = False
                position += 1
                continue
            found = (_IN_STRING if self._in_string else _STRUCTURE[opening]).search(piece, position)
            if found is None:
                return size
            position = found.end()
            mark = found[0]
            if mark == '"':
                self._in_string = not self._in_string
            elif mark == "\\":
                self._escaped = True
            elif mark == opening:
                self._depth += 1
            else:
                self._depth -= 1
                if self._depth == 0:
                    self.complete = True
                    return position
        return size
