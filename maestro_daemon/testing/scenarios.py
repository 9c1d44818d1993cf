"""What may happen to a request, in no wire language: the checks choose it, a `Stage` plays it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class ToolCall:
    """The model calls a tool; `arguments` is JSON text."""

    name: str
    arguments: str
    call_id: str


@dataclass(frozen=True)
class Answers:
    """A whole answer: what the model `thought`, the text in `pieces`, then `calls`.

    `finish` is "length" for an answer that ends at its bound of tokens. `tokens` are those of the input and
    of the output. An `odd` one bears fields and records that nobody knows (`ODD_FIELD`, `ODD_EVENT`).
    `bytes_at_once` is how many bytes of it are written at a time, None for whole records.
    """

    pieces: tuple[str, ...] = ()
    thought: str = ""
    calls: tuple[ToolCall, ...] = ()
    finish: Literal["stop", "length"] = "stop"
    tokens: tuple[int, int] = (11, 7)
    odd: bool = False
    bytes_at_once: int | None = None

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(self.pieces)


@dataclass(frozen=True)
class Refuses:
    """An error status instead of an answer; `retry_after` in seconds."""

    status: int
    message: str
    code: str | None = None
    retry_after: int | None = None


@dataclass(frozen=True)
class Breaks:
    """The connection ends in the middle: after these `pieces`, or before any answer (None)."""

    pieces: tuple[str, ...] | None


@dataclass(frozen=True)
class Ends:
    """After these `pieces` the stream ends in good order, though the answer is not complete."""

    pieces: tuple[str, ...]


@dataclass(frozen=True)
class Fails:
    """After these `pieces` the stream tells of an error."""

    pieces: tuple[str, ...]
    message: str


@dataclass(frozen=True)
class Stalls:
    """Silence: after these `pieces` (none of them: just accepted), or before any answer (None)."""

    pieces: tuple[str, ...] | None


@dataclass(frozen=True)
class Babbles:
    """A success that is nonsense: a page of HTML, or records that are no JSON."""

    how: Literal["page", "records"]


Scenario = Answers | Refuses | Breaks | Ends | Fails | Stalls | Babbles
"""What the next request gets."""


@dataclass(frozen=True)
class Lists:
    """A list of these models. An `odd` one has entries in between that are none, and unknown fields."""

    ids: tuple[str, ...]
    odd: bool = False


Listing = Lists | Refuses | Babbles
"""What the next question for the models gets."""

ODD_FIELD = "x_contract_unheard"
ODD_EVENT = "response.contract.unheard"
