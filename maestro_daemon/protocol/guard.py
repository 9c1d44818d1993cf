"""The last hand on a stream: whatever comes in, what goes out is one well-formed Responses stream.

It writes the preamble (numbers 0 and 1), keeps `sequence_number` without a gap, gives each output item one
id, closes what an upstream left open, makes the identity of the terminal event the house's own, and lets
exactly one terminal event out. Payloads pass byte for byte wherever nothing of this touches them; each is
read once, since a payload that is not JSON would end a client's stream with a traceback.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import orjson

from maestro_daemon.errors import MaestroError, UpstreamBroken
from maestro_daemon.events import DELTAS, PREAMBLE, TERMINAL, DeltaBurst, ResponseEvent
from maestro_daemon.protocol import error_body, json
from maestro_daemon.protocol.announcing import WITHIN, announcement, part_announcement
from maestro_daemon.protocol.delta_run import DeltaRun
from maestro_daemon.protocol.event_bytes import holds_line_end, read, renumbered, rewritten
from maestro_daemon.protocol.failure_code import failure_code
from maestro_daemon.protocol.item_log import ItemLog, OutputTooLarge
from maestro_daemon.protocol.missing_text import ENDS, ITEM_DONE
from maestro_daemon.protocol.model_headers import hide_other_model
from maestro_daemon.protocol.open_item import BEARS_ITEM_ID
from maestro_daemon.protocol.response_object import final_response, response_object
from maestro_daemon.protocol.splice import terminal_status
from maestro_daemon.protocol.whole_item import whole_item
from maestro_daemon.request import ResponseRequest

Emit = Callable[[str, bytes], None]
"""Takes an event's type and payload: where the guard's stream goes."""

EmitBurst = Callable[[str, Sequence[bytes]], None]
"""Takes the type and the payloads of events that follow each other."""

_ADDED: Final = "response.output_item.added"


class Guard:
    """One client's stream. `emit` receives each event; `emit_burst`, where it is given, several of one type
    together. `store` is echoed in the preamble.

    After the terminal event `ended` is True, `response` the final Response and `upstream_id` the id that the
    upstream knows it by (None where the house made it).
    """

    def __init__(
        self, request: ResponseRequest, emit: Emit, *, store: bool, emit_burst: EmitBurst | None = None
    ) -> None:
        self._request = request
        self._emit = emit
        self._emit_burst = self._emit_each if emit_burst is None else emit_burst
        self._store = store
        self._next = 0
        self._items = ItemLog()
        # Places of items whose announcement came late or never: whether the house announced them.
        self._unannounced: dict[int, bool] = {}
        self._run: DeltaRun | None = None
        self._error: MaestroError | None = None  # what an `error` event of the upstream has told
        self.ended = False
        self.response: dict[str, Any] = {}
        self.upstream_id: str | None = None

    @property
    def sent(self) -> int:
        """How many events went out."""
        return self._next

    def preamble(self) -> None:
        """Send ``response.created`` and ``response.in_progress``."""
        response = json.dumps(response_object(self._request, store=self._store))
        for type in ("response.created", "response.in_progress"):
            payload = b'{"type":"%b","sequence_number":%d,"response":%b}' % (
                type.encode(),
                self._next,
                response,
            )
            self._next += 1
            self._emit(type, payload)

    def keepalive(self) -> None:
        """Send the one event that resets clients' idle timers and that all of them ignore."""
        if not self.ended and self._error is None:
            self._send("keepalive", {})

    def take(self, event: ResponseEvent) -> None:
        """Let one event of the committed upstream out, mended where needed. After the end: nothing.

        The payload's ``type`` counts above the event's name. What is preamble or comes behind an ``error``
        event is left out. Raises `UpstreamBroken` for a payload that is no JSON object, or when the answer
        outgrows every bound; `fail` is then the way out.
        """
        if self.ended:
            return
        if isinstance(event, DeltaBurst):
            self._take_burst(event)
            return
        payload = event.payload
        anew = False
        try:
            data = orjson.loads(payload)
        except orjson.JSONDecodeError:
            data = read(payload)
            anew = True
        if data.__class__ is not dict:
            raise UpstreamBroken("The upstream sent an event that is not a JSON object.")
        run = self._run
        if run is not None and event.type in DELTAS and not anew and run.takes(payload, data, self._next):
            self._next += 1
            self._emit(data["type"], payload)
            return
        type = data.get("type")
        if type.__class__ is not str or not type:
            type = event.type
            anew = True
        if type in TERMINAL:
            self._end(type, read(payload) if json.holds_long_integer(payload) else data)
            return
        if type in PREAMBLE or self._error is not None:
            return
        if type == "error":
            # No event may stand between it and response.failed.
            self._close_items()
            self._run = None
            self._error = error_body.stream_failure(data, provider="The upstream")
        item_id: str | None = None
        index = data.get("output_index")
        if index.__class__ is int:
            try:
                unknown = type in WITHIN and self._items.stable_id(index) is None
                if unknown and not self._announce(type, data, len(payload)):
                    return
                announced = self._unannounced.get(index)
                if announced is not None and (type == _ADDED if announced else type in DELTAS):
                    return
                item_id = self._track(type, index, data, payload)
            except OutputTooLarge as error:
                raise _endless(error) from error
        if "headers" in data or "response" in data:
            exact = read(payload)
            if hide_other_model(exact, self._request.asked_model):
                payload, anew = json.dumps(exact), True
        number = data.get("sequence_number")
        if anew or item_id is not None or holds_line_end(payload):
            payload = rewritten(payload, type, self._next, item_id)
        elif number != self._next or number.__class__ is not int:
            payload = renumbered(payload, type, number, self._next)
        self._next += 1
        self._emit(type, payload)

    def _take_burst(self, burst: DeltaBurst) -> None:
        """As `take` for each event, but what goes on with the text of the one before goes out together."""
        payloads = burst.payloads
        if self._passes(burst.type, payloads):
            return
        self.take(ResponseEvent(burst.type, payloads[0]))
        rest = payloads[1:]
        if rest and not self._passes(burst.type, rest):
            for payload in rest:
                self.take(ResponseEvent(burst.type, payload))

    def _passes(self, type: str, payloads: Sequence[bytes]) -> bool:
        run = self._run
        if run is None or not run.takes_all(payloads, self._next):
            return False
        self._next += len(payloads)
        self._emit_burst(type, payloads)
        return True

    def _emit_each(self, type: str, payloads: Sequence[bytes]) -> None:
        for payload in payloads:
            self._emit(type, payload)

    def fail(self, error: MaestroError) -> None:
        """End the stream as failed: open items are closed, the output so far is kept."""
        if self.ended:
            return
        self._close_items()
        code = failure_code(error)
        if self._error is None:
            said = {"type": error.type, "code": code, "message": error.message, "param": error.param}
            self._send("error", {"code": code, "message": error.message, "param": error.param, "error": said})
        response = response_object(
            self._request,
            store=self._store,
            status="failed",
            output=self._items.output(),
            error={"code": code, "message": error.message},
        )
        self._finish("response.failed", response)

    def _send(self, type: str, fields: Mapping[str, Any]) -> None:
        payload = json.dumps({"type": type, "sequence_number": self._next, **fields})
        self._next += 1
        self._emit(type, payload)

    def _announce(self, type: str, data: dict[str, Any], size: int) -> bool:
        """Announce the item of which `data`, an event of this `type`, is the first; False where it has to be
        left out, as all deltas of the item are then: its end says all."""
        item = announcement(type, data)
        index = data["output_index"]
        if item is None:
            if type == ITEM_DONE:
                return True
            self._items.grow(size)
            self._unannounced[index] = False
            return False
        self._unannounced[index] = True
        id = self._items.added(index, item, size)
        self._send(_ADDED, {"output_index": index, "item": {**item, "id": id}})
        return True

    def _track(self, type: str, index: int, data: dict[str, Any], payload: bytes) -> str | None:
        """Note an event of the item at `index` in the log; its stable id, if `data` does not say that one.

        Raises `OutputTooLarge`.
        """
        items = self._items
        item = data.get("item")
        size = len(payload)
        if type in ENDS:
            for missing, fields in items.missing(type, index, data):
                self._send(missing, fields)
        if type in (_ADDED, ITEM_DONE):
            if not isinstance(item, dict):
                return None
            if json.holds_long_integer(payload):
                item = read(payload)["item"]
            note = items.added if type == _ADDED else items.done
            id = note(index, item, size)
            return None if item.get("id") == id else id
        begins = items.note(type, index, data, size)
        known = items.stable_id(index)
        if begins:
            self._send(*part_announcement(type, data, known or ""))
        if known is None or data.get("item_id") == known:
            if type in DELTAS:
                numbered = data.get("sequence_number") == self._next and data.get("type") == type
                self._run = items.run(type, index, data, payload, self._next) if numbered else None
            return None
        return known if "item_id" in data or type in BEARS_ITEM_ID else None

    def _close_items(self, status: str = "incomplete", final: Sequence[Any] = ()) -> None:
        for type, fields in self._items.close_all(status, final):
            self._send(type, fields)

    def _tell_items(self, items: Sequence[tuple[int, dict[str, Any]]]) -> None:
        """Tell of items that the upstream had in its final Response alone."""
        for index, item in items:
            id = self._items.done(index, item, len(json.dumps(item)))
            for type, fields in whole_item(index, {**item, "id": id}):
                self._send(type, fields)

    def _end(self, type: str, data: dict[str, Any]) -> None:
        response = data.get("response")
        if not isinstance(response, dict):
            raise UpstreamBroken(f"The upstream ended its stream with {type} that holds no response.")
        hide_other_model(data, self._request.asked_model)
        status = terminal_status(type, data)
        if self._error is not None and status != "failed":
            status = "failed"
            response["error"] = {"code": failure_code(self._error), "message": self._error.message}
        output = response.get("output")
        items = output if isinstance(output, list) else []
        try:
            self._close_items("completed" if status == "completed" else "incomplete", items)
            if self._error is None:
                self._tell_items(self._items.untold(items))
        except OutputTooLarge as error:
            raise _endless(error) from error
        upstream_id = response.get("id")
        if isinstance(upstream_id, str) and upstream_id != self._request.response_id:
            self.upstream_id = upstream_id
        # Behind an error event the upstream may go on, but nothing of that was let out.
        response["output"] = self._items.settled(output) if self._error is None else self._items.output()
        response = final_response(response, self._request, status=status, store=self._store)
        self._finish(f"response.{status}", response, data)

    def _finish(self, type: str, response: dict[str, Any], data: Mapping[str, Any] | None = None) -> None:
        fields = {**(data or {}), "type": type, "sequence_number": self._next, "response": response}
        self._next += 1
        self.ended = True
        self.response = response
        self._emit(type, json.dumps(fields))


def _endless(error: OutputTooLarge) -> UpstreamBroken:
    return UpstreamBroken(f"The upstream did not stop: {error}.")
