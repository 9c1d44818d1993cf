"""What a request needs, and which models are known to lack it."""

from __future__ import annotations

import time
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_daemon.plugin import Model
from maestro_daemon.request import ResponseRequest
from maestro_daemon.routing.needs import Lack, Needs, unservable
from maestro_daemon.routing.target import Target

TARGET = Target(object(), "home", "m")  # type: ignore[arg-type]
PICTURE = {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "auto"}
FUNCTION = {"type": "function", "name": "f", "parameters": {"type": "object"}}


def needs(input: Any = "Hi", *, text: bool = True, **fields: Any) -> Needs:
    body = {"model": "coder", "input": input, **fields}
    return Needs(ResponseRequest(body, "coder", "coder", text=orjson.dumps(body) if text else None))


def call_output(output: Any, kind: str = "function_call_output") -> dict[str, Any]:
    return {"type": kind, "call_id": "c", "output": output}


# Images


@pytest.mark.parametrize("text", [True, False], ids=["as sent", "mended"])
@pytest.mark.parametrize(
    "items",
    [
        [{"role": "user", "content": [{"type": "input_text", "text": "See:"}, PICTURE]}],
        [{"type": "message", "role": "user", "content": [PICTURE]}, {"role": "user", "content": "And?"}],
        [call_output([PICTURE])],
        [call_output([{"type": "input_text", "text": "x"}, PICTURE], "custom_tool_call_output")],
        [call_output({"type": "computer_screenshot", "image_url": "data:x"}, "computer_call_output")],
        [call_output([{"type": "x", "content": [PICTURE]}])],
    ],
)
def test_an_image_anywhere_in_messages_or_outputs_of_tools_needs_vision(items: Any, text: bool) -> None:
    assert needs(items, text=text).images
    lack = needs(items, text=text).lack(TARGET, Model("m", vision=False))
    assert lack == Lack(TARGET, "cannot see images", "unsupported_value", "input")
    for vision in (True, None):
        assert needs(items, text=text).lack(TARGET, Model("m", vision=vision)) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"input": "an input_image"},
        {"input": [{"role": "user", "content": "input_image"}]},
        {"input": [{"role": "user", "content": [{"type": "input_text", "text": '"type":"input_image"'}]}]},
        {
            "input": [
                {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"type":"input_image"}'}
            ]
        },
        {
            "input": "Hi",
            "tools": [{**FUNCTION, "parameters": {"properties": {"type": {"const": "input_image"}}}}],
        },
        {"input": [{"type": "additional_tools", "tools": [{"type": "input_image"}]}]},
        {"input": [call_output("input_image")]},
        {"input": [{"type": ["input_image"], "role": "user", "content": "x"}]},
    ],
)
def test_what_only_speaks_of_images_needs_none(fields: Any) -> None:
    assert not needs(**fields).images


# Tools


@pytest.mark.parametrize(
    "tool",
    [
        FUNCTION,
        {"type": "custom", "name": "apply_patch"},
        {"type": "namespace", "name": "mcp__x", "tools": [FUNCTION]},
        {"type": "tool_search", "execution": "client"},
        {"type": "local_shell"},
        {"type": "apply_patch"},
    ],
)
def test_tools_that_the_client_runs_need_a_model_that_calls(tool: Any) -> None:
    lack = needs(tools=[{"type": "web_search"}, tool]).lack(TARGET, Model("m", tools=False))
    assert lack == Lack(TARGET, "cannot call tools", "unsupported_parameter", "tools")
    assert needs(tools=[tool]).lack(TARGET, Model("m")) is None
    assert needs(tools=[tool]).lack(TARGET, Model("m", tools=True)) is None
    hoisted = [
        {"type": "additional_tools", "role": "developer", "tools": [tool]},
        {"role": "user", "content": "Hi"},
    ]
    assert needs(hoisted).tools


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"tools": []},
        {"tools": None},
        {
            "tools": [
                {"type": "web_search"},
                {"type": "image_generation"},
                {"type": "mcp"},
                {"type": ["function"]},
            ]
        },
        {"tools": [FUNCTION], "tool_choice": "none"},
        {"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}]},
    ],
)
def test_what_no_model_has_to_call_needs_no_tools(fields: Any) -> None:
    assert not needs(**fields).tools


