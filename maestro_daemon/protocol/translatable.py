"""What a request must be for the translation to chat completions to read it.

A native upstream judges its own requests; on the translated path the house is the judge. Types and ranges
of what the translation consumes are checked here once, so that it can trust them. Fields, item types, tool
types and part types that the house does not know pass: the translation drops them by name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from maestro_daemon.errors import RequestInvalid
from maestro_daemon.protocol.field_checks import (
    Check,
    boolean,
    check_fields,
    integer,
    invalid_type,
    invalid_value,
    mapping,
    missing,
    name,
    number,
    objects,
    one_of,
    quoted,
    require,
    short_string,
    string,
    strings,
)
from maestro_daemon.request import ResponseRequest

_FORMAT_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ROLES = ("user", "assistant", "system", "developer")


def check_translated(request: ResponseRequest) -> None:
    """Raise `RequestInvalid`, with `param` and `code`, unless the translation can read `request`."""
    body = request.body
    check_fields("", body, _FIELDS)
    given = body.get("input")
    if isinstance(given, list):
        for index, item in enumerate(given):
            _check_item(f"input[{index}]", item)
    if not given and not body.get("instructions") and given != "":
        raise missing("input")


def _metadata(param: str, value: Any) -> None:
    mapping(param, value)
    if len(value) > 16:
        raise RequestInvalid(
            f"Invalid '{param}': too many properties. Expected at most 16, but got {len(value)} instead.",
            param=param,
            code="object_above_max_properties",
        )
    for key, each in value.items():
        if len(key) > 64:
            raise invalid_value(param, f"the key {quoted(key)} is longer than 64 characters.")
        if each is not None:
            _metadata_value(f"{param}.{key}", each)


_metadata_value = short_string(512)


def _format(param: str, value: Any) -> None:
    mapping(param, value)
    require(param, value, "type")
    one_of(("text", "json_object", "json_schema"))(f"{param}.type", value["type"])
    if value["type"] != "json_schema":
        return
    require(param, value, "name", "schema")
    check_fields(param, value, {"name": string, "schema": mapping, "description": string, "strict": boolean})
    if _FORMAT_NAME.fullmatch(value["name"]) is None:
        raise invalid_value(f"{param}.name", "it must be 1 to 64 of a-z, A-Z, 0-9, '_' and '-'.")


def _text(param: str, value: Any) -> None:
    mapping(param, value)
    check_fields(param, value, {"format": _format, "verbosity": string})


def _reasoning(param: str, value: Any) -> None:
    mapping(param, value)
    check_fields(param, value, {"effort": string, "summary": string, "generate_summary": string})


def _tools(param: str, value: Any) -> None:
    objects(param, value)
    for index, tool in enumerate(value):
        _check_tool(f"{param}[{index}]", tool)


_TOOL_FIELDS: Mapping[str, Mapping[str, Check]] = {
    "function": {"name": name, "description": string, "parameters": mapping, "strict": boolean},
    "custom": {"name": name, "description": string, "format": mapping},
    "namespace": {"name": name, "description": string, "tools": _tools},
    "tool_search": {"execution": string, "description": string, "parameters": mapping},
}


def _check_tool(where: str, tool: Mapping[str, Any]) -> None:
    require(where, tool, "type")
    name(f"{where}.type", tool["type"])
    if tool["type"] in ("function", "custom", "namespace"):
        require(where, tool, "name")
    check_fields(where, tool, _TOOL_FIELDS.get(tool["type"], {}))
    if tool["type"] == "custom" and tool.get("format") is not None:
        check_fields(
            f"{where}.format", tool["format"], {"type": string, "syntax": string, "definition": string}
        )


def _tool_choice(param: str, value: Any) -> None:
    if isinstance(value, str):
        one_of(("none", "auto", "required"))(param, value)
        return
    if not isinstance(value, dict):
        raise invalid_type(param, "a string or an object", value)
    require(param, value, "type")
    name(f"{param}.type", value["type"])
    if value["type"] in ("function", "custom"):
        require(param, value, "name")
    if value["type"] == "allowed_tools":
        require(param, value, "tools")
    check_fields(param, value, {"name": name, "mode": one_of(("auto", "required")), "tools": objects})
    for index, tool in enumerate(value.get("tools") or ()):
        require(f"{param}.tools[{index}]", tool, "type")
        check_fields(f"{param}.tools[{index}]", tool, {"type": name, "name": name, "namespace": string})


def _not_served(remedy: str) -> Check:
    def check(param: str, value: Any) -> None:
        raise RequestInvalid(
            f"'{param}' cannot be honoured by this model's upstream: {remedy}",
            param=param,
            code="unsupported_parameter",
        )

    return check


_FIELDS: Mapping[str, Check] = {
    "instructions": string,
    "temperature": number(least=0, most=2),
    "top_p": number(least=0, most=1),
    "presence_penalty": number(least=-2, most=2),
    "frequency_penalty": number(least=-2, most=2),
    "top_logprobs": integer(least=0, most=20),
    "max_output_tokens": integer(least=16),
    "max_tool_calls": integer(least=1),
    "parallel_tool_calls": boolean,
    "include": strings,
    "metadata": _metadata,
    "text": _text,
    "reasoning": _reasoning,
    "tools": _tools,
    "tool_choice": _tool_choice,
    "truncation": one_of(("auto", "disabled")),
    "stream_options": mapping,
    "prompt_cache_key": string,
    "safety_identifier": string,
    "user": string,
    "service_tier": string,
    "prompt": _not_served("it keeps no stored prompts; send the prompt's text in 'instructions' or 'input'."),
}


def _content(param: str, value: Any) -> None:
    """A message's content or a tool's output: a string, or a list of parts."""
    if isinstance(value, str):
        return
    if not isinstance(value, list):
        raise invalid_type(param, "a string or an array of content parts", value)
    for index, part in enumerate(value):
        where = f"{param}[{index}]"
        mapping(where, part)
        require(where, part, "type")
        name(f"{where}.type", part["type"])
        required, checks = _PARTS.get(part["type"], _ANY)
        require(where, part, *required)
        check_fields(where, part, checks)


def _image_url(param: str, value: Any) -> None:
    """A URL; the object of chat completions is what some clients send instead."""
    if not isinstance(value, str):
        mapping(param, value)
        require(param, value, "url")
        string(f"{param}.url", value["url"])


_Shape = tuple[tuple[str, ...], Mapping[str, Check]]

_ANY: _Shape = ((), {})
_TEXT: _Shape = (("text",), {"text": string})
_FILE: _Shape = (
    (),
    {"file_data": string, "file_id": string, "file_url": string, "filename": string, "detail": string},
)
_PARTS: Mapping[str, _Shape] = {
    "input_text": _TEXT,
    "output_text": _TEXT,
    "text": _TEXT,
    "reasoning_text": _TEXT,
    "summary_text": _TEXT,
    "refusal": (("refusal",), {"refusal": string}),
    "input_image": ((), {"image_url": _image_url, "file_id": string, "detail": string}),
    "input_file": _FILE,
    "input_audio": (("input_audio",), {"input_audio": mapping}),
}


def _role(param: str, value: Any) -> None:
    one_of(_ROLES)(param, value)


def _one(fields: Mapping[str, Check]) -> Check:
    """A check for an object with these fields."""

    def check(param: str, value: Any) -> None:
        mapping(param, value)
        check_fields(param, value, fields)

    return check


_CALL_NAMES: Mapping[str, Check] = {"call_id": string, "name": name, "namespace": string}
_OUTPUT: _Shape = (("output",), {"call_id": string, "output": _content})
_MESSAGE: _Shape = (("role",), {"role": _role, "content": _content, "id": string, "phase": string})
_ITEMS: Mapping[str, _Shape] = {
    "message": _MESSAGE,
    "function_call": (("name",), {**_CALL_NAMES, "arguments": string}),
    "function_call_output": _OUTPUT,
    "custom_tool_call": (("name",), {**_CALL_NAMES, "input": string}),
    "custom_tool_call_output": _OUTPUT,
    "reasoning": ((), {"summary": _content, "content": _content, "encrypted_content": string}),
    "additional_tools": ((), {"tools": _tools}),
    "tool_search_call": ((), {"call_id": string, "execution": string}),
    "tool_search_output": ((), {"call_id": string, "tools": _tools}),
    "local_shell_call": ((), {"call_id": string, "action": _one({"command": strings, "env": mapping})}),
    "shell_call": ((), {"call_id": string, "action": _one({"commands": strings})}),
    "apply_patch_call": (
        (),
        {"call_id": string, "operation": _one({"type": string, "path": string, "diff": string})},
    ),
    "apply_patch_call_output": ((), {"call_id": string, "status": string}),
    "compaction": ((), {"encrypted_content": string}),
    "configuration_update": ((), {"reasoning": _reasoning, "text": _text}),
    "item_reference": ((), {"id": string}),
}


def _check_item(where: str, item: Mapping[str, Any]) -> None:
    kind = item.get("type")
    if kind is None:
        shape = _MESSAGE if item.get("role") is not None else _ITEMS["item_reference"]
    else:
        string(f"{where}.type", kind)
        shape = _ITEMS.get(kind, _ANY)
    required, checks = shape
    require(where, item, *required)
    check_fields(where, item, checks)
