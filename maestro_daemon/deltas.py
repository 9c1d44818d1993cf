"""What a translated upstream says, piece by piece: the reducer makes Responses events of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More of the answer's text; `logprobs` have the Responses shape (token, logprob, …)."""

    text: str
    logprobs: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """More of the model's reasoning, in clear. `opaque` is what the upstream wants back with it, unread."""

    text: str
    opaque: str | None = None


@dataclass(frozen=True, slots=True)
class RefusalDelta:
    """More of a refusal."""

    text: str


@dataclass(frozen=True, slots=True)
class AnnotationDelta:
    """One annotation of the text so far, in the Responses shape (url_citation, file_citation, …)."""

    annotation: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ImageDelta:
    """One whole image that the model made, as base64; `format` is ``png``, ``jpeg`` …, "" if not said."""

    base64: str
    format: str = ""


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """More of one tool call.

    `call` tells the calls of one answer apart (any int, stable within the stream). `id` is the upstream's
    call id and `name` the tool's name, each "" until known; `arguments` is the next piece of JSON text.
    """

    call: int
    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """The tokens of the whole answer; the last one said counts."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Finish:
    """Why the upstream stopped, in its word (``stop``, ``length``, ``content_filter``, ``tool_calls``)."""

    reason: str


@dataclass(frozen=True, slots=True)
class ServedBy:
    """Facts of the answer that only the upstream knows: e.g. `service_tier`, merged into the Response."""

    fields: dict[str, Any] = field(default_factory=dict)


Delta = (
    TextDelta
    | ReasoningDelta
    | RefusalDelta
    | AnnotationDelta
    | ImageDelta
    | ToolCallDelta
    | Usage
    | Finish
    | ServedBy
)
