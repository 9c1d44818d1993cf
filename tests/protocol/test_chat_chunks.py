"""Chat chunks to deltas: text, reasoning, refusals, failures, each row of the mapping by name."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maestro_daemon.deltas import (
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
)
from maestro_daemon.errors import UpstreamBroken, UpstreamError, UpstreamRefused
from maestro_daemon.protocol.chat_chunks import MOST_EMPTY_CHUNKS, ChunkReader
from maestro_daemon.protocol.surrogates import whole
from tests.support.playbook import call_chunk, chunk, read


def test_content_becomes_text() -> None:
    assert read([chunk(content="Hel"), chunk(content="lo")]) == [TextDelta("Hel"), TextDelta("lo")]


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning", "reasoning_text"])
def test_reasoning_fields_of_all_servers_become_reasoning(field: str) -> None:
    assert read([chunk(**{field: "hm"}), chunk(content="so")]) == [ReasoningDelta("hm"), TextDelta("so")]


def test_reasoning_sent_under_two_names_is_read_once() -> None:
    assert read([chunk(reasoning="hm", reasoning_content="hm")]) == [ReasoningDelta("hm")]
    details = [{"type": "reasoning.text", "text": "hm"}]
    assert read([chunk(reasoning="hm", reasoning_details=details)]) == [ReasoningDelta("hm")]


def test_reasoning_details_become_reasoning() -> None:
    details = [{"type": "reasoning.text", "text": "a"}, {"type": "reasoning.summary", "summary": "b"}]
    encrypted = [{"type": "reasoning.encrypted", "data": "xx"}, "odd"]
    assert read([chunk(reasoning_details=details), chunk(reasoning_details=encrypted)]) == [
        ReasoningDelta("ab")
    ]


def test_what_the_upstream_wants_back_with_its_reasoning_is_kept_unread() -> None:
    assert read([chunk(reasoning_text="hm", reasoning_opaque="key")]) == [
        ReasoningDelta("", "key"),
        ReasoningDelta("hm"),
    ]


def test_reasoning_and_content_in_one_delta_come_in_that_order() -> None:
    assert read([chunk(content="so", reasoning="hm")]) == [ReasoningDelta("hm"), TextDelta("so")]


def test_think_tags_are_read_only_while_the_server_has_no_reasoning_field() -> None:
    assert read([chunk(content="<think>hm</think>so")]) == [ReasoningDelta("hm"), TextDelta("so")]
    assert read([chunk(reasoning="x"), chunk(content="<think>hm</think>")]) == [
        ReasoningDelta("x"),
        TextDelta("<think>hm</think>"),
    ]


def test_a_think_tag_after_a_call_is_text() -> None:
    late = read([call_chunk(index=0, id="a", name="f"), chunk(content="<think>hm</think>")])
    assert late[1:] == [TextDelta("<think>hm</think>")]


def test_thinking_goes_on_after_a_call_until_its_tag_is_closed() -> None:
    chunks = [
        chunk(content="<think>a</thi"),
        call_chunk(index=0, id="a", name="f"),
        chunk(content="b</think>\nc"),
    ]
    assert [delta for delta in read(chunks) if not isinstance(delta, ToolCallDelta)] == [
        ReasoningDelta("a"),
        ReasoningDelta("</thi"),
        ReasoningDelta("b"),
        TextDelta("c"),
    ]


def test_think_tags_can_be_left_alone() -> None:
    assert read([chunk(content="<think>hm")], think_tags=False) == [TextDelta("<think>hm")]


def test_what_may_be_a_tag_is_handed_out_before_a_call_and_at_the_end() -> None:
    before_call = read([chunk(content="<th"), call_chunk(index=0, id="a", name="f")])
    assert before_call == [TextDelta("<th"), ToolCallDelta(0, "a", "f", "")]
    assert read([chunk(content="<th")]) == [TextDelta("<th")]


def test_content_parts_of_mistral_become_reasoning_and_text() -> None:
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
        {"type": "thinking", "thinking": "hmm"},
        {"type": "text", "text": "so"},
        7,
    ]
    assert read([chunk(content=parts)]) == [ReasoningDelta("hm"), ReasoningDelta("hmm"), TextDelta("so")]


def test_refusal_becomes_refusal() -> None:
    assert read([chunk(refusal="No"), chunk(refusal=".")]) == [RefusalDelta("No"), RefusalDelta(".")]


def test_role_only_empty_and_null_deltas_start_nothing() -> None:
    nothing = {"content": None, "reasoning_content": None, "refusal": None, "tool_calls": None}
    chunks = [
        chunk(role="assistant"),
        chunk(role=None, content=""),
        chunk(**nothing),
        chunk(reasoning="", tool_calls=[], annotations=[]),
        chunk(content=[{"type": "text", "text": ""}], annotations=3, images="no", refusal=[]),
        {"choices": [{"index": 0, "delta": None}]},
        {"choices": []},
        {"choices": None, "prompt_filter_results": []},
        {"object": "chat.completion.chunk"},
    ]
    assert read(chunks) == []


def test_halves_of_a_pair_in_two_deltas_are_joined() -> None:
    chunks = [chunk(content="a\ud83d"), chunk(content="\ude00b")]
    assert read(chunks) == [TextDelta("a"), TextDelta("😀b")]


def test_a_half_that_stays_alone_becomes_a_replacement_character() -> None:
    assert read([chunk(content="a\ud83d")]) == [TextDelta("a"), TextDelta("\ufffd")]
    assert read([chunk(content="\ude00a")]) == [TextDelta("\ufffda")]
    assert read([chunk(reasoning="\ud83d"), chunk(content="x")]) == [ReasoningDelta("\ufffd"), TextDelta("x")]
    assert read([chunk(refusal="\ud83d")]) == [RefusalDelta("\ufffd")]


@pytest.mark.parametrize(
    ("payload", "message", "code"),
    [
        ({"error": {"message": "out of memory", "code": "oom"}}, "out of memory", "oom"),
        ({"error": "boom"}, "boom", None),
        ({"error": {}}, "", None),
        ({"object": "error", "message": "bad", "code": 400}, "bad", None),
        ({"type": "error", "error": {"message": "late"}}, "late", None),
        ({"choices": [{"index": 0, "delta": {}, "error": {"message": "inner"}}]}, "inner", None),
        ({**chunk(content="a"), "error": {"message": "with content"}}, "with content", None),
    ],
)
def test_an_error_object_in_the_stream_is_a_failure(payload: Any, message: str, code: str | None) -> None:
    with pytest.raises(UpstreamError) as caught:
        ChunkReader().feed(payload)
    assert message in caught.value.message
    assert caught.value.message
    assert code is None or caught.value.code == code


def test_context_overflow_in_the_stream_keeps_its_meaning() -> None:
    error = {"code": 400, "type": "exceed_context_size_error", "message": "the request exceeds the context"}
    with pytest.raises(UpstreamRefused) as caught:
        ChunkReader().feed({"error": error})
    assert (caught.value.code, caught.value.status) == ("context_length_exceeded", 400)


@pytest.mark.parametrize("nothing", [None, False, ""])
def test_an_empty_error_field_is_no_failure(nothing: Any) -> None:
    assert ChunkReader().feed({**chunk(content="a"), "error": nothing}) == [TextDelta("a")]


@pytest.mark.parametrize("value", [None, [], "text", 3, True])
def test_a_chunk_that_is_no_object_is_nonsense(value: Any) -> None:
    with pytest.raises(UpstreamBroken):
        ChunkReader().feed(value)


def test_an_upstream_that_runs_on_without_a_word_is_stopped() -> None:
    reader = ChunkReader()
    for _ in range(MOST_EMPTY_CHUNKS):
        reader.feed({"choices": []})
    with pytest.raises(UpstreamBroken, match="say nothing"):
        reader.feed({"choices": []})


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    SCALARS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    """choices delta message content reasoning reasoning_content reasoning_details refusal tool_calls function
    function_call name arguments index id finish_reason usage timings logprobs annotations images error
    image_url
    url type text thinking service_tier token prompt_tokens cache_n""".split()  # noqa: SIM905
)
CHUNKLIKE = st.recursive(
    JSON,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=4),
    max_leaves=20,
)


@given(st.lists(CHUNKLIKE.filter(lambda value: isinstance(value, dict)), max_size=4))
@settings(deadline=None)
def test_any_json_gives_deltas_or_an_upstream_error(chunks: list[Any]) -> None:
    try:
        deltas = read(chunks)
    except UpstreamError:
        return
    for delta in deltas:
        fields = [getattr(delta, name) for name in type(delta).__slots__]
        assert all(field == whole(field) for field in fields if isinstance(field, str))
