"""What any chat server may expect of a chat-completions request, and OpenAI's own types as a judge of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from openai.types.chat.completion_create_params import CompletionCreateParamsStreaming
from pydantic import TypeAdapter

from maestro_daemon.protocol.chat_request import ChatCall, ChatDialect, chat_call
from maestro_daemon.request import ResponseRequest

LEGAL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
OPENAI = ChatDialect(
    provider="openai",
    one_system_message=False,
    developer_role=True,
    files=True,
    refusal_field=True,
    reasoning_field=None,
    object_arguments=False,
    custom_tools=True,
    allowed_tools=True,
    max_tokens_field="max_completion_tokens",
    efforts=None,
    thinking_switch=False,
    forwards_openai_fields=True,
)
LOCAL = ChatDialect(provider="home")
_PARAMS = TypeAdapter(CompletionCreateParamsStreaming)


def request(*items: Any, **fields: Any) -> ResponseRequest:
    """A request whose input are `items` (left out if there are none), with these fields beside it."""
    body = {"model": "m", **fields}
    if items:
        body["input"] = list(items)
    return ResponseRequest(body=body, model="m", asked_model="m")


def translate(*items: Any, dialect: ChatDialect = LOCAL, **fields: Any) -> ChatCall:
    """The chat call for a request, proven to be well formed."""
    call = chat_call(request(*items, **fields), dialect)
    assert_well_formed(call.body, dialect)
    return call


def messages(*items: Any, dialect: ChatDialect = LOCAL, **fields: Any) -> list[dict[str, Any]]:
    """The messages that `items` become."""
    return translate(*items, dialect=dialect, **fields).body["messages"]


def assert_well_formed(body: Mapping[str, Any], dialect: ChatDialect) -> None:
    """Every rule that chat servers and chat templates fail on."""
    json.dumps(body, allow_nan=False)
    _iterate(_PARAMS.validate_python(body))
    assert body["messages"]
    names = [tool[tool["type"]]["name"] for tool in body.get("tools", ())]
    assert len(names) == len(set(names))
    if "tools" in body:
        assert body["tools"]
    else:
        assert "tool_choice" not in body
        assert "parallel_tool_calls" not in body
    turn: Iterator[str] = iter(())
    for index, message in enumerate(body["messages"]):
        role = message["role"]
        if dialect.one_system_message and index:
            assert role not in ("system", "developer")
        assert isinstance(message["content"], str) or message["content"]
        if role == "tool":
            assert message["tool_call_id"] == next(turn), "a tool message does not answer the next call"
            assert isinstance(message["content"], str)
            continue
        assert next(turn, None) is None, "a call has no answer"
        calls = message.get("tool_calls", ())
        ids = [call["id"] for call in calls]
        assert len(ids) == len(set(ids))
        assert all(ids)
        names += [call[call["type"]]["name"] for call in calls]
        if dialect.object_arguments:
            for call in calls:
                assert call["type"] == "custom" or isinstance(json.loads(call["function"]["arguments"]), dict)
        turn = iter(ids)
    assert next(turn, None) is None, "a call has no answer"
    assert all(LEGAL_NAME.fullmatch(name) for name in names)


def _iterate(value: Any) -> None:
    """Walk through all of it: pydantic validates an Iterable only while it is read."""
    if isinstance(value, Mapping):
        for each in value.values():
            _iterate(each)
    elif isinstance(value, Iterator | list):
        for each in value:
            _iterate(each)
