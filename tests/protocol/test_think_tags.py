"""Reasoning between <think> tags at the head of an answer."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maestro_daemon.deltas import ReasoningDelta
from maestro_daemon.protocol.think_tags import ThinkTags


def said(*pieces: str) -> tuple[str, str]:
    """(reasoning, text) of an answer that comes in these pieces."""
    tags = ThinkTags()
    found = [delta for piece in pieces for delta in tags.feed(piece)]
    found += tags.interrupt()
    reasoning = "".join(delta.text for delta in found if isinstance(delta, ReasoningDelta))
    return reasoning, "".join(delta.text for delta in found if not isinstance(delta, ReasoningDelta))


@pytest.mark.parametrize(
    ("answer", "reasoning", "text"),
    [
        ("<think>why</think>so", "why", "so"),
        ("<think>\nwhy\n</think>\n\nso", "why\n", "so"),
        ("\n <think>why</think>\r\nso\n", "why", "so\n"),
        ("<think>\n\n</think>\n\nso", "", "so"),
        ("</think>\n\nso", "", "so"),
        ("\n</think>so", "", "so"),
        ("<think>never closed", "never closed", ""),
        ("<think>a < b </thin", "a < b </thin", ""),
        ("so <think>not at the head</think>", "", "so <think>not at the head</think>"),
        ("so\n</think>\nit is", "", "so\n</think>\nit is"),
        ("<think>why</think>Use `<think>` and </think>.", "why", "Use `<think>` and </think>."),
        ("```\n<think>code</think>\n```", "", "```\n<think>code</think>\n```"),
        ("<thinking>other tag</thinking>", "", "<thinking>other tag</thinking>"),
        ("<th", "", "<th"),
        ("  \n", "", "  \n"),
        (" " * 5000 + "<think>too far</think>", "", " " * 5000 + "<think>too far</think>"),
        ("", "", ""),
    ],
)
def test_a_leading_block_is_reasoning_and_all_else_is_text(answer: str, reasoning: str, text: str) -> None:
    assert said(answer) == (reasoning, text)
    assert said(*answer) == (reasoning, text)


@given(st.data())
@settings(deadline=None)
def test_any_split_of_an_answer_gives_the_same_reasoning_and_text(data: st.DataObject) -> None:
    atoms = ["<think>", "</think>", "<", "</", "think>", "\n", " ", "a", "<think", "`"]
    answer = "".join(data.draw(st.lists(st.sampled_from(atoms), max_size=12)))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(answer)), max_size=8)))
    bounds = [0, *cuts, len(answer)]
    pieces = [answer[start:end] for start, end in pairwise(bounds)]
    assert said(*pieces) == said(answer)


def test_thinking_is_passed_on_as_it_comes() -> None:
    tags = ThinkTags()
    assert tags.feed("<think>one") == [ReasoningDelta("one")]
    assert tags.feed(" two") == [ReasoningDelta(" two")]


def test_plain_text_is_settled_at_its_first_character() -> None:
    tags = ThinkTags()
    assert not tags.settled
    assert [delta.text for delta in tags.feed("H")] == ["H"]
    assert tags.settled
