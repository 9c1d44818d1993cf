"""Which call a piece of tool_calls belongs to, each row of the mapping by name."""

from __future__ import annotations

from typing import Any

import pytest

from maestro_daemon.deltas import (
    Finish,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from maestro_daemon.errors import UpstreamBroken
from maestro_daemon.protocol.chat_calls import MOST_CALLS
from maestro_daemon.protocol.chat_chunks import ChunkReader
from maestro_daemon.protocol.tool_names import ToolName, ToolNames
from tests.support.playbook import call_chunk, chunk, play_chunks, read


def calls_of(*chunks: Any) -> list[tuple[str, str, str]]:
    """(id, name, arguments) of each call that the chunks make."""
    calls: dict[int, list[str]] = {}
    for delta in read(chunks):
        if isinstance(delta, ToolCallDelta):
            known = calls.setdefault(delta.call, ["", "", ""])
            known[0] = known[0] or delta.id
            known[1] = known[1] or delta.name
            known[2] += delta.arguments
    return [(id, name, arguments) for id, name, arguments in calls.values()]


def test_fragments_of_one_call_belong_together() -> None:
    found = calls_of(
        call_chunk(index=0, id="a", name="f", arguments=""),
        call_chunk(index=0, arguments='{"x"'),
        call_chunk(index=0, arguments=":1}"),
    )
    assert found == [("a", "f", '{"x":1}')]


def test_interleaved_indexes_are_kept_apart() -> None:
    found = calls_of(
        call_chunk(index=0, id="a", name="f", arguments="{"),
        call_chunk(index=1, id="b", name="g", arguments="{"),
        call_chunk(index=0, arguments="}"),
        call_chunk(index=1, arguments=" }"),
    )
    assert found == [("a", "f", "{}"), ("b", "g", "{ }")]


def test_several_calls_in_one_delta_are_all_read() -> None:
    both = [
        {"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}},
        {"index": 1, "id": "b", "function": {"name": "g", "arguments": "{}"}},
    ]
    assert calls_of(chunk(tool_calls=both)) == [("a", "f", "{}"), ("b", "g", "{}")]


def test_calls_without_index_are_kept_apart_by_id() -> None:
    found = calls_of(
        call_chunk(id="a", name="f", arguments="{"),
        call_chunk(id="b", name="g", arguments="{"),
        call_chunk(id="a", arguments="}"),
        call_chunk(id="b", arguments=" }"),
    )
    assert found == [("a", "f", "{}"), ("b", "g", "{ }")]


def test_without_index_and_id_a_new_name_starts_a_call_and_all_else_continues() -> None:
    found = calls_of(
        call_chunk(name="f", arguments='{"x"'),
        call_chunk(arguments=":1}"),
        call_chunk(name="g", arguments="{"),
        call_chunk(arguments="}"),
    )
    assert found == [("", "f", '{"x":1}'), ("", "g", "{}")]


def test_without_index_and_id_the_same_name_after_whole_arguments_starts_a_call() -> None:
    found = calls_of(call_chunk(name="f", arguments='{"x":1}'), call_chunk(name="f", arguments='{"x":2}'))
    assert found == [("", "f", '{"x":1}'), ("", "f", '{"x":2}')]


def test_the_same_index_with_a_new_id_is_a_new_call() -> None:
    found = calls_of(
        call_chunk(index=0, id="a", name="f", arguments="{}"),
        call_chunk(index=0, id="b", name="f", arguments="{}"),
        call_chunk(index=0, id="c", name="g", arguments=""),
        call_chunk(index=0, arguments="{ }"),
    )
    assert found == [("a", "f", "{}"), ("b", "f", "{}"), ("c", "g", "{ }")]


def test_the_same_index_with_a_new_id_is_a_new_call_even_after_half_a_call() -> None:
    found = calls_of(
        call_chunk(index=0, id="a", name="f", arguments="{"),
        call_chunk(index=0, id="b", name="f", arguments="{}"),
        call_chunk(index=0, id="c"),
        call_chunk(index=0, name="g", arguments="{ }"),
    )
    assert found == [("a", "f", "{"), ("b", "f", "{}"), ("c", "g", "{ }")]


def test_calls_that_share_an_index_are_told_apart_by_their_ids() -> None:
    found = calls_of(
        call_chunk(index=0, id="a", name="f", arguments="{"),
        call_chunk(index=0, id="b", name="g", arguments="{"),
        call_chunk(index=0, id="a", arguments="}"),
        call_chunk(index=0, id="b", arguments=" }"),
    )
    assert found == [("a", "f", "{}"), ("b", "g", "{ }")]


def test_a_fresh_id_on_each_piece_continues_the_call() -> None:
    found = calls_of(
        call_chunk(index=0, id="a", name="f", arguments=""),
        call_chunk(index=0, id="b", arguments='{"x"'),
        call_chunk(index=0, id="c", arguments=":1}"),
    )
    assert found == [("a", "f", '{"x":1}')]
    found = calls_of(call_chunk(id="a", name="f", arguments="{"), call_chunk(id="b", arguments="}"))
    assert found == [("a", "f", "{}")]


def test_an_index_that_shifts_within_a_call_continues_it_by_id() -> None:
    found = calls_of(
        call_chunk(index=0, id="a", name="f", arguments='{"x"'),
        call_chunk(index=1, id="a", arguments=":1}"),
        call_chunk(index=2, id="b", name="g", arguments="{}"),
    )
    assert found == [("a", "f", '{"x":1}'), ("b", "g", "{}")]


def test_two_calls_under_one_id_are_two_calls() -> None:
    found = calls_of(
        call_chunk(index=0, id="a", name="f", arguments="{}"),
        call_chunk(index=1, id="a", name="g", arguments="{}"),
        call_chunk(index=2, id="a", name="g", arguments=""),
        call_chunk(index=2, arguments="{ }"),
    )
    assert found == [("a", "f", "{}"), ("a", "g", "{}"), ("a", "g", "{ }")]


def test_a_name_that_comes_late_or_again_belongs_to_its_call() -> None:
    assert calls_of(call_chunk(index=0, id="a", arguments="{"), call_chunk(index=0, name="f")) == [
        ("a", "f", "{")
    ]
    repeated = [call_chunk(index=0, id="a", name="f", arguments=piece) for piece in ("", "{", "}")]
    assert calls_of(*repeated) == [("a", "f", "{}")]


def test_an_id_that_comes_late_belongs_to_its_call() -> None:
    assert calls_of(call_chunk(index=0, name="f"), call_chunk(index=0, id="a", arguments="{}")) == [
        ("a", "f", "{}")
    ]
    assert calls_of(call_chunk(name="f"), call_chunk(id="a", arguments="{}")) == [("a", "f", "{}")]


@pytest.mark.parametrize(
    ("sent", "text"),
    [({"x": 1}, '{"x":1}'), ([1], "[1]"), (None, ""), ("{}", "{}"), ("not json", "not json"), (7, "7")],
)
def test_arguments_that_are_no_string_are_serialised(sent: Any, text: str) -> None:
    assert calls_of(call_chunk(index=0, id="a", name="f", arguments=sent)) == [("a", "f", text)]


def test_a_single_call_object_and_odd_ids_and_indexes_are_read() -> None:
    single = {"index": "0", "id": 17, "function": {"name": " f ", "arguments": "{}"}}
    assert calls_of(chunk(tool_calls=single)) == [("17", "f", "{}")]
    odd = [None, 3, {"index": None, "id": {}, "function": None}]
    assert calls_of(chunk(tool_calls=odd)) == [("", "", "")]


def test_the_old_function_call_field_is_a_call() -> None:
    pieces = [chunk(function_call={"name": "f", "arguments": "{"}), chunk(function_call={"arguments": "}"})]
    assert calls_of(*pieces) == [("", "f", "{}")]


def test_text_and_calls_in_separate_choices_are_one_answer() -> None:
    split = {
        "choices": [
            {"index": 0, "delta": {"content": "a"}},
            {"index": 1, "delta": {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f"}}]}},
        ]
    }
    assert read([split]) == [TextDelta("a"), ToolCallDelta(0, "c", "f", "")]


def test_a_whole_completion_counts_as_one_chunk() -> None:
    message = {
        "role": "assistant",
        "content": "a",
        "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    }
    whole = {
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2},
    }
    assert read([whole]) == [
        TextDelta("a"),
        ToolCallDelta(0, "c", "f", "{}"),
        Finish("tool_calls"),
        Usage(1, 2),
    ]


def test_too_many_calls_are_a_runaway() -> None:
    reader = ChunkReader()
    pieces = [{"index": index, "id": f"c{index}"} for index in range(MOST_CALLS + 1)]
    with pytest.raises(UpstreamBroken, match="tool calls"):
        reader.feed(chunk(tool_calls=pieces))


def test_halves_of_a_pair_in_arguments_are_joined_per_call() -> None:
    found = calls_of(
        call_chunk(index=0, id="a", name="f", arguments='{"x":"\ud83d'),
        call_chunk(index=1, id="b", name="g", arguments='{"y":1}'),
        call_chunk(index=0, arguments='\ude00"}'),
        call_chunk(index=1, arguments=" \ud83d"),
    )
    assert found == [("a", "f", '{"x":"😀"}'), ("b", "g", '{"y":1} \ufffd')]


def custom_chunk(**call: Any) -> dict[str, Any]:
    custom = {name: call.pop(name) for name in ("name", "input") if name in call}
    return chunk(tool_calls=[{**call, "type": "custom", "custom": custom}])


def test_the_raw_input_of_a_server_that_knows_custom_tools_is_wrapped() -> None:
    pieces = [
        custom_chunk(index=0, id="a", name="patch", input=""),
        custom_chunk(index=0, input='*** "Be'),
        custom_chunk(index=0, input="gin\n\ud83d"),
        custom_chunk(index=0, input="\ude00\ud800"),
        custom_chunk(index=1, id="b", name="exec"),
    ]
    assert calls_of(*pieces) == [("a", "patch", '{"input":"*** \\"Begin\\n😀\ufffd"}'), ("b", "exec", "")]


def test_raw_input_that_looks_like_arguments_reaches_the_client_as_it_is() -> None:
    names = ToolNames()
    flat = names.flat(ToolName("custom", "exec"))
    raw = '{"input": "not unwrapped"}'
    pieces = [custom_chunk(index=0, id="a", name=flat, input=raw[:4]), custom_chunk(index=0, input=raw[4:])]
    other = call_chunk("tool_calls", index=1, id="b", name="f", arguments="{}")
    assert [each.get("input") for each in play_chunks([*pieces, other], names=names).output] == [raw, None]
