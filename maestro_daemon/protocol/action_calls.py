"""What a function call's arguments say that a tool of OpenAI's own, run by the client, is to do.

The way back of `client_tools.call_arguments`. The members of the item's object stand in the arguments
themselves, or under the object's name where a model nests them. Slips are mended where the meaning is sure; a
member of a wrong type makes the whole unreadable.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from maestro_daemon.protocol.client_tools import ClientKind
from maestro_daemon.protocol.json import JSONInvalid, loads

_OPERATIONS: Final = ("create_file", "update_file", "delete_file")


def action_of(kind: ClientKind, arguments: str) -> dict[str, Any] | None:
    """The fields that the call's item has in place of arguments, None if they cannot be read.

    ``{"action": {…}}`` for the shells, ``{"operation": {…}}`` for apply_patch, for tool_search always
    ``{"arguments": {…}}``: clients drop a search whose arguments are no object.
    """
    said = _object(arguments)
    match kind:
        case "tool_search":
            return {"arguments": {"query": arguments} if said is None else said}
        case "local_shell":
            return _named("action", None if said is None else _local_shell(said.get("action", said)))
        case "shell":
            return _named("action", None if said is None else _shell(said.get("action", said)))
        case "apply_patch":
            return _named("operation", None if said is None else _operation(said.get("operation", said)))


def _object(text: str) -> dict[str, Any] | None:
    if not text:
        return {}
    try:
        value = loads(text.encode())
    except JSONInvalid:
        return None
    return value if isinstance(value, dict) else None


def _named(name: str, fields: dict[str, Any] | None) -> dict[str, Any] | None:
    return None if fields is None else {name: fields}


def _local_shell(said: Any) -> dict[str, Any] | None:
    if not isinstance(said, dict):
        return None
    command = said.get("command")
    if isinstance(command, str) and command:
        command = ["bash", "-lc", command]
    env = said.get("env") or {}
    if not _strings(command) or not isinstance(env, dict):
        return None
    if not all(isinstance(value, str) for value in env.values()):
        return None
    action = {"type": "exec", "command": command, "env": env}
    return _with(action, said, {"timeout_ms": int, "user": str, "working_directory": str})


def _shell(said: Any) -> dict[str, Any] | None:
    if not isinstance(said, dict):
        return None
    commands = said.get("commands")
    if isinstance(commands, str) and commands:
        commands = [commands]
    if not _strings(commands):
        return None
    return _with({"commands": commands}, said, {"timeout_ms": int, "max_output_length": int})


def _operation(said: Any) -> dict[str, Any] | None:
    if not isinstance(said, dict):
        return None
    kind, path, diff = said.get("type"), said.get("path"), said.get("diff")
    if kind not in _OPERATIONS or not isinstance(path, str) or not path:
        return None
    if kind == "delete_file":
        return {"type": kind, "path": path}
    return {"type": kind, "path": path, "diff": diff} if isinstance(diff, str) else None


def _strings(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, str) for each in value)


def _with(
    action: dict[str, Any], said: Mapping[str, Any], optional: Mapping[str, type]
) -> dict[str, Any] | None:
    for name, kind in optional.items():
        value = said.get(name)
        if value is None:
            continue
        if type(value) is not kind:
            return None
        action[name] = value
    return action
