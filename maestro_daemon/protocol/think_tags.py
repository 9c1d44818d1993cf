"""Reasoning between ``<think>`` tags at the head of an answer, from servers without a field for it.

Only the head is looked at: ``<think>`` as the first thing said begins reasoning that ``</think>`` ends, and a
``</think>`` as the first thing said (the prompt's template had opened it, the model had no thoughts) is taken
away. Tags anywhere later are text like all text. A template that opens the tag for a model that does think
cannot be told from a plain answer before its end, and is left as it came: that server has a setting to parse
its reasoning.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from maestro_daemon.deltas import ReasoningDelta, TextDelta

_OPEN: Final = "<think>"
_CLOSE: Final = "</think>"
_WIDEST_MARGIN: Final = 4096
"""More white space than this before a tag, in characters, and it is no head any more."""


class _State(Enum):
    HEAD = 1  # nothing but white space or a tag's beginning so far
    OPENED = 2  # just behind <think>: line ends are not part of the reasoning
    THINKING = 3
    CLOSED = 4  # just behind </think>: line ends are not part of the text
    TEXT = 5  # for good


class ThinkTags:
    """The text of one answer in, text and reasoning out; any split of the text gives the same whole."""

    def __init__(self) -> None:
        self._state = _State.HEAD
        self._held = ""

    @property
    def settled(self) -> bool:
        """True when all further text passes as it is."""
        return self._state is _State.TEXT

    def feed(self, text: str) -> list[TextDelta | ReasoningDelta]:
        """The next piece of text; what may be the beginning of a tag is held back."""
        out: list[TextDelta | ReasoningDelta] = []
        text = self._held + text
        self._held = ""
        while text:
            text = self._step(text, out)
        return out

    def interrupt(self) -> list[TextDelta | ReasoningDelta]:
        """Something that is not text comes next: hand out what is held. The head is over."""
        held, self._held = self._held, ""
        thinking = self._state in (_State.OPENED, _State.THINKING)
        if not thinking:
            self._state = _State.TEXT
        if not held:
            return []
        return [ReasoningDelta(held) if thinking else TextDelta(held)]

    def _step(self, text: str, out: list[TextDelta | ReasoningDelta]) -> str:
        """Handle what can be told of the text in the present state; return what is left for the next one."""
        state = self._state
        if state is _State.HEAD:
            return self._head(text)
        if state is _State.OPENED or state is _State.CLOSED:
            text = text.lstrip("\r\n")
            if text:
                self._state = _State.THINKING if state is _State.OPENED else _State.TEXT
            return text
        if state is _State.TEXT:
            out.append(TextDelta(text))
            return ""
        return self._thinking(text, out)

    def _head(self, text: str) -> str:
        said = text.lstrip()
        if len(text) - len(said) > _WIDEST_MARGIN:
            self._state = _State.TEXT
            return text
        if said.startswith(_OPEN):
            self._state = _State.OPENED
            return said[len(_OPEN) :]
        if said.startswith(_CLOSE):
            self._state = _State.CLOSED
            return said[len(_CLOSE) :]
        if _OPEN.startswith(said) or _CLOSE.startswith(said):
            self._held = text
            return ""
        self._state = _State.TEXT
        return text

    def _thinking(self, text: str, out: list[TextDelta | ReasoningDelta]) -> str:
        thought, tag, rest = text.partition(_CLOSE)
        if tag:
            self._state = _State.CLOSED
        else:
            size = _prefix_at_end(text)
            thought, self._held = text[: len(text) - size], text[len(text) - size :]
        if thought:
            out.append(ReasoningDelta(thought))
        return rest


def _prefix_at_end(text: str) -> int:
    """How many characters at the end of the text may begin a closing tag."""
    start = text.rfind("<", -len(_CLOSE) + 1)
    if start < 0 or not _CLOSE.startswith(text[start:]):
        return 0
    return len(text) - start
