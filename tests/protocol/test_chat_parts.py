"""Content → parts of messages. Named after the rows of the mapping."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import pytest

from tests.support.chat_items import IMAGE, USER, refused, text
from tests.support.chat_oracle import LOCAL, OPENAI, messages, translate


def test_string_content_stays_a_string() -> None:
    assert messages(USER, {"role": "assistant", "content": "plain"}, USER)[1]["content"] == "plain"


@pytest.mark.parametrize("role", ["user", "assistant", "developer"])
def test_a_single_text_part_is_a_string(role: str) -> None:
    assert "just text" in [each["content"] for each in messages(text(role, "just text"), USER)]


def test_several_text_parts_of_a_user_are_one_string_or_stay_parts() -> None:
    item = text("user", "one", "two")
    assert messages(item)[0]["content"] == "one\ntwo"
    assert messages(item, dialect=replace(LOCAL, flatten_text=False))[0]["content"] == [
        {"type": "text", "text": "one"},
        {"type": "text", "text": "two"},
    ]


def test_several_output_text_parts_are_joined() -> None:
    assert messages(USER, text("assistant", "Hel", "lo"), USER)[1]["content"] == "Hello"


def test_a_refusal_part_is_text_or_the_refusal_field() -> None:
    item = {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}
    assert messages(USER, item, USER)[1] == {"role": "assistant", "content": "No."}
    assert messages(USER, item, USER, dialect=OPENAI)[1] == {
        "role": "assistant",
        "content": "",
        "refusal": "No.",
    }


@pytest.mark.parametrize(
    ("detail", "said"), [("low", "low"), ("original", "high"), ("auto", "auto"), (None, None)]
)
def test_input_image_is_image_url_with_its_detail(detail: str | None, said: str | None) -> None:
    part = {"type": "input_image", "image_url": IMAGE, "detail": detail}
    content = messages({"role": "user", "content": [{"type": "input_text", "text": "see"}, part]})[0][
        "content"
    ]
    expected = {"url": IMAGE} if said is None else {"url": IMAGE, "detail": said}
    assert content == [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": expected}]


def test_input_image_as_the_object_of_chat_completions_is_read() -> None:
    part = {"type": "input_image", "image_url": {"url": IMAGE}}
    assert messages({"role": "user", "content": [part]})[0]["content"][0]["image_url"] == {"url": IMAGE}


def test_input_image_by_file_id_is_refused() -> None:
    error = refused({"role": "user", "content": [{"type": "input_image", "file_id": "file_1"}]})
    assert (error.status, error.param) == (400, "input[0].content[0].file_id")


def test_input_image_is_a_note_for_a_model_that_takes_none() -> None:
    item = {
        "role": "user",
        "content": [{"type": "input_text", "text": "see"}, {"type": "input_image", "image_url": IMAGE}],
    }
    translated = translate(item, dialect=replace(LOCAL, images=False))
    assert (
        translated.body["messages"][0]["content"] == "see\n[An image was here; this model takes no images.]"
    )
    assert translated.dropped == ("input[0].content[1]: input_image",)


def file(data: str | None = None, **fields: Any) -> dict[str, Any]:
    part = {"type": "input_file", **fields}
    if data is not None:
        part["file_data"] = data
    return {"role": "user", "content": [part]}


def data_url(content: bytes, media: str) -> str:
    return f"data:{media};base64,{base64.b64encode(content).decode()}"


def test_input_file_is_a_file_part_where_the_server_takes_files() -> None:
    pdf = data_url(b"%PDF", "application/pdf")
    assert messages(file(pdf, filename="a.pdf"), dialect=OPENAI)[0]["content"] == [
        {"type": "file", "file": {"filename": "a.pdf", "file_data": pdf}}
    ]
    assert messages(file(file_id="file_1"), dialect=OPENAI)[0]["content"] == [
        {"type": "file", "file": {"file_id": "file_1"}}
    ]


@pytest.mark.parametrize(
    "data",
    [
        data_url("Grüße".encode(), "text/plain"),
        data_url("Grüße".encode(), "text/markdown;charset=utf-8"),
        data_url("Grüße".encode(), "application/json"),
        base64.b64encode("Grüße".encode()).decode(),
        "data:text/plain,Gr%C3%BC%C3%9Fe",
    ],
)
def test_input_file_with_text_is_inlined_elsewhere(data: str) -> None:
    assert messages(file(data, filename="a.md"))[0]["content"] == '<file name="a.md">\nGrüße\n</file>'


@pytest.mark.parametrize(
    ("item", "param"),
    [
        (file(data_url(b"%PDF-1.7", "application/pdf")), "file_data"),
        (file(data_url(b"\x00\x01", "text/plain")), "file_data"),
        (file(data_url(b"\xff\xfe", "text/plain")), "file_data"),
        (file("not base64!"), "file_data"),
        (file(file_id="file_1"), "file_id"),
        (file(file_url="https://example.com/a.txt"), "file_url"),
        (file(), "file_data"),
    ],
)
def test_input_file_that_cannot_be_said_is_refused(item: dict[str, Any], param: str) -> None:
    assert refused(item).param == f"input[0].content[0].{param}"


def test_input_file_by_url_is_refused_everywhere() -> None:
    assert (
        refused(file(file_url="https://example.com/a.txt"), dialect=OPENAI).param
        == "input[0].content[0].file_url"
    )


def test_input_audio_has_the_same_shape() -> None:
    part = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}
    assert messages({"role": "user", "content": [part]})[0]["content"] == [part]


def test_a_part_of_an_unknown_type_is_dropped_by_name() -> None:
    item = {
        "role": "user",
        "content": [{"type": "input_video", "url": "x"}, {"type": "input_text", "text": "see"}],
    }
    translated = translate(item)
    assert translated.body["messages"] == [{"role": "user", "content": "see"}]
    assert translated.dropped == ("input[0].content[0]: input_video",)


def test_a_message_of_nothing_but_unknown_parts_is_left_out() -> None:
    translated = translate(USER, {"role": "user", "content": [{"type": "input_video"}]})
    assert translated.body["messages"] == [USER]
