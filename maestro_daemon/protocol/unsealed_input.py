"""A request for an upstream that takes it as it is: without what only this house can read.

Reasoning and summaries that translated upstreams made come back from clients sealed in ``encrypted_content``
(see `sealed_reasoning`). An upstream that seals its own refuses any other's, and knows none of the ids that
these items bear: so the reasoning is left out, and a summary becomes the message that it stands for.
"""

from __future__ import annotations

from typing import Any, Final

from maestro_daemon.protocol.compaction import as_message, own_summary
from maestro_daemon.protocol.exact_request import exact
from maestro_daemon.protocol.sealed_reasoning import is_sealed
from maestro_daemon.request import ResponseRequest

_SEALED_KINDS: Final = frozenset({"reasoning", "compaction"})


def unsealed(request: ResponseRequest) -> tuple[ResponseRequest, tuple[str, ...]]:
    """The request without seals of ours, and what was left out (``input[3]: reasoning``).

    A request that holds none is returned as it is.
    """
    if _SEALED_KINDS.isdisjoint(request.item_types()) or not any(map(_is_sealed, request.body["input"])):
        return request, ()
    request = exact(request)
    kept: list[Any] = []
    left_out: list[str] = []
    for index, item in enumerate(request.body["input"]):
        if not _is_sealed(item):
            kept.append(item)
        elif summary := own_summary(item):
            kept.append({"type": "message", **as_message(summary)})
        else:
            left_out.append(f"input[{index}]: {item['type']}")
    return request.aimed_at(request.model, input=kept), tuple(left_out)


def _is_sealed(item: Any) -> bool:
    if not isinstance(item, dict) or item.get("type") not in _SEALED_KINDS:
        return False
    blob = item.get("encrypted_content")
    return isinstance(blob, str) and is_sealed(blob)
