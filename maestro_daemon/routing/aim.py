"""One request, made ready for one target: its model's name there, and ids that the target knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from maestro_daemon.errors import RequestInvalid
from maestro_daemon.protocol.exact_request import exact
from maestro_daemon.request import ResponseRequest
from maestro_daemon.routing.memory import KeptItem, Memory
from maestro_daemon.routing.target import Target

_SWAPPED: Final = frozenset({"item_reference", "reasoning", None})
"""Types of input items that some target may have to get in another form."""


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
    """The request as `target` is to get it, and the ids of what had to be dropped.

    That are item references which nobody can resolve, and reasoning that the target would look up by its id
    although another provider made it.
    """
    previous = request.previous_response_id
    origin = None if previous is None else memory.origin(request.client, previous)
    swaps = {} if _SWAPPED.isdisjoint(request.item_types()) else _swaps(request, target, memory)
    if origin is None and not swaps:
        sent = request.aimed_at(target.model)
        # A body that is to be written anew must have every digit.
        return (sent if sent.text is not None else exact(request).aimed_at(target.model)), []
    request = exact(request)
    changes: dict[str, Any] = {}
    if origin is not None:
        changes["previous_response_id"] = origin.upstream_id
    dropped: list[str] = []
    if swaps:
        kept = []
        for index, item in enumerate(request.body["input"]):
            told = swaps.get(index, item)
            if told is None:
                dropped.append(item["id"])
            else:
                kept.append(told)
        changes["input"] = kept
    return request.aimed_at(target.model, **changes), dropped


def _swaps(request: ResponseRequest, target: Target, memory: Memory) -> dict[int, dict[str, Any] | None]:
    """What takes the place of items, by their indexes; None where nothing can."""
    swaps: dict[int, dict[str, Any] | None] = {}
    keeps = target.keeps_responses
    for index, item in enumerate(request.body["input"]):
        if not isinstance(item, dict):
            continue
        kind = item.get("type")
        if kind == "item_reference" or kind is None:
            id = _reference(item)
            if id is None:
                continue
            found = memory.item(request.client, id)
            if keeps and _is_known_there(found, target):
                continue
            reasoned = found is not None and found.item.get("type") == "reasoning"
            swaps[index] = None if found is None or (keeps and reasoned) else found.item
        elif keeps and kind == "reasoning" and not item.get("encrypted_content"):
            id = item.get("id")
            found = memory.item(request.client, id) if isinstance(id, str) else None
            if found is not None and found.provider != target.provider_name:
                swaps[index] = None
    return swaps


def _reference(item: Mapping[str, Any]) -> str | None:
    """The id of an ``item_reference``; its type may be left away where nothing but the id is said."""
    if item.get("type") is None and "role" in item:
        return None
    id = item.get("id")
    return id if isinstance(id, str) else None


def _is_known_there(found: KeptItem | None, target: Target) -> bool:
    """A native upstream resolves its own references; it may also hold what was made before a restart."""
    return found is None or (found.native and found.provider == target.provider_name)
