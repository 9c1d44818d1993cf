"""A Responses request in plain terms, for a dialect that knows turns, functions and little else.

Whoever speaks such a dialect builds its request from a `Retelling` and says its answer as deltas to the
retelling's `reducer`: namespaces, custom tools, tools that OpenAI defines, tool searches, summaries in the
place of a conversation and the pairs of calls and outputs have been dealt with on both ways.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from maestro_daemon.protocol.chat_dialect import ChatDialect
from maestro_daemon.protocol.chat_tools import Toolbox
from maestro_daemon.protocol.compaction import INSTRUCTION, TRIGGER, is_trigger
from maestro_daemon.protocol.compaction_answer import CompactionReducer
from maestro_daemon.protocol.exact_request import exact
from maestro_daemon.protocol.field_checks import invalid_value
from maestro_daemon.protocol.input_items import input_items
from maestro_daemon.protocol.json import dumps
from maestro_daemon.protocol.reducer import ResponseReducer
from maestro_daemon.protocol.told_parts import Part, TextPart
from maestro_daemon.protocol.told_turns import AssistantTurn, Called, Turn, told_turns
from maestro_daemon.protocol.tool_names import ToolNames
from maestro_daemon.protocol.translatable import check_translated
from maestro_daemon.request import ResponseRequest

_FUNCTIONS_ONLY: Final = ChatDialect()
_HOUSES_OWN: Final = frozenset(
    {
        *("model", "input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "text"),
        *("reasoning", "stream", "stream_options", "include", "client_metadata", "truncation", "store"),
        *("max_tool_calls", "previous_response_id", "conversation", "background", "prompt"),
    }
)
_CHARACTERS_OF_A_MEDIUM: Final = 4000
_MOST_DROPPED: Final = 32
_LONGEST_NAME: Final = 64


@dataclass(frozen=True, slots=True)
class FunctionTool:
    """One tool as a function: its flat name (64 of ``[A-Za-z0-9_-]``), and a JSON Schema of an object.

    Functions of namespaces, custom tools and the tools that OpenAI defines and clients run have become
    such. `strict` is True only where the client asked for it.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    strict: bool


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """Whether the model may call tools: ``auto``, ``none``, ``required``, or `name` alone must be called."""

    mode: str = "auto"
    name: str | None = None


@dataclass(frozen=True, slots=True)
class JsonFormat:
    """The answer is to be JSON. `schema` is its JSON Schema, None where any object will do."""

    name: str = ""
    description: str = ""
    schema: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Retelling:
    """What a request asks for.

    `choice` is None where there are no `tools`; ``allowed_tools`` has narrowed `tools` and is held by the
    reducer. `parallel` is False where the client wants one call at a time. `effort` is the client's word
    (``none``, ``minimal``, ``low`` …), None if it said none. `format` is None for plain text, `verbosity`
    the client's word for how much of it.

    `fields` are the body's other fields that are not null, for the dialect to say or to drop. `dropped`
    names what has no form (``tools[3]: web_search``): append what the dialect cannot say either, then log
    it once.
    """

    request: ResponseRequest
    provider: str
    turns: tuple[Turn, ...]
    tools: tuple[FunctionTool, ...]
    choice: ToolChoice | None
    parallel: bool
    effort: str | None
    format: JsonFormat | None
    verbosity: str | None
    fields: Mapping[str, Any]
    names: ToolNames
    compacts: bool
    dropped: list[str]

    def reducer(self) -> ResponseReducer | CompactionReducer:
        """What makes events of one answer's deltas: ``feed(delta)``, then ``finish()``."""
        plain = ResponseReducer(
            self.request, names=self.names, provider=self.provider, input_characters=self.characters()
        )
        return CompactionReducer(plain) if self.compacts else plain

    def characters(self) -> int:
        """How much the model is to read, for an estimate where the upstream never tells its usage."""
        size = sum(len(tool.description) + len(dumps(tool.parameters)) for tool in self.tools)
        for turn in self.turns:
            if not isinstance(turn, AssistantTurn):
                size += _size(turn.parts)
                continue
            for said in turn.said:
                if isinstance(said, Called):
                    size += len(dumps(said.arguments)) + _size(said.output or ())
                else:
                    size += len(said.text)
        return size

    def left_out(self) -> list[str]:
        """`dropped` for one log line, bounded."""
        if len(self.dropped) <= _MOST_DROPPED:
            return self.dropped
        return [*self.dropped[: _MOST_DROPPED - 1], f"and {len(self.dropped) - _MOST_DROPPED + 1} more"]


