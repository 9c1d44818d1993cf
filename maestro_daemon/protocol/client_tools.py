"""Tools that OpenAI defines and the client runs, as function tools.

``local_shell``, ``shell``, ``apply_patch`` and a client's ``tool_search`` need no schema in the request:
their models were trained on them. A chat upstream gets a function of the same name whose arguments are the
fields of the call's own object: ``action`` of the shells, ``operation`` of apply_patch, ``arguments`` of
tool_search.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from maestro_daemon.protocol.json import dumps

ClientKind = Literal["tool_search", "local_shell", "shell", "apply_patch"]

CALLS: Final[Mapping[str, ClientKind]] = {
    "tool_search_call": "tool_search",
    "local_shell_call": "local_shell",
    "shell_call": "shell",
    "apply_patch_call": "apply_patch",
}
"""The kind of tool behind each type of call item."""

_STRING: Final = {"type": "string"}
_STRINGS: Final = {"type": "array", "items": _STRING}
_MILLISECONDS: Final = {"type": "integer", "description": "Time limit in milliseconds."}

DESCRIPTIONS: Final[Mapping[ClientKind, str]] = {
    "tool_search": "Searches for further tools; what it finds can be called from then on.",
    "local_shell": "Runs one command on the user's machine and returns its output.",
    "shell": "Runs shell commands one after the other and returns their output.",
    "apply_patch": "Creates, updates or deletes one file.",
}

SCHEMAS: Final[Mapping[ClientKind, Mapping[str, Any]]] = {
    "tool_search": {
        "type": "object",
        "properties": {"query": {"type": "string", "description": "What the tool should be able to do."}},
        "required": ["query"],
    },
    "local_shell": {
        "type": "object",
        "properties": {
            "command": {**_STRINGS, "description": 'Program and arguments, e.g. ["bash", "-lc", "ls"].'},
            "env": {"type": "object", "additionalProperties": _STRING},
            "timeout_ms": _MILLISECONDS,
            "user": _STRING,
            "working_directory": _STRING,
        },
        "required": ["command"],
    },
    "shell": {
        "type": "object",
        "properties": {
            "commands": {**_STRINGS, "description": "Shell commands, run in this order."},
            "timeout_ms": _MILLISECONDS,
            "max_output_length": {"type": "integer", "description": "Most characters of output to return."},
        },
        "required": ["commands"],
    },
    "apply_patch": {
        "type": "object",
        "properties": {
            "type": {"type": "string", "enum": ["create_file", "update_file", "delete_file"]},
            "path": {"type": "string", "description": "The file, relative to the workspace."},
            "diff": {
                "type": "string",
                "description": "The change in V4A diff format; for create_file each line begins with '+'.",
            },
        },
        "required": ["type", "path"],
    },
}


def call_arguments(item: Mapping[str, Any]) -> str:
    """The function arguments (JSON text of an object) for a call item of one of `CALLS`."""
    said: Any
    match CALLS[item["type"]]:
        case "tool_search":
            said = item.get("arguments")
            if isinstance(said, str):
                return said
        case "local_shell":
            action = item.get("action")
            said = {k: v for k, v in action.items() if k != "type"} if isinstance(action, dict) else None
        case "shell":
            said = item.get("action")
        case _:
            said = item.get("operation")
    return dumps(said if isinstance(said, dict) else {}).decode()


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else dumps(value).decode()


def output_text(item: Mapping[str, Any]) -> str:
    """What the output item of a shell or apply_patch call tells the model, as text."""
    output = item.get("output")
    if item["type"] == "apply_patch_call_output":
        status = _text(item.get("status")) or "completed"
        return f"{status}\n{_text(output)}" if output else status
    return _text(output)
