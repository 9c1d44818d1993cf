"""Input items as clients write them, and short words for the messages that they become."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from maestro_daemon.errors import RequestInvalid
from maestro_daemon.protocol.chat_request import ChatDialect, chat_call
from tests.support.chat_oracle import LOCAL, request

IMAGE = "data:image/png;base64,iVBORw0KGgo="
USER = {"role": "user", "content": "hi"}
ELSEWHERE = replace(LOCAL, one_system_message=False)


def text(role: str, *texts: str) -> dict[str, Any]:
    """A message with one part for each text."""
    kind = "output_text" if role == "assistant" else "input_text"
    content = [{"type": kind, "text": each} for each in texts]
    return {"type": "message", "id": "msg_1", "role": role, "content": content}


def call(call_id: str, name: str = "look", arguments: str = "{}", **fields: Any) -> dict[str, Any]:
    """A function call."""
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments, **fields}


def output(call_id: str, said: Any = "seen") -> dict[str, Any]:
    """The output of a function call: a string or parts."""
    return {"type": "function_call_output", "call_id": call_id, "output": said}


def shape(said: list[dict[str, Any]]) -> list[str]:
    """Each message in a word: ``assistant(a,b)`` with its calls' ids, ``tool:a`` with the id it answers."""
    words = []
    for message in said:
        word = str(message["role"])
        if "tool_calls" in message:
            word += f"({','.join(each['id'] for each in message['tool_calls'])})"
        if "tool_call_id" in message:
            word += f":{message['tool_call_id']}"
        words.append(word)
    return words


def refused(*items: Any, dialect: ChatDialect = LOCAL, **fields: Any) -> RequestInvalid:
    """The error with which a request of these items is refused."""
    with pytest.raises(RequestInvalid) as caught:
        chat_call(request(*items, **fields), dialect)
    return caught.value


def reasoning(**fields: Any) -> dict[str, Any]:
    """A reasoning item without a summary."""
    return {"type": "reasoning", "id": "rs_1", "summary": [], **fields}


THOUGHT = reasoning(content=[{"type": "reasoning_text", "text": "Hm."}], encrypted_content=None)
