"""One request, made ready for one target: its model's name there, and ids that the target knows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from maestro_daemon.errors import RequestInvalid
from maestro_daemon.protocol.exact_request import exact
from maestro_daemon.request import ResponseRequest
from maestro_daemon.routing.memory import KeptItem, Memory
from maestro_daemon.routing.plan import Target


def pinned(request: ResponseRequest, plan: Sequence[Target], memory: Memory) -> tuple[Target, ...]:
    """The targets that may continue `request.previous_response_id`; the whole plan if it continues nothing.

    Raises `RequestInvalid` (``previous_response_not_found``) if no target holds that response.
    """
    previous = request.previous_response_id
    if previous is None:
        return tuple(plan)
    native = [target for target in plan if target.keeps_responses]
    origin = memory.origin(request.client, previous)
    if origin is not None and origin.native:
        for target in native:
            if target.provider_name == origin.provider:
                return (target,)
    elif origin is None and len({target.provider_name for target in native}) == 1:
        return (native[0],)
    raise RequestInvalid(
        f"Previous response with id '{previous[:80]}' not found. Only responses of upstreams that keep "
        "them can be continued by their id; send the whole conversation as input instead.",
        code="previous_response_not_found",
        param="previous_response_id",
    )


def aimed(request: ResponseRequest, target: Target, memory: Memory) -> tuple[ResponseRequest, list[str]]:
    """The request as `target` is to get it, and the ids of item references that had to be dropped."""
    items = request.body.get("input")
    previous = request.previous_response_id
    origin = None if previous is None else memory.origin(request.client, previous)
    referring = isinstance(items, list) and _holds_reference(items)
    if origin is None and not referring:
        sent = request.aimed_at(target.model)
        # A body that is to be written anew must have every digit.
        return (sent if sent.text is not None else exact(request).aimed_at(target.model)), []
    request = exact(request)
    changes: dict[str, Any] = {}
    dropped: list[str] = []
    if origin is not None:
        changes["previous_response_id"] = origin.upstream_id
    if referring:
        changes["input"], dropped = _resolved(request, request.body["input"], target, memory)
    return request.aimed_at(target.model, **changes), dropped


def _holds_reference(items: Sequence[Any]) -> bool:
    for item in items:
        if isinstance(item, dict):
            kind = item.get("type")
            if kind == "item_reference" or (kind is None and _reference(item) is not None):
                return True
    return False


def _reference(item: Any) -> str | None:
    """The id of an ``item_reference``; its type may be left away where nothing but the id is said."""
    if not isinstance(item, dict):
        return None
    kind = item.get("type")
    id = item.get("id")
    if kind == "item_reference" or (kind is None and "role" not in item):
        return id if isinstance(id, str) else None
    return None


def _resolved(
    request: ResponseRequest, items: Sequence[Any], target: Target, memory: Memory
) -> tuple[list[Any], list[str]]:
    kept: list[Any] = []
    dropped: list[str] = []
    keeps = target.keeps_responses
    for item in items:
        id = _reference(item)
        if id is None:
            kept.append(item)
            continue
        found = memory.item(request.client, id)
        if keeps and _is_known_there(found, target):
            kept.append(item)
        elif found is not None:
            kept.append(found.item)
        else:
            dropped.append(id)
    return kept, dropped


def _is_known_there(found: KeptItem | None, target: Target) -> bool:
    """A native upstream resolves its own references; it may also hold what was made before a restart."""
    return found is None or (found.native and found.provider == target.provider_name)