def retell(request: ResponseRequest, *, provider: str) -> Retelling:
    """Read `request`, which stays as it is; `provider` is under whose name reasoning is sealed.

    Raises `RequestInvalid`, with `param`, for what cannot be meant and what no dialect could serve.
    """
    request = exact(request)
    given = request.body
    items = input_items(given.get("input"))
    check_translated(request)
    dropped: list[str] = []
    names = ToolNames()
    compacts = len(items) > 0 and is_trigger(items[-1])
    if compacts:
        if len(items) == 1:
            raise invalid_value("input", f"there is nothing before the {TRIGGER}.")
        items = [*items[:-1], {"role": "user", "content": INSTRUCTION}]
    toolbox = Toolbox(names, _FUNCTIONS_ONLY, dropped)
    toolbox.declare(given.get("tools"), "tools")
    effort, form = _effort(given), _format(given)
    for index, item in enumerate(items):
        kind = item.get("type")
        if kind in ("additional_tools", "tool_search_output"):
            toolbox.declare(item.get("tools"), f"input[{index}].tools")
        elif kind == "configuration_update":
            effort = _effort(item) or effort
            form = _format(item) or form
    choice = None if compacts else toolbox.choose(given.get("tool_choice"))
    turns = told_turns(given.get("instructions"), items, names, provider, dropped)
    tools = tuple(_function(tool["function"]) for tool in toolbox.tools.values())
    return Retelling(
        request=request,
        provider=provider,
        turns=turns,
        tools=tools,
        choice=_choice(choice, compacts=compacts) if tools else None,
        parallel=given.get("parallel_tool_calls") is not False,
        effort=effort,
        format=None if compacts or form is None else _json_format(form),
        verbosity=(given.get("text") or {}).get("verbosity"),
        fields={
            name[:_LONGEST_NAME]: value
            for name, value in given.items()
            if name not in _HOUSES_OWN and value is not None
        },
        names=names,
        compacts=compacts,
        dropped=dropped,
    )


def _effort(given: Mapping[str, Any]) -> str | None:
    said = (given.get("reasoning") or {}).get("effort")
    return said if isinstance(said, str) else None


def _format(given: Mapping[str, Any]) -> Mapping[str, Any] | None:
    said = (given.get("text") or {}).get("format")
    return said if isinstance(said, dict) else None


def _json_format(form: Mapping[str, Any]) -> JsonFormat | None:
    match form.get("type"):
        case "json_object":
            return JsonFormat()
        case "json_schema":
            return JsonFormat(form["name"], form.get("description") or "", form["schema"])
    return None


def _function(tool: Mapping[str, Any]) -> FunctionTool:
    return FunctionTool(tool["name"], tool.get("description", ""), tool["parameters"], tool["strict"])


def _choice(said: Any, *, compacts: bool) -> ToolChoice:
    if compacts:
        # The tools stay declared, since the conversation speaks of them.
        return ToolChoice("none")
    if isinstance(said, dict):
        return ToolChoice("required", said["function"]["name"])
    return ToolChoice(said or "auto")


def _size(parts: Sequence[Part]) -> int:
    return sum(len(part.text) if isinstance(part, TextPart) else _CHARACTERS_OF_A_MEDIUM for part in parts)
