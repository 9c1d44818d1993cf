"""A request for an upstream that takes it as it is: without what this upstream cannot read.

Reasoning and summaries that translated upstreams made come back from clients sealed in ``encrypted_content``
(see `sealed_reasoning`), and what other accounts sealed stands under their mark (see `sealing`). An upstream
refuses what it did not seal itself, and knows none of the ids that these items bear: so such reasoning is
left out, a summary of ours becomes the message that it stands for, and of an item that says more than its
ciphertext the rest stays.
"""

from __future__ import annotations

from typing import Any, Final

from maestro_daemon.protocol.call_pairs import CALL_OF_OUTPUT, CALLS
from maestro_daemon.protocol.compaction import as_message, own_summary
from maestro_daemon.protocol.exact_request import exact
from maestro_daemon.protocol.sealed_reasoning import is_sealed
from maestro_daemon.protocol.sealing import holds_marks, marked_by
from maestro_daemon.request import CIPHERTEXT as FIELD
from maestro_daemon.request import PARTS, PARTS_IN_CLEAR, ResponseRequest

_SEALED_KINDS: Final = frozenset({"reasoning", "compaction"})
_SAY_MORE: Final = frozenset({"message"}) | CALLS | CALL_OF_OUTPUT.keys()
"""Types of items that are not left out with their ciphertext."""


def unsealed(request: ResponseRequest) -> tuple[ResponseRequest, tuple[str, ...]]:
    """The request without what only others can read, and what was left out (``input[3]: reasoning``).

    A request that holds none is returned as it is.
    """
    if not holds_marks(request) or not any(map(_holds_unreadable, request.body["input"])):
        return request, ()
    request = exact(request)
    kept: list[Any] = []
    left_out: list[str] = []
    for index, item in enumerate(request.body["input"]):
        if not _holds_unreadable(item):
            kept.append(item)
        elif summary := own_summary(item):
            kept.append({"type": "message", **as_message(summary)})
        else:
            rest = _rest(item)
            if rest is not None:
                kept.append(rest)
            left_out.append(f"input[{index}]: {str(item.get('type'))[:64]}")
    return request.aimed_at(request.model, input=kept), tuple(left_out)


def _holds_unreadable(item: Any) -> bool:
    if item.__class__ is not dict:
        return False
    if FIELD in item:
        blob = item[FIELD]
        if blob.__class__ is str and (
            marked_by(blob) is not None or (is_sealed(blob) and item.get("type") in _SEALED_KINDS)
        ):
            return True
    if item.get("type") not in PARTS_IN_CLEAR:
        for field in PARTS:
            parts = item.get(field)
            if parts.__class__ is list and any(map(_is_marked_part, parts)):
                return True
    return False


def _is_marked_part(part: Any) -> bool:
    if part.__class__ is not dict or FIELD not in part:
        return False
    blob = part[FIELD]
    return blob.__class__ is str and marked_by(blob) is not None


def _rest(item: dict[str, Any]) -> dict[str, Any] | None:
    """What stays of an item without what is unreadable, None if nothing of it says anything."""
    says_more = item.get("type") in _SAY_MORE
    if FIELD in item and not says_more:
        return None
    rest = {name: value for name, value in item.items() if name != FIELD}
    for field in PARTS:
        parts = item.get(field)
        if isinstance(parts, list):
            rest[field] = [part for part in parts if not _is_marked_part(part)]
            if parts and not rest[field]:
                if not says_more:
                    return None
                rest[field] = ""
    return rest
