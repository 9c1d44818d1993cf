"""What every reader of a request's input has to take apart: its items, the names of its tools and calls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from maestro_daemon.protocol.field_checks import invalid_type, missing
from maestro_daemon.protocol.json import dumps
from maestro_daemon.protocol.tool_names import ToolName


def input_items(given: Any) -> Sequence[Mapping[str, Any]]:
    """The items of a request's ``input``; a text is one message. Raises `RequestInvalid` for all else."""
    if given is None:
        return ()
    if isinstance(given, str):
        return ({"role": "user", "content": given},)
    if not isinstance(given, list):
        raise invalid_type("input", "a string or an array of input items", given)
    for index, item in enumerate(given):
        if not isinstance(item, dict):
            raise invalid_type(f"input[{index}]", "an object", item)
    return given


def declared_tools(tools: Any, namespace: str | None = None) -> Iterable[ToolName]:
    """The names of the function and custom tools in a list of tools, those of namespaces among them."""
    for tool in tools if isinstance(tools, list) else ():
        match tool:
            case {"type": "function" | "custom" as kind, "name": str(name)}:
                yield ToolName(kind, name, namespace)
            case {"type": "namespace", "name": str(name), "tools": inner} if namespace is None:
                yield from declared_tools(inner, name)


def called_tool(kind: Any, index: int, item: Mapping[str, Any]) -> ToolName:
    """The name of the tool that the call at ``input[index]`` calls. Raises `RequestInvalid` without one."""
    name, namespace = item.get("name"), item.get("namespace")
    if name is None or name == "":
        raise missing(f"input[{index}].name")
    if not isinstance(name, str):
        raise invalid_type(f"input[{index}].name", "a string", name)
    return ToolName(kind, name, namespace if isinstance(namespace, str) and namespace else None)


def as_text(value: Any) -> str:
    """A text as it is, nothing as "", and whatever else as JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else dumps(value).decode()
