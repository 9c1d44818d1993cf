"""Tools and tool_choice → their chat form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from maestro_daemon.errors import RequestInvalid
from maestro_daemon.protocol.chat_dialect import ChatDialect
from maestro_daemon.protocol.client_tools import DESCRIPTIONS, SCHEMAS, ClientKind
from maestro_daemon.protocol.custom_tools import described_grammar, input_schema
from maestro_daemon.protocol.field_checks import invalid_type, invalid_value, missing, quoted
from maestro_daemon.protocol.tool_names import ToolName, ToolNames

_MODES: Final = ("none", "auto", "required")
_CLIENT_KINDS: Final[Mapping[str, ClientKind]] = {kind: kind for kind in SCHEMAS}
_CONTAINERS: Final = ("container_auto", "container_reference")
_LONGEST_NAME: Final = 64


class Toolbox:
    """One request's tools for one dialect, by flat name, in the order in which they were declared.

    `tools` are chat tools. What cannot be declared is appended by name to `dropped`.
    """

    def __init__(self, names: ToolNames, dialect: ChatDialect, dropped: list[str]) -> None:
        self.tools: dict[str, dict[str, Any]] = {}
        self._names = names
        self._dialect = dialect
        self._dropped = dropped

    def declare(self, tools: Any, where: str) -> None:
        """Add a list of Responses tools; one that is declared already stays as it is.

        `where` is the list's path in the request. Raises `RequestInvalid` for what is no list of tools.
        """
        self._declare(tools, where, None, "")

    def _declare(self, tools: Any, where: str, namespace: str | None, introduction: str) -> None:
        if tools is None:
            return
        if not isinstance(tools, list):
            raise invalid_type(where, "an array of objects", tools)
        if tools and self._dialect.tools is False:
            self._dropped.append(where)
            return
        for index, tool in enumerate(tools):
            if not isinstance(tool, dict):
                raise invalid_type(f"{where}[{index}]", "an object", tool)
            self._declare_one(tool, f"{where}[{index}]", namespace, introduction)

    def _declare_one(
        self, tool: Mapping[str, Any], where: str, namespace: str | None, introduction: str
    ) -> None:
        match tool.get("type"):
            case "function":
                name = ToolName("function", _name(tool, where), namespace)
                schema = _object_schema(tool.get("parameters"), f"{where}.parameters")
                strict = tool.get("strict") is True
                self._add(name, _joined(introduction, tool.get("description")), schema, strict=strict)
            case "custom":
                name = ToolName("custom", _name(tool, where), namespace)
                self._add_custom(name, _joined(introduction, tool.get("description")), tool.get("format"))
            case "namespace" if namespace is None:
                inner = _name(tool, where)
                self._declare(tool.get("tools"), f"{where}.tools", inner, _text(tool.get("description")))
            case str(kind) if kind in _CLIENT_KINDS and _is_clients(tool):
                self._add_client_tool(_CLIENT_KINDS[kind], tool, f"{where}.parameters")
            case None:
                raise missing(f"{where}.type")
            case str(kind):
                self._dropped.append(f"{where}: {kind[:_LONGEST_NAME]}")
            case kind:
                raise invalid_type(f"{where}.type", "a string", kind)

    def _add(self, name: ToolName, description: str, schema: Mapping[str, Any], *, strict: bool) -> None:
        flat = self._names.flat(name)
        if flat in self.tools:
            return
        function: dict[str, Any] = {"name": flat}
        if description:
            function["description"] = description
        function["parameters"] = schema
        function["strict"] = strict
        self.tools[flat] = {"type": "function", "function": function}

    def _add_custom(self, name: ToolName, description: str, form: Any) -> None:
        form = form if isinstance(form, dict) else None
        if not self._dialect.custom_tools:
            self._add(name, described_grammar(description, form), input_schema(), strict=False)
            return
        flat = self._names.flat(name)
        custom: dict[str, Any] = {"name": flat}
        if description:
            custom["description"] = description
        if form and form.get("type") == "grammar":
            grammar = {"syntax": form.get("syntax"), "definition": form.get("definition")}
            custom["format"] = {"type": "grammar", "grammar": grammar}
        elif form:
            custom["format"] = form
        self.tools.setdefault(flat, {"type": "custom", "custom": custom})

    def _add_client_tool(self, kind: ClientKind, tool: Mapping[str, Any], where: str) -> None:
        if kind == "tool_search" and tool.get("parameters") is not None:
            schema: Mapping[str, Any] = _object_schema(tool["parameters"], where)
        else:
            schema = SCHEMAS[kind]
        description = _text(tool.get("description")) or DESCRIPTIONS[kind]
        self._add(ToolName(kind, kind), description, schema, strict=False)

    def choose(self, choice: Any) -> Any:
        """The chat form of a request's ``tool_choice``, None to leave it out.

        ``allowed_tools`` narrows the toolbox where the dialect has no such form, and in any case what the
        names allow. Raises `RequestInvalid` for a choice that needs a tool which is not in the toolbox.
        """
        if choice is None:
            return None
        if isinstance(choice, str):
            if choice not in _MODES:
                raise invalid_value(
                    "tool_choice", f"{quoted(choice)}. Supported values are: {', '.join(_MODES)}."
                )
            return self._mode(choice)
        if not isinstance(choice, dict):
            raise invalid_type("tool_choice", "a string or an object", choice)
        if choice.get("type") == "allowed_tools":
            return self._allow(choice)
        flat = self._meant(choice, "tool_choice")
        if flat is None:
            raise _not_there("tool_choice", choice)
        return _reference(self.tools[flat])

    def _mode(self, mode: str) -> str | None:
        if self.tools:
            return mode
        if mode == "required":
            raise RequestInvalid(
                "'tool_choice' is 'required', but there is no tool that this model's upstream can call.",
                param="tool_choice",
                code="unsupported_value",
            )
        return None

    def _allow(self, choice: Mapping[str, Any]) -> Any:
        wanted, mode = choice.get("tools"), choice.get("mode")
        if not isinstance(wanted, list):
            raise invalid_type("tool_choice.tools", "an array of objects", wanted)
        if mode not in (None, "auto", "required"):
            raise invalid_value("tool_choice.mode", "Supported values are: auto, required.")
        members: dict[str | None, list[str]] = {}
        for name in self.tools:
            members.setdefault(self._names.restore(name).namespace, []).append(name)
        allowed: dict[str, dict[str, Any]] = {}
        for index, tool in enumerate(wanted):
            where = f"tool_choice.tools[{index}]"
            if not isinstance(tool, dict):
                raise invalid_type(where, "an object", tool)
            meant: Sequence[str | None]
            if tool.get("type") == "namespace":
                meant = members.pop(_name(tool, where), ())
            else:
                meant = (self._meant(tool, where),)
            for flat in meant:
                if flat is not None:
                    allowed[flat] = self.tools[flat]
                elif tool.get("type") in ("function", "custom"):
                    raise _not_there(where, tool)
                else:
                    self._dropped.append(f"{where}: {_text(tool.get('type'))[:_LONGEST_NAME]}")
        self._names.allow_only(allowed)
        if self._dialect.allowed_tools and allowed:
            tools = [_reference(tool) for tool in allowed.values()]
            return {"type": "allowed_tools", "allowed_tools": {"mode": mode or "auto", "tools": tools}}
        self.tools = {flat: tool for flat, tool in self.tools.items() if flat in allowed}
        return self._mode(mode or "auto")

    def _meant(self, choice: Mapping[str, Any], where: str) -> str | None:
        """The flat name of the tool in the toolbox that a choice names, None if there is none."""
        kind = choice.get("type")
        if kind in ("function", "custom"):
            namespace = _text(choice.get("namespace")) or None
            flat = self._names.find(ToolName(kind, _name(choice, where), namespace))
        elif isinstance(kind, str) and kind in _CLIENT_KINDS:
            flat = self._names.find(ToolName(_CLIENT_KINDS[kind], kind))
        elif kind is None:
            raise missing(f"{where}.type")
        else:
            return None
        return flat if flat in self.tools else None


def _is_clients(tool: Mapping[str, Any]) -> bool:
    """True unless OpenAI would run the tool itself."""
    if tool["type"] == "tool_search":
        return tool.get("execution") == "client"
    environment = tool.get("environment")
    return not (isinstance(environment, dict) and environment.get("type") in _CONTAINERS)


def _reference(tool: Mapping[str, Any]) -> dict[str, Any]:
    kind = tool["type"]
    return {"type": kind, kind: {"name": tool[kind]["name"]}}


def _not_there(param: str, choice: Mapping[str, Any]) -> RequestInvalid:
    what = _text(choice.get("type"))
    if name := _text(choice.get("name")):
        what = f"{what} {name}"
    return RequestInvalid(
        f"'{param}' names {quoted(what)}, which is not among the tools that this model's upstream can call.",
        param=param,
        code="unsupported_value",
    )


def _name(tool: Mapping[str, Any], where: str) -> str:
    name = tool.get("name")
    if name is None or name == "":
        raise missing(f"{where}.name")
    if not isinstance(name, str):
        raise invalid_type(f"{where}.name", "a string", name)
    return name


def _object_schema(parameters: Any, where: str) -> Mapping[str, Any]:
    """The schema with ``type`` and ``properties``, which servers demand of an object's schema."""
    if parameters is None:
        return {"type": "object", "properties": {}}
    if not isinstance(parameters, dict):
        raise invalid_type(where, "an object", parameters)
    if parameters.get("type") is None:
        return {**parameters, "type": "object", "properties": parameters.get("properties") or {}}
    if parameters["type"] == "object" and parameters.get("properties") is None:
        return {**parameters, "properties": {}}
    return parameters


def _joined(introduction: str, description: Any) -> str:
    return "\n\n".join(part for part in (introduction, _text(description)) if part.strip())


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
