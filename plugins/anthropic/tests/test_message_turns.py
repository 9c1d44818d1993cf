"""Messages and their parts as the API is asked with them: whose turn, in which order, in which block."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from maestro_daemon.plugin import RequestInvalid
from message_requests import CALL, OUTPUT, PDF, PNG, TOOL, messages, told, user
from messages_api import model_entry

# Messages


def test_a_string_is_a_user_message() -> None:
    assert told(settings={"cache": "off"}).body == {
        "model": "claude-test",
        "max_tokens": 32_000,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
        "stream": True,
    }


def test_what_leads_is_the_system_prompt_and_what_comes_later_stays_in_its_place() -> None:
    body = told(
        {"role": "developer", "content": "Be brief."},
        {"role": "system", "content": [{"type": "input_text", "text": "Be kind."}]},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "developer", "content": "Be loud."},
        {"role": "user", "content": "Bye"},
        instructions="Be good.",
        settings={"cache": "off"},
    ).body
    assert [block["text"] for block in body["system"]] == ["Be good.", "Be brief.", "Be kind."]
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]
    assert [block["text"] for block in body["messages"][2]["content"]] == [
        "<system_message>\nBe loud.\n</system_message>",
        "Bye",
    ]


@pytest.mark.parametrize("said", ["", " \n"])
def test_blank_text_is_left_out(said: str) -> None:
    assert messages(user(), {"role": "assistant", "content": said}, {"role": "user", "content": "Hi"}) == [
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]}
    ]


@pytest.mark.parametrize(
    "items", [[{"role": "user", "content": " "}], [{"role": "assistant", "content": "I"}]]
)
def test_the_user_has_the_last_word(items: list[Any]) -> None:
    assert messages(*items)[-1] == {"role": "user", "content": [{"type": "text", "text": "[Go on.]"}]}


def test_instructions_alone_are_a_request() -> None:
    body = told(input=None, instructions="Greet.").body
    assert body["messages"][0]["role"] == "user"


def test_outputs_follow_their_calls_whatever_stood_between() -> None:
    found = messages(
        user({"type": "input_text", "text": "?"}),
        {**CALL, "call_id": "a"},
        {"role": "assistant", "content": "And"},
        {**CALL, "call_id": "b"},
        {"role": "user", "content": "Hurry"},
        {**OUTPUT, "call_id": "b", "output": "2"},
        {**OUTPUT, "call_id": "a", "output": "1"},
        tools=[TOOL],
    )
    assert [block["type"] for block in found[1]["content"]] == ["tool_use", "text", "tool_use"]
    assert [(block.get("tool_use_id"), block["type"]) for block in found[2]["content"]] == [
        ("a", "tool_result"),
        ("b", "tool_result"),
        (None, "text"),
    ]


def test_what_the_assistant_does_after_an_output_is_another_turn() -> None:
    found = messages(CALL, OUTPUT, {**CALL, "call_id": "b"}, {**OUTPUT, "call_id": "b"}, tools=[TOOL])
    assert [message["role"] for message in found] == ["assistant", "user", "assistant", "user"]


def test_a_call_that_was_never_answered_has_an_error_for_output() -> None:
    result = messages(CALL, {"role": "user", "content": "Stop"}, tools=[TOOL])[1]["content"][0]
    assert result["is_error"] is True
    assert "not run" in result["content"]


def test_an_output_without_its_call_is_refused() -> None:
    with pytest.raises(RequestInvalid, match="No tool call found"):
        told(OUTPUT)


def test_ids_of_calls_are_legal_and_unique() -> None:
    odd = "call:1/é"
    found = messages(
        {**CALL, "call_id": odd},
        {**OUTPUT, "call_id": odd},
        {**CALL, "call_id": "call_1__"},
        {**OUTPUT, "call_id": "call_1__"},
        CALL,
        OUTPUT,
        CALL,
        OUTPUT,
        tools=[TOOL],
    )
    assert len(found) == 8


def test_arguments_that_are_no_object_stand_in_one() -> None:
    items = [
        {**CALL, "arguments": "[1]"},
        OUTPUT,
        {**CALL, "call_id": "b", "arguments": ""},
        {**OUTPUT, "call_id": "b"},
    ]
    found = messages(*items, tools=[TOOL])
    assert found[0]["content"][0]["input"] == {"arguments": "[1]"}
    assert found[2]["content"][0]["input"] == {}


def test_calls_of_a_conversation_without_tools_declare_them() -> None:
    body = told(CALL, OUTPUT).body
    assert [tool["name"] for tool in body["tools"]] == ["weather"]
    assert body["tool_choice"] == {"type": "none"}


# Parts


def test_images_go_as_they_are_or_by_address() -> None:
    found = messages(
        user(
            {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"},
            {"type": "input_image", "image_url": "https://example.com/a.png", "detail": "high"},
            {"type": "input_image", "image_url": f"data:image/x-unknown;base64,{PNG}"},
        )
    )[0]["content"]
    inline = {"type": "base64", "media_type": "image/png", "data": PNG}
    assert [block["source"] for block in found] == [
        inline,
        {"type": "url", "url": "https://example.com/a.png"},
        inline,
    ]


def test_documents_go_as_pdf_as_text_or_by_address() -> None:
    text = base64.b64encode("Zürich".encode()).decode()
    found = messages(
        user(
            {"type": "input_file", "filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"},
            {"type": "input_file", "file_data": PDF},
            {"type": "input_file", "filename": "a.txt", "file_data": text},
            {"type": "input_file", "file_url": "https://example.com/a.pdf"},
        )
    )[0]["content"]
    assert found[0]["title"] == "a.pdf"
    assert [block["source"]["type"] for block in found] == ["base64", "base64", "text", "url"]
    assert found[2]["source"]["data"] == "Zürich"


@pytest.mark.parametrize(
    "part",
    [
        {"type": "input_image", "file_id": "file_1"},
        {"type": "input_file", "file_id": "file_1"},
        {"type": "input_image", "image_url": "data:image/tiff;base64,SUkqAA=="},
        {"type": "input_image", "image_url": "ftp://example.com/a.png"},
        {"type": "input_file", "file_data": base64.b64encode(b"PK\x03\x04\x00\xff").decode()},
        {"type": "input_file", "file_data": "no base64!"},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
    ],
)
def test_what_no_block_can_say_is_refused_by_its_place(part: dict[str, Any]) -> None:
    with pytest.raises(RequestInvalid) as refused:
        told(user(part))
    assert (refused.value.param or "").startswith("input[0].content[0]")


def test_in_a_tools_output_a_note_stands_for_it() -> None:
    output = [{"type": "input_text", "text": "see"}, {"type": "input_image", "file_id": "file_1"}]
    call = told(CALL, {**OUTPUT, "output": output}, tools=[TOOL])
    result = call.body["messages"][1]["content"][0]["content"]
    assert result[0]["text"] == "see"
    assert "cannot be shown" in result[1]["text"]
    assert call.dropped == ["input[1].output[1]: input_image"]


def test_images_of_a_tools_output_stay_in_it() -> None:
    output = [{"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"}]
    result = messages(CALL, {**OUTPUT, "output": output}, tools=[TOOL])[1]["content"][0]
    assert result["content"][0]["source"]["data"] == PNG


def test_a_model_that_sees_no_images_is_told_so() -> None:
    entry = model_entry("claude-test", image_input={"supported": False})
    call = told(user({"type": "input_image", "image_url": "https://example.com/a.png"}), entry=entry)
    assert "takes no images" in call.body["messages"][0]["content"][0]["text"]
    assert call.dropped == ["input[0].content[0]: input_image"]
