"""A Responses request as Copilot's `/responses` takes it. Bodies in, bodies out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from maestro_copilot.catalogue import CopilotModel
from maestro_copilot.ciphertext import is_the_houses, unbound
from maestro_copilot.quirks import (
    ALWAYS_INCLUDED,
    CONNECTION_BOUND_IDS,
    HOISTED_TOOLS,
    ID_BOUND_CIPHERTEXT,
    REASONS_UNSAID,
    REFUSED_FIELDS,
    REFUSED_ITEMS,
    among,
)
from maestro_daemon.plugin import RequestInvalid, ResponseRequest, exact

_EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_MOST_NAMED: Final = 20


@dataclass(slots=True)
class NativeBody:
    """The body to send, and what was left out of it, in words for the log."""

    body: dict[str, Any]
    dropped: list[str] = field(default_factory=list)


def native_body(
    request: ResponseRequest,
    model: CopilotModel | None,
    *,
    refused_tools: Iterable[str],
    refused_fields: Iterable[str] = (),
) -> NativeBody:
    """The body for `request`; `model` is what is known of its model.

    `refused_tools` and `refused_fields` are left out, the latter beside those of the table. Raises
    `RequestInvalid` if the client insists on a tool that is refused.
    """
    given = exact(request).body
    refused = among(REFUSED_FIELDS, request.model) | frozenset(refused_fields)
    made = NativeBody({key: value for key, value in given.items() if key not in refused})
    made.dropped += sorted(key for key in given if key in refused)
    body = made.body
    body["store"] = False
    body["stream"] = request.stream and (model is None or model.streams)
    if not body["stream"]:
        body.pop("stream_options", None)
    include = given.get("include")
    if include is None or (isinstance(include, list) and ALWAYS_INCLUDED.about not in include):
        body["include"] = [*(include or ()), ALWAYS_INCLUDED.about]
    hoisted: list[Any] = []
    if isinstance(given.get("input"), list):
        body["input"], hoisted = _items(given["input"], tuple(refused_tools), made.dropped)
    _set_tools(body, hoisted, tuple(refused_tools), made.dropped)
    _fit(body, model, made.dropped)
    if len(made.dropped) > _MOST_NAMED:
        made.dropped[_MOST_NAMED:] = [f"and {len(made.dropped) - _MOST_NAMED} more"]
    return made


_BOUND_IDS: Final = frozenset(quirk.about for quirk in CONNECTION_BOUND_IDS)
_CIPHERTEXTS: Final = frozenset(quirk.about for quirk in ID_BOUND_CIPHERTEXT)
_REFUSED_ITEMS: Final = frozenset(quirk.about for quirk in REFUSED_ITEMS)
_FOUND_TOOLS: Final = "tool_search_output"


def _items(items: Sequence[Any], refused: tuple[str, ...], dropped: list[str]) -> tuple[list[Any], list[Any]]:
    """The input's items, and the tools that stood among them."""
    kept: list[Any] = []
    tools: list[Any] = []
    for index, item in enumerate(items):
        if not isinstance(item, dict):
            kept.append(item)
            continue
        kind = item.get("type") or ("message" if "role" in item else None)
        if not isinstance(kind, str):
            kept.append(item)
        elif kind in _CIPHERTEXTS:
            told = _told(item)
            if told is None:
                dropped.append(f"input[{index}]: {kind}")
            else:
                kept.append(told)
        elif kind in _BOUND_IDS:
            bare = {key: value for key, value in item.items() if key != "id"} if "id" in item else item
            kept.append(_with_found_tools(bare, index, refused, dropped) if kind == _FOUND_TOOLS else bare)
        elif kind == HOISTED_TOOLS.about and isinstance(item.get("tools"), list):
            tools += item["tools"]
        elif kind in _REFUSED_ITEMS:
            dropped.append(f"input[{index}]: {kind}")
        else:
            kept.append(item)
    return kept, tools


def _with_found_tools(
    item: dict[str, Any], index: int, refused: tuple[str, ...], dropped: list[str]
) -> dict[str, Any]:
    """What a search for tools found, as Copilot takes tools."""
    found = item.get("tools")
    if not isinstance(found, list):
        return item
    return {**item, "tools": _kept_tools(found, f"input[{index}].tools", refused, dropped)}


