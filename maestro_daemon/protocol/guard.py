"""The last hand on a stream: whatever comes in, what goes out is one well-formed Responses stream.

It writes the preamble (numbers 0 and 1), keeps `sequence_number` without a gap, gives each output item one
id, closes what an upstream left open, makes the identity of the terminal event the house's own, and lets
exactly one terminal event out. Payloads pass byte for byte wherever nothing of this touches them; each is
read once, since a payload that is not JSON would end a client's stream with a traceback.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from maestro_daemon.errors import MaestroError, UpstreamBroken
from maestro_daemon.events import TERMINAL, ResponseEvent
from maestro_daemon.protocol import json
from maestro_daemon.protocol.failure_code import failure_code
from maestro_daemon.protocol.item_log import ItemLog, OutputTooLarge
from maestro_daemon.protocol.response_object import response_object
from maestro_daemon.protocol.splice import terminal_status
from maestro_daemon.request import ResponseRequest

Emit = Callable[[str, bytes], None]
"""Takes an event's type and payload: where the guard's stream goes."""

_NUMBER_KEY: Final = b'"sequence_number"'


class Guard:
    """One client's stream. `emit` receives each event; `store` is echoed in the preamble.

    After the terminal event `ended` is True, `response` the final Response and `upstream_id` the id that the
    upstream knows it by (None where the house made it).
    """

    def __init__(self, request: ResponseRequest, emit: Emit, *, store: bool) -> None:
        self._request = request
        self._emit = emit
        self._store = store
        self._next = 0
        self._items = ItemLog()
        self._error_told = False
        self.ended = False
        self.response: dict[str, Any] = {}
        self.upstream_id: str | None = None

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
        if not self.ended:
            self._send("keepalive", {})

    def take(self, event: ResponseEvent) -> None:
        """Let one event of the committed upstream out, mended where needed. After the end: nothing.

        Raises `UpstreamBroken` for a payload that is no JSON object; `fail` is then the way out.
        """
        if self.ended:
            return
        payload = event.payload
        try:
            data = orjson.loads(payload)
        except orjson.JSONDecodeError:
            try:
                data = json.loads(payload)
            except json.JSONInvalid:
                raise UpstreamBroken("The upstream sent an event that is not JSON.") from None
            payload = json.dumps(data)
        if not isinstance(data, dict):
            raise UpstreamBroken("The upstream sent an event that is not a JSON object.")
        type = data.get("type")
        if type is None:
            type = event.type
            data = {"type": type, **data}
            payload = json.dumps(data)
        if type in TERMINAL:
            self._end(type, data)
            return
        if b"\n" in payload or b"\r" in payload:
            payload = json.dumps(data)
        index = data.get("output_index")
        if index is not None and self._track(type, index, data):
            payload = json.dumps(data)
        elif type == "error":
            self._error_told = True
        number = data.get("sequence_number")
        if number != self._next or number.__class__ is not int:
            payload = _renumbered(payload, data, number, self._next)
        self._next += 1
        self._emit(type, payload)

    def fail(self, error: MaestroError) -> None:
        """End the stream as failed: open items are closed, the output so far is kept."""
        if self.ended:
            return
        self._close_items()
        code = failure_code(error)
        if not self._error_told:
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

    def _track(self, type: str, index: Any, data: dict[str, Any]) -> bool:
        """Note an event of an item in the log; True if `data` was changed to keep the item's id."""
        if index.__class__ is not int:
            return False
        items = self._items
        if type == "response.output_item.added":
            item = data.get("item")
            if not isinstance(item, dict):
                return False
            id = items.added(index, item)
            return _set_id(item, "id", id)
        known = items.stable_id(index)
        if type == "response.output_item.done":
            item = data.get("item")
            if not isinstance(item, dict):
                return False
            changed = known is not None and _set_id(item, "id", known)
            items.done(index, item)
            return changed
        try:
            items.note(type, index, data)
        except OutputTooLarge as error:
            raise UpstreamBroken(f"The upstream did not stop: {error}.") from error
        if known is None or "item_id" not in data or data["item_id"] == known:
            return False
        data["item_id"] = known
        return True

    def _close_items(self, status: str = "incomplete") -> None:
        for type, fields in self._items.close_all(status):
            self._send(type, fields)

    def _end(self, type: str, data: dict[str, Any]) -> None:
        response = data.get("response")
        if not isinstance(response, dict):
            raise UpstreamBroken(f"The upstream ended its stream with {type} that holds no response.")
        status = terminal_status(type, data)
        self._close_items("completed" if status == "completed" else "incomplete")
        upstream_id = response.get("id")
        if isinstance(upstream_id, str) and upstream_id != self._request.response_id:
            self.upstream_id = upstream_id
        response["id"] = self._request.response_id
        response["created_at"] = self._request.created_at
        response["previous_response_id"] = self._request.previous_response_id
        response["status"] = status
        response.setdefault("object", "response")
        response.setdefault("model", self._request.asked_model)
        self._settle_output(response)
        if status == "failed" and not isinstance(response.get("error"), dict):
            response["error"] = {"code": "server_error", "message": "The upstream said no more than failed."}
        if status == "completed":
            response.setdefault("completed_at", int(time.time()))
        self._finish(f"response.{status}", response, data)

    def _settle_output(self, response: dict[str, Any]) -> None:
        """An output that lacks what was streamed is filled from the stream; ids become the stream's."""
        output = response.get("output")
        ids = self._items.ids()
        if not isinstance(output, list) or len(output) < len(ids):
            response["output"] = self._items.output()
            return
        for item, known in zip(output, ids, strict=False):
            if isinstance(item, dict):
                _set_id(item, "id", known)

    def _finish(self, type: str, response: dict[str, Any], data: Mapping[str, Any] | None = None) -> None:
        fields = {**(data or {}), "type": type, "sequence_number": self._next, "response": response}
        self._next += 1
        self.ended = True
        self.response = response
        self._emit(type, json.dumps(fields))


def _set_id(holder: dict[str, Any], field: str, id: str) -> bool:
    if holder.get(field) == id:
        return False
    holder[field] = id
    return True


def _renumbered(payload: bytes, data: dict[str, Any], old: Any, new: int) -> bytes:
    """`payload` with its top-level sequence_number set to `new`, all other bytes kept if that is safe."""
    if old.__class__ is int:
        at = payload.find(_NUMBER_KEY)
        value = b":%d" % old
        start = at + len(_NUMBER_KEY)
        if payload.startswith(value, start) and payload.find(_NUMBER_KEY, start) < 0:
            return b"%b:%d%b" % (payload[:start], new, payload[start + len(value) :])
    data["sequence_number"] = new
    return json.dumps(data)
