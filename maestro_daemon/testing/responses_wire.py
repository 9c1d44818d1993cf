"""The Responses dialect on the wire, for providers whose upstream speaks it natively."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from maestro_daemon.testing import native
from maestro_daemon.testing.fake_upstream import Reply, Stream
from maestro_daemon.testing.scenarios import ODD_EVENT, ODD_FIELD, Answers, Fails
from maestro_daemon.testing.wire import Wire


class ResponsesWire(Wire):
    """An upstream that speaks Responses: its events pass as they are."""

    passes_unknown = True

    def records(self, answer: Answers) -> Sequence[bytes]:
        """The events of the answer."""
        short = answer.finish == "length"
        told = native.events(*self._items(answer), status="incomplete" if short else "completed")
        final = told[-1]["response"]
        final["usage"] = _usage(*answer.tokens)
        if short:
            final["incomplete_details"] = {"reason": "max_output_tokens"}
        if answer.odd:
            told = native.numbered(list(self._made_odd(told)))
        return native.frames(told)

    def whole(self, answer: Answers) -> Stream | Reply:
        """The final Response."""
        last = self.records(answer)[-1]
        return Reply(json.loads(last.partition(b"data: ")[2])["response"])

    def failure(self, message: str) -> bytes:
        """An ``error`` event."""
        said = {"type": "server_error", "code": None, "message": message, "param": None}
        return native.frame({"type": "error", "code": None, "message": message, "param": None, "error": said})

    def whole_failure(self, fails: Fails) -> Reply | None:
        """A failed Response."""
        output = [native.message("".join(fails.pieces), status="incomplete")]
        failed = native.response(status="failed", output=output)
        return Reply({**failed, "error": {"code": "server_error", "message": fails.message}})

    def listing(self, ids: Sequence[str]) -> Any:
        """A list as OpenAI has it."""
        return {"object": "list", "data": [{"id": id, "object": "model", "owned_by": "up"} for id in ids]}

    def _items(self, answer: Answers) -> Iterator[list[native.Event]]:
        place = 0
        if answer.thought:
            yield native.thought_events(answer.thought, place)
            place += 1
        if answer.pieces:
            told = native.message_events(answer.pieces, place)
            if answer.finish == "length":
                told[-1]["item"]["status"] = "incomplete"
            yield told
            place += 1
        for each in answer.calls:
            middle = len(each.arguments) // 2
            pieces = [each.arguments[:middle], each.arguments[middle:]]
            id = f"fc_upstream_{place}"
            yield native.call_events(each.name, pieces, place, id=id, call_id=each.call_id)
            place += 1

    def _made_odd(self, told: Sequence[native.Event]) -> Iterator[native.Event]:
        for event in told:
            plain = {name: value for name, value in event.items() if name != "sequence_number"}
            yield {**plain, ODD_FIELD: {"deep": [1]}}
            if event["type"] == "response.output_text.delta":
                yield {"type": ODD_EVENT, "output_index": 0, ODD_FIELD: "unheard of"}


def _usage(given: int, made: int) -> dict[str, Any]:
    return {
        "input_tokens": given,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": made,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": given + made,
    }
