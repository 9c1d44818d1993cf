"""Tool calls to items, each row of the mapping by name; the oracle judges each stream."""

from __future__ import annotations

import json

import pytest

from maestro_daemon.deltas import (
    AnnotationDelta,
    Finish,
    ImageDelta,
    ReasoningDelta,
    RefusalDelta,
)
from maestro_daemon.errors import UpstreamBroken
from maestro_daemon.protocol.reducer import ResponseReducer
from maestro_daemon.protocol.tool_names import ToolName, ToolNames
from tests.support.playbook import (
    CITATION,
    STOP,
    a_request,
    call,
    call_chunk,
    chunk,
    feed,
    play,
    play_chunks,
    shape,
    texts,
)


def test_interleaved_calls_come_one_after_the_other() -> None:
    played = play(
        [
            call(0, '{"a":', id="c0", name="f"),
            call(1, '{"b":', id="c1", name="g"),
            call(0, "1}"),
            call(1, "2}"),
            STOP,
        ]
    )
    assert shape(played) == [("function_call", '{"a":1}'), ("function_call", '{"b":2}')]
    assert [item["call_id"] for item in played.output] == ["c0", "c1"]


def test_a_later_call_streams_as_soon_as_the_earlier_one_is_whole() -> None:
    reducer = ResponseReducer(a_request())
    feed(reducer, call(0, "{", name="f"), call(1, '{"b"', name="g"))
    opened = [event.type.removeprefix("response.") for event in reducer.feed(call(0, "}"))]
    assert opened == [
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
    ]
    (event,) = reducer.feed(call(1, ":1}"))
    assert event.type == "response.function_call_arguments.delta"


def test_many_calls_announced_at_once_are_filled_in_any_order() -> None:
    names = "fghi"
    headers = [call(number, id=f"c{number}", name=name) for number, name in enumerate(names)]
    pieces = [call(number, piece) for piece in ('{"x":', "1", "}") for number in (3, 1, 0, 2)]
    played = play([*headers, *pieces, STOP])
    assert [(item["name"], item["arguments"]) for item in played.output] == [(n, '{"x":1}') for n in names]


def test_text_while_a_call_is_open_waits_for_it() -> None:
    played = play([call(0, '{"a"', name="f"), *texts("so"), call(0, ":1}"), *texts(" on"), STOP])
    assert shape(played) == [("function_call", '{"a":1}'), ("message", "so on")]


def test_all_that_waits_comes_in_its_order_at_the_end() -> None:
    played = play(
        [
            call(0, '{"a"', name="f"),
            *texts("one"),
            call(1, "{", name="g"),
            ReasoningDelta("two"),
            RefusalDelta("three"),
            ImageDelta("aGk="),
            call(1, "}"),
            AnnotationDelta(CITATION),
            STOP,
        ]
    )
    assert shape(played) == [
        ("function_call", '{"a"'),
        ("message", "one"),
        ("function_call", "{}"),
        ("reasoning", "two"),
        ("message", "three"),
        ("image_generation_call", "aGk="),
    ]


def test_a_name_that_comes_late_holds_the_announcement_back() -> None:
    reducer = ResponseReducer(a_request())
    assert feed(reducer, call(0, '{"a":', id="c")) == []
    added, delta = reducer.feed(call(0, "1}", name="f"))
    assert json.loads(added.payload)["item"]["name"] == "f"
    assert json.loads(delta.payload)["delta"] == '{"a":1}'


def test_a_call_that_never_gets_a_name_is_a_failure() -> None:
    reducer = ResponseReducer(a_request())
    feed(reducer, *texts("a"), call(0, "{}", id="c"), Finish("tool_calls"))
    with pytest.raises(UpstreamBroken, match="without naming"):
        reducer.finish()


def test_missing_long_and_repeated_call_ids_are_minted() -> None:
    ids = ["", "x" * 65, "same", "same", "functions.f:0"]
    played = play([*(call(number, "{}", id=id, name="f") for number, id in enumerate(ids)), STOP])
    found = [item["call_id"] for item in played.output]
    assert found[2] == "same"
    assert found[4] == "functions.f:0"
    for number in (0, 1, 3):
        assert found[number].startswith("call_")
        assert len(found[number]) >= 29


