"""Which output answers which call: chat servers want each call answered once, right behind it."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from maestro_daemon.errors import RequestInvalid
from maestro_daemon.protocol.field_checks import invalid_type, quoted

CALL_OF_OUTPUT: Final[Mapping[str, str]] = {
    "function_call_output": "function_call",
    "custom_tool_call_output": "custom_tool_call",
    "tool_search_output": "tool_search_call",
    "local_shell_call_output": "local_shell_call",
    "shell_call_output": "shell_call",
    "apply_patch_call_output": "apply_patch_call",
}
"""The types of the outputs that chat can say, each with the type of the call that it answers."""

CALLS: Final = frozenset(CALL_OF_OUTPUT.values())


@dataclass(slots=True)
class CallPairs:
    """For each call, by its index in the input: its id, and the index of its output if it has one."""

    ids: dict[int, str] = field(default_factory=dict)
    outputs: dict[int, int] = field(default_factory=dict)


def pair_calls(
    items: Iterable[tuple[int, str, Mapping[str, Any]]], unsaid: Collection[str], dropped: list[str]
) -> CallPairs:
    """Pair the calls and outputs among `items`, which come with their indexes in the input and types.

    Ids are those of the items; the same id twice is paired in order. A call without any gets one made of
    its index, and an output without any answers the last open call of its type. `unsaid` are the ids of
    calls that are left out: their outputs, and further outputs of an answered call, are appended by name to
    `dropped`. Raises `RequestInvalid` for an output whose call is not there, unless it is a tool search's:
    what that found counts without its call.
    """
    pairs = CallPairs()
    open_by_id: dict[str, deque[int]] = {}
    open_by_type: dict[str, list[int]] = {}
    early: dict[str, deque[int]] = {}
    for index, kind, item in items:
        if kind in CALLS:
            call_id = pairs.ids[index] = _call_id(index, item)
            calls = open_by_id.setdefault(call_id, deque())
            if early.get(call_id):
                pairs.outputs[index] = early[call_id].popleft()
                continue
            calls.append(index)
            open_by_type.setdefault(kind, []).append(index)
            if kind == "local_shell_call" and isinstance(item.get("id"), str) and item["id"] != call_id:
                open_by_id.setdefault(item["id"], deque()).append(index)
        elif kind in CALL_OF_OUTPUT:
            answered = _answered_id(index, item)
            if answered is None:
                call = _last_open(open_by_type.get(CALL_OF_OUTPUT[kind], []), pairs)
                if call is None and kind != "tool_search_output":
                    raise _orphan(index, None)
            else:
                call = _first_open(open_by_id.get(answered), pairs)
                if call is None and kind != "tool_search_output":
                    early.setdefault(answered, deque()).append(index)
            if call is not None:
                pairs.outputs[call] = index
    _judge_left_over(early, open_by_id, unsaid, dropped)
    return pairs


def _call_id(index: int, item: Mapping[str, Any]) -> str:
    call_id = item.get("call_id")
    if call_id is not None and not isinstance(call_id, str):
        raise invalid_type(f"input[{index}].call_id", "a string", call_id)
    own_id = item.get("id")
    return call_id or (own_id if isinstance(own_id, str) else "") or f"call_{index}"


def _answered_id(index: int, item: Mapping[str, Any]) -> str | None:
    call_id = item.get("call_id")
    if call_id is None and item["type"] == "local_shell_call_output":
        call_id = item.get("id")
    if call_id is not None and not isinstance(call_id, str):
        raise invalid_type(f"input[{index}].call_id", "a string", call_id)
    return call_id or None


def _first_open(calls: deque[int] | None, pairs: CallPairs) -> int | None:
    while calls:
        call = calls.popleft()
        if call not in pairs.outputs:
            return call
    return None


def _last_open(calls: list[int], pairs: CallPairs) -> int | None:
    while calls:
        call = calls.pop()
        if call not in pairs.outputs:
            return call
    return None


def _judge_left_over(
    early: Mapping[str, Iterable[int]],
    known: Collection[str],
    unsaid: Collection[str],
    dropped: list[str],
) -> None:
    for call_id, outputs in early.items():
        for index in outputs:
            if call_id in unsaid:
                dropped.append(f"input[{index}]: output of a call that is left out")
            elif call_id in known:
                dropped.append(f"input[{index}]: second output of one call")
            else:
                raise _orphan(index, call_id)


def _orphan(index: int, call_id: str | None) -> RequestInvalid:
    which = "without a call_id" if call_id is None else f"with call_id {quoted(call_id)[1:-1]}"
    return RequestInvalid(
        f"No tool call found for function call output {which}.", param=f"input[{index}].call_id"
    )
