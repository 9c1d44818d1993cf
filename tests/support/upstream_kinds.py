"""The same answer in the words of a native and of a translated upstream, for tests that hold for both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from tests.support import chat, native
from tests.support.fake_upstream import Answer, FakeUpstream, Reply, Stream


@dataclass(frozen=True)
class Call:
    """A function call: its arguments come in two pieces."""

    name: str
    arguments: str
    call_id: str = "call_1"

    @property
    def pieces(self) -> tuple[str, str]:
        middle = len(self.arguments) // 2
        return self.arguments[:middle], self.arguments[middle:]


class Native:
    """A Responses upstream, asked through the provider `native`."""

    model = "native/gpt-test"
    path = "/v1/responses"

    def text(self, *pieces: str) -> list[bytes]:
        """The frames of a message."""
        return native.text(*pieces)

    def calls(self, *calls: Call) -> list[bytes]:
        """The frames of an answer of calls."""
        events = [
            native.call_events(call.name, call.pieces, index, id=f"fc_{index}", call_id=call.call_id)
            for index, call in enumerate(calls)
        ]
        return native.frames(native.events(*events))

    def whole(self, *pieces: str) -> Answer:
        """A message to a request that is not streamed."""
        item = native.message("".join(pieces))
        return Reply(native.response("resp_upstream", "completed", [item]))

    def whole_calls(self, *calls: Call) -> Answer:
        """Calls to a request that is not streamed."""
        items = [
            native.call(call.name, call.arguments, id=f"fc_{index}", call_id=call.call_id)
            for index, call in enumerate(calls)
        ]
        return Reply(native.response("resp_upstream", "completed", items))

    def outputs(self, upstream: FakeUpstream) -> dict[str, Any]:
        """What the latest request told of calls' outputs, by call id."""
        items = upstream.requests[-1].body["input"]
        return {
            item["call_id"]: item["output"] for item in items if item.get("type") == "function_call_output"
        }


class Translated:
    """A chat-completions upstream, asked through the provider `home`; it is always asked for a stream."""

    model = "home/gpt-test"
    path = "/v1/chat/completions"

    def text(self, *pieces: str) -> list[bytes]:
        """The frames of a message."""
        return chat.text(*pieces)

    def calls(self, *calls: Call) -> list[bytes]:
        """The frames of an answer of calls."""
        return chat.calls(
            *(
                chat.call(call.name, call.pieces, index, call_id=call.call_id)
                for index, call in enumerate(calls)
            )
        )

    def whole(self, *pieces: str) -> Answer:
        """A message to a request that is not streamed."""
        return Stream(*self.text(*pieces))

    def whole_calls(self, *calls: Call) -> Answer:
        """Calls to a request that is not streamed."""
        return Stream(*self.calls(*calls))

    def outputs(self, upstream: FakeUpstream) -> dict[str, Any]:
        """What the latest request told of calls' outputs, by call id."""
        messages = upstream.requests[-1].body["messages"]
        return {each["tool_call_id"]: each["content"] for each in messages if each["role"] == "tool"}


Kind = Native | Translated

NATIVE = Native()
TRANSLATED = Translated()
both = pytest.mark.parametrize("kind", [NATIVE, TRANSLATED], ids=["native", "translated"])
"""Runs a test with `kind` of either sort."""