# Context


WORDS = "word " * 1000


@pytest.mark.parametrize(
    "fields",
    [
        {"input": WORDS},
        {"input": "Hi", "instructions": WORDS},
        {"input": [{"role": "user", "content": WORDS}]},
        {"input": [{"role": "assistant", "content": [{"type": "output_text", "text": WORDS}]}]},
        {"input": [call_output(WORDS)]},
        {"input": [call_output([{"type": "input_text", "text": WORDS}])]},
        {"input": [{"type": "custom_tool_call", "call_id": "c", "name": "f", "input": WORDS}]},
        {"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": WORDS}]},
    ],
)
def test_an_input_that_is_longer_for_certain_needs_a_longer_context(fields: Any) -> None:
    lack = needs(**fields).lack(TARGET, Model("m", context_window=999))
    assert lack is not None
    assert (lack.code, lack.param) == ("context_length_exceeded", "input")
    assert lack.why == "has a context of 999 tokens, and the input needs 1000 at least"
    assert needs(**fields).lack(TARGET, Model("m", context_window=1001)) is None
    assert needs(**fields).lack(TARGET, Model("m")) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"input": "x" * 100_000},
        {"input": " " * 100_000},
        {"input": "        indented\n" * 1000},
        {"input": "文" * 10_000},
        {"input": [{"role": "user", "content": [{**PICTURE, "image_url": "data:" + "A B " * 1000}]}]},
        {
            "input": [
                {"type": "reasoning", "summary": [], "content": [{"text": WORDS}], "encrypted_content": WORDS}
            ]
        },
        {"input": [{"type": "compaction", "encrypted_content": WORDS}]},
        {"input": [{"role": "user", "content": [{"type": "input_file", "file_data": WORDS}]}]},
        {"input": "Hi", "tools": [{**FUNCTION, "description": WORDS}]},
        {"input": "Hi", "metadata": {"x": WORDS}},
        {"input": WORDS, "truncation": "auto"},
        {"input": WORDS, "context_management": [{"type": "compaction"}]},
    ],
    ids=lambda fields: str(fields)[:60],
)
def test_what_may_be_short_in_tokens_is_never_given_up(fields: Any) -> None:
    assert needs(**fields).lack(TARGET, Model("m", context_window=100)) is None


@given(st.lists(st.sampled_from(["word", "I", "...", " ", "  ", "\n", "文字"])))
def test_no_more_tokens_are_counted_than_there_are_words(pieces: list[str]) -> None:
    text = "".join(pieces)
    assert 0 <= needs(text).tokens <= len(text.split()) + 1


def test_a_huge_input_is_counted_in_no_time() -> None:
    long = needs("word " * 2_000_000, text=False)
    began = time.process_time()
    assert long.tokens == 2_000_000
    assert time.process_time() - began < 1


# The 400


def lack(name: str, why: str, code: str = "unsupported_value", param: str = "input") -> Lack:
    return Lack(Target(object(), name, "m"), why, code, param)  # type: ignore[arg-type]


def test_the_400_says_why_for_each() -> None:
    error = unservable("coder", [lack("a", "cannot see images"), lack("b", "cannot call tools")])
    assert (error.status, error.code, error.param) == (400, "unsupported_value", "input")
    assert error.message == (
        "No target of 'coder' can serve this request: a/m cannot see images; b/m cannot call tools."
    )
    assert unservable("a/m", [lack("a", "cannot see images")]).message == "a/m cannot see images."


def test_what_a_client_can_mend_by_compaction_is_what_it_is_told() -> None:
    context = lack(
        "b", "has a context of 8 tokens, and the input needs 9 at least", "context_length_exceeded"
    )
    error = unservable("coder", [lack("a", "cannot see images"), context])
    assert (error.status, error.code, error.param) == (400, "context_length_exceeded", "input")
    assert error.type == "invalid_request_error"
