"""Whatever the deltas or chunks: a failure, or a stream that the oracle accepts, however it is split."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maestro_daemon.deltas import (
    AnnotationDelta,
    Delta,
    Finish,
    ImageDelta,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from maestro_daemon.errors import UpstreamBroken, UpstreamError
from maestro_daemon.events import ResponseEvent
from maestro_daemon.protocol.collect import collect
from maestro_daemon.protocol.tool_names import ToolName, ToolNames
from tests.support.playbook import (
    CITATION,
    Played,
    a_request,
    call,
    chunk,
    play,
    play_chunks,
)


async def _each(events: list[ResponseEvent]) -> AsyncIterator[ResponseEvent]:
    for event in events:
        yield event


def said_by(played: Played) -> dict[str, Any]:
    """The final Response, as `collect` folds it, without what is minted or timed."""
    response = asyncio.run(collect(_each(played.events)))
    assert response == played.response
    for item in response["output"]:
        item.pop("id")
        if item.get("call_id", "").startswith("call_"):
            item.pop("call_id")
    for name in ("id", "created_at", "completed_at"):
        response.pop(name)
    return response


WORDS = st.text(alphabet='ab \n"\\{}[]:,😀é<', min_size=1, max_size=6)
ARGUMENTS = st.sampled_from(['{"a":1}', '{"a":"}\\""}', "{}", "", " ", "[1,{}]", "nope", '{"input":"x"}'])
PIECES = st.one_of(
    st.builds(TextDelta, WORDS),
    st.builds(TextDelta, st.sampled_from([" ", "\n", ""])),
    st.builds(ReasoningDelta, WORDS, st.none() | st.just("key")),
    st.builds(RefusalDelta, WORDS),
    st.just(AnnotationDelta(CITATION)),
    st.just(ImageDelta("aGk=", "png")),
    st.builds(
        ToolCallDelta,
        st.integers(0, 3),
        st.sampled_from(["", "c1", "c2"]),
        st.sampled_from(["", "f", "custom", "shell", "search", "patch"]),
        st.one_of(ARGUMENTS, WORDS, st.just("")),
    ),
    st.builds(Usage, st.integers(0, 9), st.integers(0, 9)),
)
REASONS = st.sampled_from(["stop", "tool_calls", "length", "content_filter", "what"])


def property_names() -> ToolNames:
    kinds = {"custom": "custom", "shell": "shell", "search": "tool_search", "patch": "apply_patch"}
    names = ToolNames()
    for name, kind in kinds.items():
        names.flat(ToolName(kind, name))  # type: ignore[arg-type]
    return names


def nameless(deltas: list[Delta]) -> bool:
    """Whether a call among them never gets its name."""
    names: dict[int, str] = {}
    for delta in deltas:
        if isinstance(delta, ToolCallDelta):
            names[delta.call] = names.get(delta.call, "") + delta.name
    return not all(names.values())


@given(st.lists(PIECES, max_size=14), REASONS, st.booleans())
@settings(deadline=None, max_examples=150)
def test_any_deltas_give_a_stream_that_the_oracle_accepts(
    deltas: list[Delta], reason: str, sealed: bool
) -> None:
    request = a_request(store=not sealed)
    answer = [*deltas, Finish(reason)]
    if nameless(deltas):
        with pytest.raises(UpstreamBroken, match="naming"):
            play(answer, request=request, names=property_names())
    else:
        said_by(play(answer, request=request, names=property_names()))


def split(data: st.DataObject, text: str) -> list[str]:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=5)))
    bounds = [0, *cuts, len(text)]
    return [text[start:end] for start, end in pairwise(bounds)]


def frayed(data: st.DataObject, delta: Delta) -> list[Delta]:
    """The same delta in pieces."""
    match delta:
        case TextDelta(text):
            return [TextDelta(piece) for piece in split(data, text)]
        case ReasoningDelta(text, None):
            return [ReasoningDelta(piece) for piece in split(data, text)]
        case RefusalDelta(text):
            return [RefusalDelta(piece) for piece in split(data, text)]
        case ToolCallDelta(number, id, name, arguments):
            pieces = split(data, arguments)
            return [ToolCallDelta(number, id, name, pieces[0])] + [call(number, each) for each in pieces[1:]]
    return [delta]


@given(st.data(), st.lists(PIECES, max_size=10), REASONS)
@settings(deadline=None, max_examples=100)
def test_any_split_of_the_same_deltas_gives_the_same_response(
    data: st.DataObject, deltas: list[Delta], reason: str
) -> None:
    request = a_request()
    pieces = [piece for delta in deltas for piece in frayed(data, delta)]
    try:
        whole = play([*deltas, Finish(reason)], request=request, names=property_names())
    except UpstreamBroken:
        with pytest.raises(UpstreamBroken):
            play([*pieces, Finish(reason)], request=request, names=property_names())
        return
    assert said_by(play([*pieces, Finish(reason)], request=request, names=property_names())) == said_by(whole)


SCALARS = st.none() | st.booleans() | st.integers(-1, 3) | WORDS
CALLS = st.fixed_dictionaries(
    {},
    optional={
        "index": st.integers(0, 2) | SCALARS,
        "id": st.sampled_from(["", "a", "b"]) | SCALARS,
        "function": st.fixed_dictionaries(
            {},
            optional={
                "name": st.sampled_from(["f", "shell", "custom"]) | SCALARS,
                "arguments": ARGUMENTS | SCALARS,
            },
        ),
    },
)
DELTAS = st.fixed_dictionaries(
    {},
    optional={
        "content": st.sampled_from(["<think>", "</think>", "text", "\ud83d", "\ude00"]) | SCALARS,
        "reasoning": SCALARS,
        "reasoning_content": SCALARS,
        "refusal": SCALARS,
        "tool_calls": st.lists(CALLS | SCALARS, max_size=3) | SCALARS,
        "function_call": CALLS | SCALARS,
        "annotations": st.lists(st.just({"type": "url_citation", "url": "u"}) | SCALARS, max_size=2),
    },
)
CHUNKS = st.fixed_dictionaries(
    {},
    optional={
        "choices": st.lists(
            st.fixed_dictionaries(
                {},
                optional={"delta": DELTAS | SCALARS, "finish_reason": REASONS | SCALARS, "message": DELTAS},
            )
            | SCALARS,
            max_size=2,
        )
        | SCALARS,
        "usage": st.dictionaries(st.sampled_from(["prompt_tokens", "total_tokens"]), SCALARS) | SCALARS,
        "service_tier": st.just("flex"),
    },
)


@given(st.lists(CHUNKS, max_size=8))
@settings(deadline=None, max_examples=150)
def test_any_chunks_give_an_upstream_error_or_a_stream_that_the_oracle_accepts(chunks: list[Any]) -> None:
    try:
        played = play_chunks([*chunks, chunk("stop")], names=property_names())
    except UpstreamError:
        return
    said_by(played)
