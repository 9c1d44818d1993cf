"""Thinking: what a request asks for, and its blocks on their round trip through clients."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from maestro_anthropic.facts import EFFORTS, ModelFacts
from maestro_anthropic.options import AnthropicOptions

Block = dict[str, Any]

_LEAST_BUDGET: Final = 1024
_OFF: Final[Block] = {"type": "disabled"}


@dataclass(frozen=True, slots=True)
class ThinkingPlan:
    """`thinking` and ``output_config.effort`` of a request, each None to leave it out."""

    thinking: Block | None = None
    effort: str | None = None

    @property
    def on(self) -> bool:
        """Whether the request asks for thinking, so that earlier thinking may come with it."""
        return self.thinking is not None and self.thinking != _OFF


def plan_thinking(
    wanted: str | None,
    facts: ModelFacts,
    options: AnthropicOptions,
    *,
    max_tokens: int,
    forced: bool,
    goes_on: bool,
) -> ThinkingPlan:
    """How to ask for the reasoning effort `wanted` (None: the client did not say).

    `forced`: a tool must be called, which rules thinking out. `goes_on`: the history holds thinking of this
    upstream's, and the model should not lose it.
    """
    mode = _mode(facts, options)
    wanted = wanted or options.effort
    if mode == "off":
        return ThinkingPlan()
    if facts.always_thinks:
        low = "low" if wanted in ("none", "minimal") else wanted
        return ThinkingPlan(_adaptive(options), None if low is None else _nearest(low, facts))
    if forced or wanted == "none":
        says = wanted is not None or facts.disabled is True
        return ThinkingPlan(_OFF if says and facts.disabled is not False else None)
    if wanted is None:
        return ThinkingPlan(_adaptive(options) if goes_on and mode == "adaptive" else None)
    if mode == "adaptive":
        return ThinkingPlan(_adaptive(options), _nearest(wanted, facts))
    budget = min(_budget(wanted, options), max_tokens - 1)
    effort = _nearest(wanted, facts) if facts.efforts else None
    if budget < _LEAST_BUDGET:
        return ThinkingPlan(None, effort)
    thinking: Block = {"type": "enabled", "budget_tokens": budget}
    if options.thinking_display != "summarized":
        thinking["display"] = options.thinking_display
    return ThinkingPlan(thinking, effort)


def _mode(facts: ModelFacts, options: AnthropicOptions) -> Literal["adaptive", "budget", "off"]:
    if options.thinking != "auto":
        return options.thinking
    if facts.adaptive is not False:
        return "adaptive"
    return "budget" if facts.budget is not False else "off"


def _adaptive(options: AnthropicOptions) -> Block:
    # Said always: what a model shows by itself is another thing with each of them.
    return {"type": "adaptive", "display": options.thinking_display}


def _nearest(wanted: str, facts: ModelFacts) -> str | None:
    """The same effort if the model knows it, else the next lower, else its lowest; None if it knows none."""
    known = EFFORTS if facts.efforts is None else facts.efforts
    if wanted in known or not known:
        return wanted if known else None
    rank = EFFORTS.index(wanted) if wanted in EFFORTS else -1
    lower = [effort for effort in known if EFFORTS.index(effort) < rank]
    return lower[-1] if lower else known[0]


def _budget(wanted: str, options: AnthropicOptions) -> int:
    budget = getattr(options.budgets, wanted, None)
    return budget if isinstance(budget, int) else options.budgets.medium


class ThinkingRun:
    """Thinking blocks that follow each other, as one opaque text: their signatures, and whose text is whose.

    The text itself travels in clear beside it.
    """

    def __init__(self) -> None:
        self._blocks: list[list[Any]] = []

    def add_thinking(self, length: int, signature: str) -> str:
        """Another block of `length` characters of text; the opaque text of the run so far."""
        self._blocks.append([length, signature])
        return self._written()

    def add_redacted(self, data: str) -> str:
        """Another block that nobody can read; the opaque text of the run so far."""
        self._blocks.append([data])
        return self._written()

    def _written(self) -> str:
        return json.dumps(self._blocks, separators=(",", ":"))


def thinking_blocks(text: str, opaque: str) -> list[Block] | None:
    """The blocks that a `ThinkingRun` told of, `text` being what was said in clear; None if they disagree."""
    try:
        return list(_read(text, json.loads(opaque)))
    except (ValueError, TypeError):
        return None


def _read(text: str, blocks: Iterable[Any]) -> Iterator[Block]:
    at = 0
    for block in blocks:
        match block:
            case [str(data)]:
                yield {"type": "redacted_thinking", "data": data}
            case [int(length), str(signature)] if 0 <= length <= len(text) - at:
                thinking = text[at : at + length]
                at += length
                if signature:
                    yield {"type": "thinking", "thinking": thinking, "signature": signature}
            case _:
                raise ValueError("the text and the blocks disagree")
