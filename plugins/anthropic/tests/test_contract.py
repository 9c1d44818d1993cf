"""The contract kit on the Anthropic provider."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import maestro_anthropic
from maestro_daemon.testing import ODD_EVENT, ODD_FIELD, Answers, ProviderContract, Refuses, Reply, Wire
from scripted_answers import record, signature_of

ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    529: "overloaded_error",
}


class MessagesWire(Wire):
    """The Messages API, always asked for a stream."""

    def records(self, answer: Answers) -> Sequence[bytes]:
        """The events of the answer."""
        told = [record(event) for event in self._events(answer)]
        if answer.odd:
            told = [
                each.replace(b'{"type"', b'{"%b": {"deep": [1]}, "type"' % ODD_FIELD.encode())
                for each in told
            ]
            told.insert(2, record({"type": ODD_EVENT, ODD_FIELD: 1}))
        return told

    def failure(self, message: str) -> bytes:
        """An error event."""
        return record({"type": "error", "error": {"type": "api_error", "message": message}})

    def refusal(self, refuses: Refuses) -> Reply:
        """An error in the API's own envelope, which has no codes."""
        kind = ERRORS.get(refuses.status, "api_error")
        headers = {} if refuses.retry_after is None else {"retry-after": str(refuses.retry_after)}
        error = {"type": kind, "message": refuses.message}
        return Reply({"type": "error", "error": error}, refuses.status, headers)

    def listing(self, ids: Sequence[str]) -> Any:
        """One page of models."""
        return {"data": [{"type": "model", "id": id} for id in ids], "has_more": False}

    def _events(self, answer: Answers) -> Iterator[dict[str, Any]]:
        read, written = answer.tokens
        usage = {"input_tokens": read, "output_tokens": 1}
        message = {"id": "msg_1", "type": "message", "role": "assistant", "content": [], "usage": usage}
        yield {"type": "message_start", "message": message}
        for index, (begun, deltas) in enumerate(self._blocks(answer)):
            yield {"type": "content_block_start", "index": index, "content_block": begun}
            for delta in deltas:
                yield {"type": "content_block_delta", "index": index, "delta": delta}
            yield {"type": "content_block_stop", "index": index}
        reason = "tool_use" if answer.calls else {"stop": "end_turn", "length": "max_tokens"}[answer.finish]
        yield {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": written}}
        yield {"type": "message_stop"}

    def _blocks(self, answer: Answers) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
        if answer.thought:
            yield (
                {"type": "thinking", "thinking": "", "signature": ""},
                [
                    {"type": "thinking_delta", "thinking": answer.thought},
                    {"type": "signature_delta", "signature": signature_of(answer.thought)},
                ],
            )
        if answer.pieces:
            yield (
                {"type": "text", "text": ""},
                [{"type": "text_delta", "text": each} for each in answer.pieces],
            )
        for call in answer.calls:
            middle = len(call.arguments) // 2
            pieces = (call.arguments[:middle], call.arguments[middle:])
            begun = {"type": "tool_use", "id": call.call_id, "name": call.name, "input": {}}
            yield begun, [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]


class TestAnthropic(ProviderContract):
    plugin = maestro_anthropic
    wire = MessagesWire()
