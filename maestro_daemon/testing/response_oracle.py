"""The judge of one event, item or Response: the openai package's types, strictly, and what they lack."""

from __future__ import annotations

import json
import typing
from collections.abc import Collection
from typing import Any

from openai.types.responses import Response, ResponseStreamEvent
from openai.types.responses.tool import Tool
from pydantic import TypeAdapter, ValidationError

REQUIRED_FIELDS = frozenset(
    {
        "id",
        "object",
        "created_at",
        "completed_at",
        "status",
        "incomplete_details",
        "model",
        "previous_response_id",
        "instructions",
        "output",
        "error",
        "tools",
        "tool_choice",
        "truncation",
        "parallel_tool_calls",
        "text",
        "top_p",
        "presence_penalty",
        "frequency_penalty",
        "top_logprobs",
        "temperature",
        "reasoning",
        "usage",
        "max_output_tokens",
        "max_tool_calls",
        "store",
        "background",
        "service_tier",
        "metadata",
        "safety_identifier",
        "prompt_cache_key",
    }
)
"""The fields of a Response that Open Responses requires to be present."""

PREFIXES = {
    "message": "msg_",
    "reasoning": "rs_",
    "function_call": "fc_",
    "custom_tool_call": "ctc_",
    "tool_search_call": "tsc_",
}


def _event_classes() -> dict[str, Any]:
    union = typing.get_args(ResponseStreamEvent)[0]
    return {typing.get_args(each.model_fields["type"].annotation)[0]: each for each in typing.get_args(union)}


EVENT_CLASSES = _event_classes()
_TOOL: TypeAdapter[Any] = TypeAdapter(Tool)


def check_types(payload: dict[str, Any], *, unknown: Collection[str] = ()) -> None:
    """Judge one event by the openai package's class for it."""
    kind = payload["type"]
    if kind == "keepalive" or kind in unknown:
        return
    assert kind in EVENT_CLASSES, f"the openai package knows no event {kind}"
    if "response" in payload:
        payload = {**payload, "response": _with_known_tools(payload["response"])}
    if kind == "error":
        assert {"code", "message", "param"} <= payload.keys()
    try:
        EVENT_CLASSES[kind].model_validate_json(json.dumps(payload), strict=True)
    except ValidationError as error:
        raise AssertionError(str(error)) from None


def check_response(response: dict[str, Any]) -> None:
    """Judge a Response by itself: as a JSON answer, or inside a lifecycle event."""
    missing = REQUIRED_FIELDS - response.keys()
    assert not missing, f"the Response lacks {sorted(missing)}"
    try:
        Response.model_validate_json(json.dumps(_with_known_tools(response)), strict=True)
    except ValidationError as error:
        raise AssertionError(str(error)) from None
    status = response["status"]
    assert response["object"] == "response"
    assert type(response["created_at"]) is int
    assert (type(response["completed_at"]) is int) == (status == "completed"), "completed_at iff completed"
    assert (response["incomplete_details"] is not None) == (status == "incomplete"), "details iff incomplete"
    assert (response["error"] is not None) == (status == "failed"), "error iff failed"
    if status in ("completed", "incomplete"):
        _check_usage(response["usage"])
    ids = [item["id"] for item in response["output"]]
    assert len(ids) == len(set(ids)), "an item id occurs twice"
    call_ids = [
        item["call_id"]
        for item in response["output"]
        if item["type"].endswith("_call") and item.get("call_id")
    ]
    assert len(call_ids) == len(set(call_ids)), "a call_id occurs twice"
    for item in response["output"]:
        check_item(item)
        assert item["status"] != "in_progress"
        if status == "completed":
            assert item["status"] == "completed", "an unfinished item in a completed response"
    if status == "incomplete" and response["output"]:
        last = response["output"][-1]
        whole_at_once = last["type"] == "image_generation_call"
        assert last["status"] == "incomplete" or whole_at_once, "the cut item is the last one and incomplete"


def _check_usage(usage: dict[str, Any] | None) -> None:
    assert usage is not None, "a terminal Response has its usage"
    for name in ("input_tokens", "output_tokens", "total_tokens"):
        assert type(usage[name]) is int
        assert usage[name] >= 0
    assert type(usage["input_tokens_details"]["cached_tokens"]) is int
    assert type(usage["input_tokens_details"]["cache_write_tokens"]) is int
    assert type(usage["output_tokens_details"]["reasoning_tokens"]) is int
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"] > 0


def check_item(item: dict[str, Any]) -> None:
    kind = item["type"]
    assert isinstance(item["id"], str)
    assert item["status"] in ("in_progress", "completed", "incomplete")
    prefix = PREFIXES.get(kind)
    if prefix:
        assert item["id"].startswith(prefix), f"the id {item['id']} of a {kind}"
    assert 8 <= len(item["id"]) <= 64
    for name in ("phase", "encrypted_content", "content"):
        assert name not in item or item[name] is not None, f"{name} is left out, never null"
    if kind in ("function_call", "custom_tool_call"):
        assert 1 <= len(item["call_id"]) <= 64
        assert item["name"]
        assert item.get("namespace", "-"), "namespace is left out, never empty"
    if kind == "function_call" and item["status"] == "completed":
        assert item["arguments"], "no arguments are {}"
    if kind == "tool_search_call":
        assert isinstance(item["arguments"], dict)
    if kind == "reasoning":
        assert isinstance(item["summary"], list)


def _with_known_tools(response: dict[str, Any]) -> dict[str, Any]:
    """The Response less the tools that the openai package has no class for: they are the client's own."""
    known = []
    for tool in response.get("tools") or []:
        try:
            _TOOL.validate_json(json.dumps(tool), strict=True)
        except ValidationError:
            continue
        known.append(tool)
    return {**response, "tools": known}