def test_empty_arguments_are_an_empty_object() -> None:
    played = play([call(0, id="a", name="f"), call(1, "  ", id="b", name="g"), STOP])
    assert shape(played) == [("function_call", "{}"), ("function_call", "{}")]
    assert played.deltas("function_call_arguments") == ["{}", "{}"]


def test_arguments_that_are_an_object_arrive_as_a_string() -> None:
    played = play_chunks([call_chunk(index=0, id="a", name="f", arguments={"x": [1]}), chunk("stop")])
    assert shape(played) == [("function_call", '{"x":[1]}')]


def test_arguments_that_are_no_json_arrive_as_they_are() -> None:
    assert shape(play([call(0, "not ", name="f"), call(0, "json}"), STOP])) == [
        ("function_call", "not json}")
    ]


def test_what_follows_whole_arguments_is_dropped() -> None:
    played = play([call(0, '{"a":"}"}', name="f"), call(0, '{"a":"}"}'), call(1, "{}", name="g"), STOP])
    assert shape(played) == [("function_call", '{"a":"}"}'), ("function_call", "{}")]


def test_several_calls_in_one_delta_are_several_items() -> None:
    both = [
        {"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}},
        {"index": 1, "id": "b", "function": {"name": "g", "arguments": "{}"}},
    ]
    played = play_chunks([chunk(tool_calls=both), chunk("tool_calls")])
    assert [item["name"] for item in played.output] == ["f", "g"]


def tools(*known: ToolName) -> tuple[ToolNames, list[str]]:
    names = ToolNames()
    return names, [names.flat(tool) for tool in known]


def test_namespaces_are_restored() -> None:
    names, (flat,) = tools(ToolName("function", "add", "mcp__calc"))
    item = play([call(0, "{}", name=flat), STOP], names=names).output[0]
    assert (item["name"], item["namespace"]) == ("add", "mcp__calc")


def test_a_custom_call_streams_its_unwrapped_input() -> None:
    names, (flat,) = tools(ToolName("custom", "apply_patch", "functions"))
    pieces = [call(0, '{"inp', id="c", name=flat), call(0, 'ut": "*** Be'), call(0, 'gin\\n"'), call(0, "}")]
    played = play([*pieces, STOP], names=names)
    item = played.output[0]
    assert item["type"] == "custom_tool_call"
    assert (item["name"], item["namespace"], item["call_id"]) == ("apply_patch", "functions", "c")
    assert item["input"] == "*** Begin\n"
    assert played.deltas("custom_tool_call_input") == ["*** Be", "gin\n"]


def test_a_custom_call_with_raw_input_is_kept_whole() -> None:
    names, (flat,) = tools(ToolName("custom", "exec"))
    played = play([call(0, "{ let a = 1 }; run(a)", name=flat), STOP], names=names)
    assert played.output[0]["input"] == "{ let a = 1 }; run(a)"


def test_tool_search_has_object_arguments_and_does_not_stream() -> None:
    names, (flat,) = tools(ToolName("tool_search", "tool_search"))
    played = play([call(0, '{"query":', id="c", name=flat), call(0, '"x"}'), STOP], names=names)
    assert played.types == ["output_item.added", "output_item.done", "completed"]
    item = played.output[0]
    assert (item["type"], item["execution"]) == ("tool_search_call", "client")
    assert (item["arguments"], item["call_id"]) == ({"query": "x"}, "c")


def test_tool_search_without_an_object_is_the_query_itself_and_half_a_one_is_empty() -> None:
    names, (flat,) = tools(ToolName("tool_search", "tool_search"))
    assert play([call(0, "calc", name=flat), STOP], names=names).output[0]["arguments"] == {"query": "calc"}
    cut = play([call(0, '{"que', name=flat), Finish("length")], names=names).output[0]
    assert (cut["arguments"], cut["status"]) == ({}, "incomplete")


def test_an_allowed_tools_limit_holds() -> None:
    names, (allowed, other) = tools(ToolName("function", "f"), ToolName("function", "g"))
    names.allow_only([allowed])
    assert shape(play([call(0, "{}", name=allowed), STOP], names=names)) == [("function_call", "{}")]
    reducer = ResponseReducer(a_request(), names=names)
    with pytest.raises(UpstreamBroken, match="allowed_tools") as caught:
        reducer.feed(call(0, "{}", name=other))
    assert caught.value.code == "tool_not_allowed"