def _told(item: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """An item with ciphertext as Copilot gave it; None if it says nothing to Copilot."""
    blob = item.get("encrypted_content")
    if not isinstance(blob, str) or not blob:
        return None
    if is_the_houses(blob):
        return item
    raw = unbound(blob)
    if raw is None:
        return item
    ciphertext, id = raw
    return {**item, "id": id, "encrypted_content": ciphertext}


def _set_tools(
    body: dict[str, Any], hoisted: list[Any], refused: tuple[str, ...], dropped: list[str]
) -> None:
    given = body.get("tools")
    declared = [*(given if isinstance(given, list) else ()), *hoisted]
    if not declared:
        return
    kept = _kept_tools(declared, "tools", refused, dropped)
    choice = body.get("tool_choice")
    allowed = choice.get("tools") if isinstance(choice, dict) else None
    if isinstance(choice, dict) and isinstance(allowed, list):  # of the type allowed_tools
        left = [each for each in allowed if not _is_refused(_type_of(each), refused)]
        if len(left) < len(allowed):
            if not left and choice.get("mode") == "required":
                raise _lacking(", ".join(map(_type_of, allowed)))
            body["tool_choice"] = {**choice, "tools": left} if left else "none"
    elif _is_refused(_type_of(choice), refused):
        raise _lacking(_type_of(choice))
    elif choice == "required" and not kept:
        raise _lacking(", ".join(map(_type_of, declared)))
    body["tools"] = kept
    if not kept:
        for key in ("tools", "tool_choice", "parallel_tool_calls"):
            body.pop(key, None)


def _kept_tools(
    declared: Sequence[Any], where: str, refused: tuple[str, ...], dropped: list[str]
) -> list[Any]:
    kept: list[Any] = []
    for index, tool in enumerate(declared):
        told = _tool(tool, refused)
        if told is None:
            dropped.append(f"{where}[{index}]: {_type_of(tool)}")
        else:
            kept.append(told)
    return kept


def _lacking(what: str) -> RequestInvalid:
    return RequestInvalid(
        f"'tool_choice' needs a tool that GitHub Copilot does not have: {what}.",
        param="tool_choice",
        code="unsupported_tool",
    )


def _tool(tool: Any, refused: tuple[str, ...]) -> Any | None:
    kind = _type_of(tool)
    if _is_refused(kind, refused):
        return None
    if kind == "namespace":
        inner = tool.get("tools")
        if not isinstance(inner, list) or not inner:
            return None
        description = tool.get("description")
        if not isinstance(description, str) or not description.strip():
            return {**tool, "description": tool.get("name")}
    return tool


def _is_refused(kind: str, refused: tuple[str, ...]) -> bool:
    """Whether `kind` is one of these types, or a dated version of one."""
    return any(kind == each or kind.startswith(f"{each}_20") for each in refused)


def _type_of(value: Any) -> str:
    kind = value.get("type") if isinstance(value, dict) else None
    return kind if isinstance(kind, str) else ""


def _fit(body: dict[str, Any], model: CopilotModel | None, dropped: list[str]) -> None:
    """Keep what is asked for within what the model is known to do."""
    if model is None:
        return
    most = model.model.max_output_tokens
    asked = body.get("max_output_tokens")
    if most is not None and isinstance(asked, int) and asked > most:
        body["max_output_tokens"] = most
    reasoning = body.get("reasoning")
    if not isinstance(reasoning, dict):
        return
    if model.reasons is False and not REASONS_UNSAID.holds_for(model.model.id):
        del body["reasoning"]
        dropped.append("reasoning")
        return
    effort = reasoning.get("effort")
    known = model.model.reasoning_efforts
    if isinstance(effort, str) and known and effort not in known:
        fitting = nearest_effort(effort, known)
        body["reasoning"] = {key: value for key, value in reasoning.items() if key != "effort"}
        if fitting is None:
            dropped.append("reasoning.effort")
        else:
            body["reasoning"]["effort"] = fitting


def nearest_effort(wanted: str, known: Sequence[str]) -> str | None:
    """The next lower effort of those `known`, else the lowest; None where none stands for `wanted`."""
    if wanted not in _EFFORTS or wanted == "none":
        return None
    ranked = [effort for effort in _EFFORTS if effort in known and effort != "none"]
    lower = [effort for effort in ranked if _EFFORTS.index(effort) < _EFFORTS.index(wanted)]
    return lower[-1] if lower else next(iter(ranked), None)
