"""What Copilot's `/responses` says, as clients are to have it: with ids that stay, and ciphertext bound."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from maestro_copilot.ciphertext import bound
from maestro_copilot.quirks import DONE_ONLY_FIELDS, FOREIGN, QUOTA_SNAPSHOTS
from maestro_copilot.refusals import house_code
from maestro_daemon.plugin import DeltaBurst, ResponseEvent, new_item_id

_ADDED: Final = "response.output_item.added"
_DONE: Final = "response.output_item.done"
_TERMINAL: Final = frozenset(
    {
        "response.completed",
        "response.failed",
        "response.incomplete",
        "response.done",
        "response.cancelled",
    }
)
_CIPHERTEXT: Final = "encrypted_content"
_ITEM_ID: Final = b'"item_id":"'
_INDEX: Final = b'"output_index":'
"""As bytes these cannot stand inside a text: quotes are escaped there."""
_BACKSLASH: Final = 0x5C
_KEPT: Final = tuple(quirk.about for quirk in DONE_ONLY_FIELDS)


class NativeAnswer:
    """One answer; `snapshots` are the quota snapshots that its terminal event held.

    An item gets a short id of its own where it begins, and the house's guard gives that to all later events
    of the same place.
    """

    def __init__(self) -> None:
        self.snapshots: Mapping[str, Any] = {}
        self._ids: dict[int, str] = {}
        self._id_bytes: dict[bytes, bytes] = {}  # by the first two bytes behind output_index
        self._kept: dict[int, dict[str, Any]] = {}

    def take(self, event: ResponseEvent) -> ResponseEvent | None:
        """The event as it is to go on; None for what is not for clients."""
        type = event.type
        if type.endswith(".delta"):
            return self._steady(event)
        if FOREIGN.about in type or not (type.startswith("response.") or type in ("error", "keepalive")):
            return None
        if type in (_ADDED, _DONE):
            return self._mended(event, self._item)
        if type in _TERMINAL:
            return self._mended(event, self._terminal)
        if type == "error":
            return self._mended(event, self._error)
        return event

    def _steady(self, event: ResponseEvent) -> ResponseEvent:
        """A delta with the id of its item, which the guard would give it too, but not as fast."""
        if isinstance(event, DeltaBurst):
            return DeltaBurst(event.type, [self._with_id(payload) for payload in event.payloads])
        return ResponseEvent(event.type, self._with_id(event.payload))

    def _with_id(self, payload: bytes) -> bytes:
        begin = payload.find(_ITEM_ID) + len(_ITEM_ID)
        end = payload.find(b'"', begin)
        place = payload.find(_INDEX, end) + len(_INDEX)
        if begin < len(_ITEM_ID) or place < len(_INDEX):
            return payload
        id = self._id_bytes.get(payload[place : place + 2])
        if id is None or payload[end - 1] == _BACKSLASH:
            return payload
        return payload[:begin] + id + payload[end:]

    def whole(self, body: bytes, response_id: str) -> bytes:
        """A Response in JSON, under the house's own id; what is none passes as it is."""
        try:
            response = json.loads(body)
        except (ValueError, RecursionError):
            return body
        if not isinstance(response, dict):
            return body
        if isinstance(response.get("output"), list):
            response["id"] = response_id
        self._response(response)
        self._forget_foreign(response)
        return json.dumps(response, separators=(",", ":")).encode()

    def _mended(self, event: ResponseEvent, mend: Any) -> ResponseEvent:
        try:
            data = json.loads(event.payload)
        except (ValueError, RecursionError):
            return event  # the guard says what it is
        if not isinstance(data, dict):
            return event
        mend(data)
        return ResponseEvent(event.type, json.dumps(data, separators=(",", ":")).encode())

    def _item(self, data: dict[str, Any]) -> None:
        item = data.get("item")
        index = data.get("output_index")
        if not isinstance(item, dict) or not isinstance(index, int):
            return
        if data.get("type", _DONE) == _ADDED:
            item.pop(_CIPHERTEXT, None)  # it may be unfinished
        else:
            _bind(item)
            self._kept[index] = {key: item[key] for key in _KEPT if item.get(key) is not None}
        item["id"] = self._id(index, item)

    def _terminal(self, data: dict[str, Any]) -> None:
        self._forget_foreign(data)
        response = data.get("response")
        if isinstance(response, dict):
            self._response(response)
            self._forget_foreign(response)

    def _response(self, response: dict[str, Any]) -> None:
        output = response.get("output")
        for index, item in enumerate(output if isinstance(output, list) else ()):
            if isinstance(item, dict):
                _bind(item)
                item.update(self._kept.get(index, {}))
                item["id"] = self._id(index, item)
        _translate(response.get("error"))

    def _error(self, data: dict[str, Any]) -> None:
        self._forget_foreign(data)
        _translate(data)
        _translate(data.get("error"))

    def _forget_foreign(self, holder: dict[str, Any]) -> None:
        for key in [key for key in holder if FOREIGN.about in key]:
            told = holder.pop(key)
            if key == QUOTA_SNAPSHOTS.about and isinstance(told, dict):
                self.snapshots = told

    def _id(self, index: int, item: Mapping[str, Any]) -> str:
        id = self._ids.get(index)
        if id is None:
            kind = item.get("type")
            id = self._ids[index] = new_item_id(kind if isinstance(kind, str) else "item")
            if 0 <= index < 10:
                self._id_bytes |= {b"%d%b" % (index, end): id.encode() for end in (b",", b"}")}
        return id


def _bind(item: dict[str, Any]) -> None:
    ciphertext, id = item.get(_CIPHERTEXT), item.get("id")
    if isinstance(ciphertext, str) and ciphertext and isinstance(id, str):
        item[_CIPHERTEXT] = bound(ciphertext, id)


def _translate(error: Any) -> None:
    code = error.get("code") if isinstance(error, dict) else None
    if isinstance(code, str) and (known := house_code(code)) is not None:
        error["code"] = known
