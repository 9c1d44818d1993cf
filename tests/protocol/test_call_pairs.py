"""Calls and their outputs → turns. Named after the rows of the mapping."""

from __future__ import annotations

import json
from typing import Any

import pytest

from maestro_daemon.protocol.assistant_turn import NO_OUTPUT
from maestro_daemon.protocol.chat_request import ChatDialect, chat_call
from tests.support.chat_items import IMAGE, USER, call, output, refused, shape, text
from tests.support.chat_oracle import LOCAL, OPENAI, messages, request, translate


def test_consecutive_function_calls_are_one_assistant_message() -> None:
    said = messages(USER, call("a"), call("b"), output("a"), output("b"))
    assert shape(said) == ["user", "assistant(a,b)", "tool:a", "tool:b"]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_message_before_between_or_after_calls_is_the_content_of_their_message(place: int) -> None:
    items = [call("a"), call("b")]
    items.insert(place, text("assistant", "Looking."))
    said = messages(USER, *items, output("a"), output("b"))
    assert shape(said) == ["user", "assistant(a,b)", "tool:a", "tool:b"]
    assert said[1]["content"] == "Looking."


def test_calls_without_text_have_an_empty_string_for_content() -> None:
    assert messages(USER, call("a"), output("a"))[1]["content"] == ""


def test_a_call_after_an_output_is_another_turn() -> None:
    said = messages(USER, call("a"), output("a"), call("b"), output("b"), text("assistant", "Done."), USER)
    assert shape(said) == ["user", "assistant(a)", "tool:a", "assistant(b)", "tool:b", "assistant", "user"]


@pytest.mark.parametrize("between", [USER, text("developer", "careful"), text("assistant", "wait")])
@pytest.mark.parametrize("dialect", [LOCAL, OPENAI])
def test_a_message_between_a_call_and_its_output_does_not_split_the_pair(
    between: dict[str, Any], dialect: ChatDialect
) -> None:
    said = shape(messages(USER, call("a"), between, output("a"), dialect=dialect))
    at = said.index("assistant(a)")
    assert said[at + 1] == "tool:a"


def test_what_came_between_a_call_and_its_output_comes_after_the_pair() -> None:
    said = messages(call("a"), {"role": "user", "content": "hurry"}, output("a"), call("b"), output("b"))
    assert shape(said) == ["assistant(a)", "tool:a", "user", "assistant(b)", "tool:b"]


def test_outputs_follow_in_the_order_of_the_calls() -> None:
    said = messages(call("a"), call("b"), output("b", "B"), output("a", "A"))
    assert [each["content"] for each in said if each["role"] == "tool"] == ["A", "B"]


def test_an_output_that_stands_before_its_call_answers_it() -> None:
    said = messages(USER, output("a", "A"), call("a"), USER)
    assert shape(said) == ["user", "assistant(a)", "tool:a", "user"]
    assert said[2]["content"] == "A"


def test_interleaved_calls_and_outputs_keep_their_pairs() -> None:
    said = messages(call("a"), call("b"), output("b"), call("c"), output("a"), output("c"))
    assert shape(said) == ["assistant(a,b)", "tool:a", "tool:b", "assistant(c)", "tool:c"]


def test_one_id_in_several_turns_is_paired_in_order() -> None:
    said = messages(call("c0"), output("c0", "first"), call("c0"), output("c0", "second"))
    assert [each["content"] for each in said if each["role"] == "tool"] == ["first", "second"]


def test_one_id_twice_in_a_turn_is_told_apart() -> None:
    said = messages(call("c0"), call("c0"), output("c0", "first"), output("c0", "second"))
    assert shape(said) == ["assistant(c0,c0_2)", "tool:c0", "tool:c0_2"]
    assert [each["content"] for each in said if each["role"] == "tool"] == ["first", "second"]


def test_an_id_made_to_tell_calls_apart_is_not_one_that_another_call_has() -> None:
    calls = [call("c0"), call("c0_2"), call("c0"), call("c0"), call("c0_2")]
    outputs = [output(each["call_id"], str(index)) for index, each in enumerate(calls)]
    said = messages(*calls, *outputs)
    assert shape(said)[0] == "assistant(c0,c0_2,c0_3,c0_4,c0_2_2)"
    assert [each["content"] for each in said if each["role"] == "tool"] == ["0", "1", "2", "3", "4"]


def test_an_output_before_its_call_is_found() -> None:
    assert shape(messages(USER, output("a"), call("a"))) == ["user", "assistant(a)", "tool:a"]


def test_a_second_output_of_one_call_is_dropped_by_name() -> None:
    translated = translate(call("a"), output("a", "first"), output("a", "again"))
    assert translated.body["messages"][1]["content"] == "first"
    assert translated.dropped == ("input[2]: second output of one call",)


