"""A conversation as turns: whose words follow whose, every call with its output.

Items of a Responses request stand in a row. Here what the assistant thought, said and called without
interruption is one turn, in the order in which it came, and each of its calls holds the output that answers
it, whatever stood between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from maestro_daemon.protocol.call_pairs import CALL_OF_OUTPUT, CALLS, CallPairs, pair_calls
from maestro_daemon.protocol.client_tools import CALLS as CLIENT_CALLS
from maestro_daemon.protocol.client_tools import call_arguments, output_text
from maestro_daemon.protocol.compaction import as_message, own_summary
from maestro_daemon.protocol.custom_tools import wrap_input
from maestro_daemon.protocol.field_checks import invalid_type, invalid_value, missing, quoted
from maestro_daemon.protocol.input_items import as_text, called_tool, declared_tools
from maestro_daemon.protocol.json import loads
from maestro_daemon.protocol.sayable_items import sayable_items
from maestro_daemon.protocol.sealed_reasoning import unseal
from maestro_daemon.protocol.told_parts import Part, TextPart, told_parts
from maestro_daemon.protocol.tool_names import ToolName, ToolNames

_ROLES: Final = ("user", "assistant", "system", "developer")


@dataclass(frozen=True, slots=True)
class SystemTurn:
    """Instructions. `role` is ``system`` or ``developer``; the field ``instructions`` is a developer's."""

    role: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class UserTurn:
    """One message of the user's."""

    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Words:
    """What the assistant said, refusals included."""

    text: str


@dataclass(frozen=True, slots=True)
class Thought:
    """What the assistant thought.

    `opaque` is what this very provider had sent along to get it back unread, None where there was nothing or
    another provider made it; `text` is in clear. `place` is the item's path in the request.
    """

    text: str
    opaque: str | None
    place: str


@dataclass(frozen=True, slots=True)
class Called:
    """A call of the assistant's: its id, the tool's flat name, and the arguments, always an object.

    `output` is what answered it, None for a call that was never answered. Custom tools and those that
    OpenAI defines are functions here (see `FunctionTool`).
    """

    id: str
    name: str
    arguments: dict[str, Any]
    output: tuple[Part, ...] | None


@dataclass(frozen=True, slots=True)
class AssistantTurn:
    """What the assistant did without being interrupted, in order; never empty."""

    said: tuple[Words | Thought | Called, ...]


Turn = SystemTurn | UserTurn | AssistantTurn


def told_turns(
    instructions: str | None,
    items: Sequence[Mapping[str, Any]],
    names: ToolNames,
    provider: str,
    dropped: list[str],
) -> tuple[Turn, ...]:
    """The turns of the instructions and the input's items; the tools are registered in `names` already.

    `provider` is whose sealed reasoning is opened. What has no form is appended by name to `dropped`. Raises
    `RequestInvalid`.
    """
    telling = _Telling(items, names, provider, dropped)
    if instructions:
        telling.turns.append(SystemTurn("developer", (TextPart(instructions),)))
    return telling.told()


