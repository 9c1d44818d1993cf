"""What the fake's model does in one answer, in no wire language yet."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Final

_numbers: Final = itertools.count(1)


@dataclass(frozen=True)
class Think:
    """Reasoning."""

    text: str = "I think."


@dataclass(frozen=True)
class Say:
    """Words for the user, in these pieces."""

    pieces: tuple[str, ...]

    def __init__(self, *pieces: str) -> None:
        object.__setattr__(self, "pieces", pieces)

    @property
    def text(self) -> str:
        return "".join(self.pieces)


@dataclass(frozen=True)
class Call:
    """A tool call; `namespace` is that of an MCP tool."""

    name: str
    arguments: str
    namespace: str | None = None
    call_id: str = field(default_factory=lambda: f"call_{next(_numbers)}")


Doing = Think | Say | Call
Turn = tuple[Doing, ...]
