"""Which of a request's items a chat conversation can say, and which are left out by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from maestro_daemon.protocol.call_pairs import CALL_OF_OUTPUT, CALLS
from maestro_daemon.protocol.compaction import TRIGGER, own_summary
from maestro_daemon.protocol.field_checks import invalid_type, invalid_value, missing

Placed = tuple[int, str, Mapping[str, Any]]
"""An item with its index in the input and its type."""

_SAID: Final = frozenset({"message", "reasoning", "compaction"}) | CALLS | CALL_OF_OUTPUT.keys()
_WORDLESS: Final = frozenset({"additional_tools", "configuration_update"})
_LONGEST_NAME: Final = 64


def kind_of_item(index: int, item: Mapping[str, Any]) -> str:
    """The item's type; what has none is a message if it has a role, a reference if it has only an id.

    Raises `RequestInvalid` for any other.
    """
    kind = item.get("type")
    if kind is None:
        if item.get("role") is not None:
            return "message"
        if isinstance(item.get("id"), str):
            return "item_reference"
        raise missing(f"input[{index}].type")
    if not isinstance(kind, str):
        raise invalid_type(f"input[{index}].type", "a string", kind)
    return kind


def sayable_items(items: Sequence[Mapping[str, Any]], dropped: list[str]) -> tuple[list[Placed], set[str]]:
    """The items that become messages, and the call ids of those that have no form.

    Of what stands before the newest summary of ours only system and developer messages count. What has no
    form is appended by name to `dropped`. Raises `RequestInvalid` for a compaction_trigger: the last item is
    taken for what it asks before this, and elsewhere it has no meaning.
    """
    kinds = [kind_of_item(index, item) for index, item in enumerate(items)]
    newest = _newest_summary(items, kinds)
    said: list[Placed] = []
    unsaid: set[str] = set()
    for index, (item, kind) in enumerate(zip(items, kinds, strict=True)):
        if index < newest:
            if kind == "message" and item.get("role") in ("system", "developer"):
                said.append((index, kind, item))
            else:
                unsaid.update(_call_ids(item))
        elif kind == TRIGGER:
            raise invalid_value(
                f"input[{index}]", f"a {TRIGGER} must be the last input item, behind what it is to compact."
            )
        elif kind in _WORDLESS:
            continue
        elif kind not in _SAID or (kind == "compaction" and index != newest):
            dropped.append(f"input[{index}]: {kind[:_LONGEST_NAME]}")
            unsaid.update(_call_ids(item))
        else:
            said.append((index, kind, item))
    return said, unsaid


def _newest_summary(items: Sequence[Mapping[str, Any]], kinds: Sequence[str]) -> int:
    for index in range(len(items) - 1, -1, -1):
        if kinds[index] == "compaction" and own_summary(items[index]):
            return index
    return -1


def _call_ids(item: Mapping[str, Any]) -> Iterable[str]:
    return (item[key] for key in ("call_id", "id") if isinstance(item.get(key), str))
