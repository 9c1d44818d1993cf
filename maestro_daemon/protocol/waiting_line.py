"""What the upstream said while a call was open: further calls and runs of text, as they began."""

from __future__ import annotations

from collections import deque

from maestro_daemon.deltas import AnnotationDelta, ReasoningDelta, TextDelta
from maestro_daemon.protocol.call_items import CallItem
from maestro_daemon.protocol.json_extent import JSONExtent
from maestro_daemon.protocol.output_bounds import Piece


class Call:
    """One call as far as it is known; `early` is the arguments that came before its item could be opened."""

    __slots__ = ("_extent", "early", "id", "item", "name", "raw")

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.raw = False
        self.early: list[str] = []
        self.item: CallItem | None = None
        self._extent = JSONExtent()

    @property
    def whole(self) -> bool:
        """It is announced, and nothing more belongs to it."""
        return self.item is not None and self._extent.complete

    @property
    def half(self) -> bool:
        """Its arguments began and did not end."""
        return self._extent.begun and not self._extent.complete

    def cut(self, arguments: str) -> str:
        """What of the next arguments belongs to the call: what follows the closed object does not.

        All of it where `raw` is set, since a custom tool's input may come unwrapped.
        """
        within = self._extent.cut(arguments)
        return arguments if self.raw else within


class WaitingLine:
    """Calls, and runs of pieces between them."""

    def __init__(self) -> None:
        self._line: deque[Call | list[Piece]] = deque()

    def __bool__(self) -> bool:
        return bool(self._line)

    def add_call(self, call: Call) -> None:
        """A call begins; its further arguments are added to it wherever it stands."""
        self._line.append(call)

    def add_piece(self, piece: Piece) -> None:
        """Text and its like, after everything that waits already."""
        if not self._line or isinstance(self._line[-1], Call):
            self._line.append([])
        run = self._line[-1]
        if isinstance(run, list):
            run.append(piece)

    def next(self) -> Call | list[Piece]:
        """Take out the first."""
        return self._line.popleft()

    def drop_blank_end(self) -> None:
        """Forget a last run that would make no item."""
        if self._line and isinstance(run := self._line[-1], list) and all(map(_is_blank, run)):
            self._line.pop()


def _is_blank(piece: Piece) -> bool:
    match piece:
        case TextDelta(text):
            return text.isspace()
        case ReasoningDelta(text, opaque):
            return not opaque and text.isspace()
        case AnnotationDelta():
            return True
    return False
