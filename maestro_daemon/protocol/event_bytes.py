"""Payloads of native events, changed where something of the house has to stand in them and nowhere else."""

from __future__ import annotations

import re
from typing import Any, Final

from maestro_daemon.errors import UpstreamBroken
from maestro_daemon.protocol import json

_OF_ITEMS: Final = frozenset({"response.output_item.added", "response.output_item.done"})
_NUMBER_KEY: Final = b'"sequence_number"'
_NUMBER: Final = re.compile(rb"[ \t]*:[ \t]*(\d+)")


def holds_line_end(payload: bytes) -> bool:
    """Whether it would end a line of its frame."""
    return b"\n" in payload or b"\r" in payload


def read(payload: bytes) -> Any:
    """The parsed JSON, every digit of it kept. Raises `UpstreamBroken`."""
    try:
        return json.loads(payload)
    except json.JSONInvalid:
        raise UpstreamBroken("The upstream sent an event that is not JSON.") from None


def rewritten(payload: bytes, type: str, number: int, item_id: str | None = None) -> bytes:
    """`payload` written anew with this type, number and, unless None, item id.

    It is read again, as the quick reading of `Guard.take` changes integers that do not fit 64 bits.
    """
    data = read(payload)
    if "type" in data:
        data["type"] = type
    else:
        data = {"type": type, **data}
    data["sequence_number"] = number
    if item_id is not None:
        if type in _OF_ITEMS:
            data["item"]["id"] = item_id
        else:
            data["item_id"] = item_id
    return json.dumps(data)


def renumbered(payload: bytes, type: str, old: Any, new: int) -> bytes:
    """`payload` with its top-level sequence_number set to `new`, all other bytes kept if that is safe."""
    if old.__class__ is int:
        start = payload.find(_NUMBER_KEY) + len(_NUMBER_KEY)
        said = _NUMBER.match(payload, start)
        if said is not None and said[1] == b"%d" % old and payload.find(_NUMBER_KEY, start) < 0:
            return b"%b%d%b" % (payload[: said.start(1)], new, payload[said.end(1) :])
    return rewritten(payload, type, new)
