"""The tokens of an answer whose upstream said too little about them.

Clients compact their history by the total, so a missing count is estimated, never null and never zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from maestro_daemon.deltas import Usage
from maestro_daemon.protocol.json import dumps

_CHARACTERS_PER_TOKEN: Final = 4


def settled_usage(said: Usage | None, output: Sequence[Mapping[str, Any]], input_characters: int) -> Usage:
    """What the upstream said, each side that is missing (or 0 although there was something) estimated.

    `output` holds the answer's items, `input_characters` the size of the prompt.
    """
    reasoning = _tokens(_size(item) for item in output if item["type"] == "reasoning")
    written = _tokens(_size(item) for item in output)
    if said is None:
        return Usage(max(1, _tokens([input_characters])), max(1, written), reasoning_tokens=reasoning)
    if said.input_tokens <= 0:
        said = replace(said, input_tokens=max(1, _tokens([input_characters])))
    if said.output_tokens <= 0 and output:
        said = replace(said, output_tokens=max(1, written))
    return said


def _tokens(sizes: Iterable[int]) -> int:
    return -(-sum(sizes) // _CHARACTERS_PER_TOKEN)


def _size(item: Mapping[str, Any]) -> int:
    """The characters of an output item that the model wrote."""
    kind = item["type"]
    if kind in ("message", "reasoning"):
        return sum(len(part.get("text") or part.get("refusal") or "") for part in item.get("content", ()))
    if kind == "image_generation_call":
        return 0
    said = item.get("arguments", item.get("input", item.get("action", item.get("operation"))))
    text = said if isinstance(said, str) else dumps(said).decode()
    return len(item.get("name", "")) + len(text)
