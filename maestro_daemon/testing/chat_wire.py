"""The chat-completions dialect on the wire."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from maestro_daemon.testing import chat
from maestro_daemon.testing.scenarios import ODD_EVENT, ODD_FIELD, Answers
from maestro_daemon.testing.wire import Wire


class ChatWire(Wire):
    """An upstream that speaks chat completions, always asked for a stream."""

    reasoning_field: str = "reasoning_content"
    """Where a delta bears what the model thought."""

    def records(self, answer: Answers) -> Sequence[bytes]:
        """The chunks of the answer."""
        told = [chat.chunk({"role": "assistant", "content": ""}), *map(self._chunk, self._deltas(answer))]
        if answer.odd:
            told = [self._made_odd(each) for each in told]
            told.insert(2, chat.frame({"object": ODD_EVENT, ODD_FIELD: "unheard of", "choices": []}))
        finish = "tool_calls" if answer.calls else answer.finish
        return [*told, chat.chunk({}, finish), chat.usage(*answer.tokens), chat.DONE]

    def failure(self, message: str) -> bytes:
        """A chunk with an error."""
        return chat.frame({"error": {"message": message, "type": "server_error", "code": None}})

    def listing(self, ids: Sequence[str]) -> Any:
        """A list as OpenAI has it."""
        return {"object": "list", "data": [{"id": id, "object": "model", "owned_by": "up"} for id in ids]}

    def _deltas(self, answer: Answers) -> Iterator[chat.Delta]:
        if answer.thought:
            yield {self.reasoning_field: answer.thought}
        for piece in answer.pieces:
            yield {"content": piece}
        for index, each in enumerate(answer.calls):
            middle = len(each.arguments) // 2
            pieces = [each.arguments[:middle], each.arguments[middle:]]
            yield from chat.call(each.name, pieces, index, call_id=each.call_id)

    def _chunk(self, delta: chat.Delta) -> bytes:
        return chat.chunk(delta)

    def _made_odd(self, chunk: bytes) -> bytes:
        return chunk.replace(b'"delta": {', b'"delta": {"%b": {"deep": [1]}, ' % ODD_FIELD.encode()).replace(
            b'"choices"', b'"%b": 1, "choices"' % ODD_FIELD.encode()
        )