def test_arguments_are_the_string_as_it_is() -> None:
    said = messages(call("a", arguments='{ "b" : 1.0 }'), output("a"))
    assert said[0]["tool_calls"][0]["function"] == {"name": "look", "arguments": '{ "b" : 1.0 }'}


@pytest.mark.parametrize("dialect", [LOCAL, OPENAI])
@pytest.mark.parametrize("arguments", ["", "  ", None])
def test_empty_arguments_are_an_empty_object(dialect: ChatDialect, arguments: str | None) -> None:
    said = messages({**call("a"), "arguments": arguments}, output("a"), dialect=dialect)
    assert said[0]["tool_calls"][0]["function"]["arguments"] == "{}"


@pytest.mark.parametrize("arguments", ['{"cut', "[1]", '"text"', "1", "nonsense", "\ud83d"])
def test_arguments_that_are_no_object_are_put_into_one_where_templates_need_it(arguments: str) -> None:
    said = chat_call(request(call("a", arguments=arguments), output("a")), LOCAL).body["messages"]
    wrapped = json.loads(said[0]["tool_calls"][0]["function"]["arguments"])
    assert wrapped == {"arguments": arguments.replace("\ud83d", "\ufffd")}
    as_it_is = chat_call(request(call("a", arguments=arguments), output("a")), OPENAI).body["messages"]
    assert as_it_is[0]["tool_calls"][0]["function"]["arguments"] == arguments


def test_function_call_output_with_a_string_is_a_tool_message() -> None:
    assert messages(call("a"), output("a", "42"))[1] == {"role": "tool", "tool_call_id": "a", "content": "42"}


def test_function_call_output_parts_are_text_in_the_tool_message_and_images_follow_the_turn() -> None:
    parts = [
        {"type": "input_text", "text": "one"},
        {"type": "input_image", "image_url": IMAGE, "detail": "original"},
        {"type": "input_text", "text": "two"},
    ]
    said = messages(call("a"), call("b"), output("a", parts), output("b"), USER)
    assert shape(said) == ["assistant(a,b)", "tool:a", "tool:b", "user", "user"]
    assert said[1]["content"] == "one\ntwo"
    assert said[3]["content"] == [
        {"type": "text", "text": "From the output of look (call a):"},
        {"type": "image_url", "image_url": {"url": IMAGE, "detail": "high"}},
    ]


def test_function_call_output_of_an_image_alone_still_has_text() -> None:
    said = messages(call("a"), output("a", [{"type": "input_image", "image_url": IMAGE}]))
    assert said[1]["content"]
    assert shape(said) == ["assistant(a)", "tool:a", "user"]


def test_function_call_output_with_a_file_that_cannot_be_said_holds_a_note() -> None:
    part = {"type": "input_file", "file_url": "https://example.com/a.pdf"}
    translated = translate(call("a"), output("a", [{"type": "input_text", "text": "see"}, part]))
    assert translated.body["messages"][1]["content"].startswith("see\n[A part of the output cannot be shown.")
    assert translated.dropped == ("input[1].output[1]: input_file",)


@pytest.mark.parametrize(("said", "content"), [(None, ""), ([], ""), ({"ok": True}, '{"ok":true}'), (3, "3")])
def test_function_call_output_of_another_shape_is_said_as_text(said: Any, content: str) -> None:
    assert messages(call("a"), output("a", said))[1]["content"] == content


def test_an_output_without_its_call_is_refused() -> None:
    error = refused(USER, output("call_x"))
    assert error.message == "No tool call found for function call output with call_id call_x."
    assert (error.status, error.param) == (400, "input[1].call_id")


def test_a_call_without_its_output_gets_a_stub() -> None:
    said = messages(USER, call("a"), call("b"), output("b"), USER)
    assert said[2] == {"role": "tool", "tool_call_id": "a", "content": NO_OUTPUT}
    assert shape(said) == ["user", "assistant(a,b)", "tool:a", "tool:b", "user"]


def test_an_output_without_an_id_answers_the_last_open_call() -> None:
    said = messages(call("a"), {"type": "function_call_output", "call_id": None, "output": "seen"})
    assert said[1] == {"role": "tool", "tool_call_id": "a", "content": "seen"}
    assert refused({"type": "function_call_output", "output": "seen"}).param == "input[0].call_id"


def test_a_call_without_a_name_is_refused() -> None:
    assert refused({"type": "function_call", "call_id": "a", "arguments": "{}"}).param == "input[0].name"
    assert (
        refused({"type": "custom_tool_call", "call_id": "a", "name": "", "input": ""}).param
        == "input[0].name"
    )
