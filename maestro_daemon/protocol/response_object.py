"""The Response object: one builder for every place where the house writes one.

All 31 fields that Open Responses requires are present, request fields are echoed, and what the request
left open has the value that OpenAI answers with.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from maestro_daemon.deltas import Usage
from maestro_daemon.request import ResponseRequest

Status = Literal["queued", "in_progress", "completed", "failed", "incomplete"]

_DEFAULTS: Mapping[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "parallel_tool_calls": True,
    "temperature": 1,
    "top_p": 1,
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "top_logprobs": 0,
    "truncation": "disabled",
    "tool_choice": "auto",
    "safety_identifier": None,
    "prompt_cache_key": None,
}

_REQUIRED = frozenset({"tools", "tool_choice", "parallel_tool_calls", "metadata", "text", "usage"})
"""Fields of which a poor upstream's final Response lacks one at least, if it lacks any."""

_FUNCTION: Mapping[str, Any] = {"description": None, "parameters": None, "strict": None}
_FUNCTION_FIELDS = frozenset(_FUNCTION)

# Not `moderation` and `prompt_cache_options`: in a Response these are results and what was applied, of
# another shape than in a request, and only the upstream knows them.
_ECHOED = frozenset({*_DEFAULTS, "prompt", "prompt_cache_retention", "user", "context_management"})


def response_object(
    request: ResponseRequest,
    *,
    store: bool,
    status: Status = "in_progress",
    output: Sequence[Mapping[str, Any]] = (),
    usage: Usage | None = None,
    completed_at: int | None = None,
    error: Mapping[str, Any] | None = None,
    incomplete_reason: str | None = None,
    fields: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Build the Response for `request` as it stands.

    `completed_at` is in unix seconds. `error` is ``{"code", "message"}``. `fields` are further facts of the
    answer (``service_tier``), which win over the echo. The model is the name that the client asked for.
    """
    body = request.body
    response: dict[str, Any] = {
        "id": request.response_id,
        "object": "response",
        "created_at": request.created_at,
        "status": status,
        "background": False,
        "completed_at": completed_at,
        "error": error,
        "incomplete_details": None if incomplete_reason is None else {"reason": incomplete_reason},
        "model": request.asked_model,
        "output": list(output),
        "previous_response_id": body.get("previous_response_id"),
        "reasoning": _reasoning(body.get("reasoning")),
        "service_tier": _service_tier(body.get("service_tier")),
        "store": store,
        "text": _text(body.get("text")),
        "tools": _tools(body.get("tools")),
        "metadata": body.get("metadata") or {},
        "usage": None if usage is None else usage_object(usage),
    }
    response.update(_DEFAULTS)
    for name in body.keys() & _ECHOED:
        if body[name] is not None:
            response[name] = body[name]
    if fields:
        response.update(fields)
    return response


def usage_object(usage: Usage) -> dict[str, Any]:
    """The Response's ``usage``, in tokens, with every detail that clients demand as an integer."""
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


def final_response(
    response: dict[str, Any], request: ResponseRequest, *, status: str, store: bool
) -> dict[str, Any]:
    """A native upstream's final Response under the identity that `request` has here, nothing lacking.

    `response`, which holds its output, may be changed in place. `status` is what it ends as.
    """
    response["id"] = request.response_id
    response["created_at"] = request.created_at
    response["previous_response_id"] = request.previous_response_id
    response.setdefault("object", "response")
    response.setdefault("model", request.asked_model)
    if status == "failed" and not isinstance(response.get("error"), dict):
        response["error"] = {"code": "server_error", "message": "The upstream said no more than failed."}
    if status == "completed" and response.get("completed_at") is None:
        response["completed_at"] = int(time.time())
    elif status != "completed" and response.get("status") != status:
        response["completed_at"] = None
    response["status"] = status
    if isinstance(usage := response.get("usage"), dict):
        response["usage"] = filled_usage(usage)
    if response.keys() >= _REQUIRED:
        return response
    own = response_object(request, store=store)
    return {**{name: own[name] for name in own if name not in response}, **response}


def filled_usage(usage: Mapping[str, Any]) -> dict[str, Any]:
    """An upstream's ``usage`` with the total and the details that it leaves away, without which Codex asks
    for the whole answer again. As it is where it does not even count what was read and written."""
    filled = dict(usage)
    read, written = usage.get("input_tokens"), usage.get("output_tokens")
    if type(read) is not int or type(written) is not int:
        return filled
    if type(usage.get("total_tokens")) is not int:
        filled["total_tokens"] = read + written
    for name, count in (
        ("input_tokens_details", "cached_tokens"),
        ("output_tokens_details", "reasoning_tokens"),
    ):
        details = usage.get(name)
        told = details if isinstance(details, dict) else {}
        if type(told.get(count)) is not int:
            filled[name] = {**told, count: 0}
    return filled


def _reasoning(sent: Any) -> dict[str, Any]:
    return {"effort": None, "summary": None, **(sent if isinstance(sent, dict) else {})}


def _service_tier(sent: Any) -> Any:
    return "default" if sent in (None, "auto") else sent


def _text(sent: Any) -> dict[str, Any]:
    text = dict(sent) if isinstance(sent, dict) else {}
    if not text.get("format"):
        text["format"] = {"type": "text"}
    return text


def _tools(sent: Any) -> list[Any]:
    if not isinstance(sent, list):
        return []
    return [
        {**_FUNCTION, **tool}
        if isinstance(tool, dict) and tool.get("type") == "function" and not tool.keys() >= _FUNCTION_FIELDS
        else tool
        for tool in sent
    ]
