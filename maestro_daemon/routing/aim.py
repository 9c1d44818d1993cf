"""One request, made ready for one target: its model there, ids that it knows, ciphertext of its own alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

from maestro_daemon.errors import RequestInvalid
from maestro_daemon.protocol.exact_request import exact
from maestro_daemon.protocol.sealing import Unsealed, holds_marks, unmarked_text, unsealed_items
from maestro_daemon.providers.account import account_hash
from maestro_daemon.request import CIPHERTEXT as FIELD
from maestro_daemon.request import ResponseRequest
from maestro_daemon.routing.memory import KeptItem, Memory
from maestro_daemon.routing.target import Target

_REFERENCES: Final = frozenset({"item_reference", None})
"""Types of input items that may say no more than the id of another."""

SEALED_REASONING: Final = "sealed_reasoning"
"""What an answer is degraded by that was made without the ciphertext of others."""


class Aimed(NamedTuple):
    """A request as one target is to get it.

    `dropped` are the ids of items that nothing could take the place of: references which nobody can resolve,
    and reasoning that the target would look up by its id although another provider made it. `degraded` says
    what the target does without, "" for nothing; `ciphertext` whether it gets any that it may refuse.
    """

    request: ResponseRequest
    dropped: list[str]
    degraded: str = ""
    ciphertext: bool = False


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


def aimed(request: ResponseRequest, target: Target, memory: Memory, *, ciphertext: bool = True) -> Aimed:
    """The request as `target` is to get it.

    With `ciphertext` False it gets none, not even its own: for a target that has just refused it.
    """
    previous = request.previous_response_id
    origin = None if previous is None else memory.origin(request.client, previous)
    history = request.history()
    looked_up = history.bare_reasoning or not _REFERENCES.isdisjoint(history.types)
    swaps = _swaps(request, target, memory) if looked_up else {}
    account = account_hash(target.provider, target.provider_name)
    opened = _opened(request, swaps, account, ciphertext=ciphertext)
    degraded = SEALED_REASONING if opened.foreign else ""
    holds = opened.kept > 0
    if origin is None and not swaps and not opened.foreign:
        text = request.text
        if opened.own and text is not None:
            text = unmarked_text(text, account, opened.own)
            if text is not None:
                request = replace(request, body={**request.body, "input": opened.items}, text=text)
        if text is not None or not opened.own:
            sent = request.aimed_at(target.model)
            if sent.text is None:
                # A body that is to be written anew must have every digit.
                sent = exact(request).aimed_at(target.model)
            return Aimed(sent, [], degraded, holds)
    request = exact(request)
    changes: dict[str, Any] = {}
    if origin is not None:
        changes["previous_response_id"] = origin.upstream_id
    if swaps or opened.own or opened.foreign:
        changes["input"] = _opened(request, swaps, account, ciphertext=ciphertext).items
    dropped = [request.body["input"][index]["id"] for index, told in swaps.items() if told is None]
    return Aimed(request.aimed_at(target.model, **changes), dropped, degraded, holds)


def _opened(
    request: ResponseRequest, swaps: Mapping[int, dict[str, Any] | None], account: str, *, ciphertext: bool
) -> Unsealed:
    """The input's items with `swaps` in their places, for `account`; none where the input is a text."""
    items = request.body.get("input")
    if not isinstance(items, list):
        return Unsealed([], 0, 0, 0)
    if not swaps and ciphertext and not holds_marks(request):
        return Unsealed(items, 0, 0, len(request.ciphertexts()))
    if swaps:
        items = [told for index, item in enumerate(items) if (told := swaps.get(index, item)) is not None]
    return unsealed_items(items, account, ciphertext=ciphertext)


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
            swaps[index] = None if found is None or _is_bare_reasoning(found, keeps) else found.item
        elif kind == "reasoning" and not item.get(FIELD) and (keeps or _is_empty_reasoning(item)):
            id = item.get("id")
            found = memory.item(request.client, id) if isinstance(id, str) else None
            if found is not None and not (keeps and found.provider == target.provider_name):
                swaps[index] = None if _is_bare_reasoning(found, keeps) else found.item
    return swaps


def _is_empty_reasoning(item: Mapping[str, Any]) -> bool:
    """Reasoning of which a client kept the id alone (it read summaries only): as good as a reference."""
    return not item.get("content") and not item.get("summary")


def _is_bare_reasoning(found: KeptItem, keeps: bool) -> bool:
    """Reasoning that a native target would look up by its id, as it holds no ciphertext."""
    return keeps and found.item.get("type") == "reasoning" and not found.item.get(FIELD)


def _reference(item: Mapping[str, Any]) -> str | None:
    """The id of an ``item_reference``; its type may be left away where nothing but the id is said."""
    if item.get("type") is None and "role" in item:
        return None
    id = item.get("id")
    return id if isinstance(id, str) else None


def _is_known_there(found: KeptItem | None, target: Target) -> bool:
    """A native upstream resolves its own references; it may also hold what was made before a restart."""
    return found is None or (found.native and found.provider == target.provider_name)