class _Telling:
    """Takes the items in order and gathers turns."""

    def __init__(
        self, items: Sequence[Mapping[str, Any]], names: ToolNames, provider: str, dropped: list[str]
    ) -> None:
        self.turns: list[Turn] = []
        self._items = items
        self._names = names
        self._provider = provider
        self._dropped = dropped
        self._said: list[Words | Thought | Called] = []
        self._answered = False
        self._pairs = CallPairs()

    def told(self) -> tuple[Turn, ...]:
        said, unsaid = sayable_items(self._items, self._dropped)
        self._pairs = pair_calls(said, unsaid, self._dropped)
        for index, kind, item in said:
            if kind == "message":
                self._message(f"input[{index}]", item)
            elif kind in CALLS:
                self._assistant(self._called(index, kind, item))
            elif kind in CALL_OF_OUTPUT:
                self._answered = self._answered or any(isinstance(each, Called) for each in self._said)
            elif kind == "reasoning":
                self._thought(f"input[{index}]", item)
            elif kind == "compaction":
                self._interrupt(UserTurn((TextPart(as_message(own_summary(item))["content"]),)))
        self._flush()
        return tuple(self.turns)

    def _message(self, where: str, item: Mapping[str, Any]) -> None:
        role = item.get("role")
        if role not in _ROLES:
            if role is None:
                raise missing(f"{where}.role")
            if not isinstance(role, str):
                raise invalid_type(f"{where}.role", "a string", role)
            raise invalid_value(
                f"{where}.role", f"{quoted(role)}. Supported values are: {', '.join(_ROLES)}."
            )
        content = item.get("content")
        if content is None and role != "assistant":
            raise missing(f"{where}.content")
        parts = told_parts("" if content is None else content, f"{where}.content", self._dropped)
        if role == "user":
            self._interrupt(UserTurn(parts))
        elif role != "assistant":
            self._interrupt(SystemTurn(role, parts))
        else:
            if any(not isinstance(part, TextPart) for part in parts):
                self._dropped.append(f"{where}: what is no text of the assistant")
            text = "".join(part.text for part in parts if isinstance(part, TextPart))
            if text:
                self._assistant(Words(text))

    def _assistant(self, said: Words | Thought | Called) -> None:
        if self._answered:
            self._flush()
        self._said.append(said)

    def _interrupt(self, turn: UserTurn | SystemTurn) -> None:
        self._flush()
        self.turns.append(turn)

    def _flush(self) -> None:
        if self._said:
            self.turns.append(AssistantTurn(tuple(self._said)))
            self._said = []
        self._answered = False

    def _thought(self, where: str, item: Mapping[str, Any]) -> None:
        blob = item.get("encrypted_content")
        sealed = unseal(blob, provider=self._provider) if isinstance(blob, str) else None
        if sealed is not None:
            self._assistant(Thought(sealed.text, sealed.opaque, where))
            return
        text = ""
        for field, separator in (("content", ""), ("summary", "\n\n")):
            if not text and item.get(field):
                parts = told_parts(item[field], f"{where}.{field}", self._dropped)
                text = separator.join(part.text for part in parts if isinstance(part, TextPart))
        if text:
            self._assistant(Thought(text, None, where))
        elif blob:
            self._dropped.append(f"{where}: reasoning")

    def _called(self, index: int, kind: str, item: Mapping[str, Any]) -> Called:
        if kind in CLIENT_CALLS:
            tool = CLIENT_CALLS[kind]
            name = self._names.called(ToolName(tool, tool))
            arguments = call_arguments(item)
        elif kind == "custom_tool_call":
            name = self._names.called(called_tool("custom", index, item))
            arguments = wrap_input(as_text(item.get("input")))
        else:
            name = self._names.called(called_tool("function", index, item))
            arguments = as_text(item.get("arguments"))
        output = self._pairs.outputs.get(index)
        return Called(
            self._pairs.ids[index],
            name,
            _object(arguments),
            None if output is None else self._output(output),
        )

    def _output(self, index: int) -> tuple[Part, ...]:
        item = self._items[index]
        kind = item["type"]
        if kind == "tool_search_output":
            names = [self._names.called(tool) for tool in declared_tools(item.get("tools"))]
            found = f"These tools can be called now: {', '.join(dict.fromkeys(names))}" if names else ""
            return (TextPart(found or "No tools found."),)
        if kind not in ("function_call_output", "custom_tool_call_output"):
            return (TextPart(output_text(item)),)
        output = item.get("output")
        if not isinstance(output, list):
            return (TextPart(as_text(output)),)
        return told_parts(output, f"input[{index}].output", self._dropped, from_tool=True)


def _object(text: str) -> dict[str, Any]:
    """The arguments; what is no object stands in one, as the model wrote it."""
    if not text or text.isspace():
        return {}
    try:
        said = loads(text.encode("utf-8", "replace"))
    except ValueError:
        said = None
    return said if isinstance(said, dict) else {"arguments": text}
