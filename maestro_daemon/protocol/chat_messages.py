"""Input items → chat messages.

Items stand in a row, messages in turns: what the assistant thought, said and called without interruption is
one message; the outputs of its calls follow at once, whatever stood between; what came between comes after.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from maestro_daemon.protocol.assistant_turn import AssistantTurn, Call
from maestro_daemon.protocol.call_pairs import CALL_OF_OUTPUT, CALLS, CallPairs, pair_calls
from maestro_daemon.protocol.chat_dialect import ChatDialect
from maestro_daemon.protocol.chat_parts import Part, PartReader, joined_text, message_content
from maestro_daemon.protocol.client_tools import CALLS as CLIENT_CALLS
from maestro_daemon.protocol.client_tools import call_arguments, output_text
from maestro_daemon.protocol.compaction import as_message, own_summary
from maestro_daemon.protocol.custom_tools import wrap_input
from maestro_daemon.protocol.field_checks import invalid_type, invalid_value, missing, quoted
from maestro_daemon.protocol.input_items import as_text, called_tool, declared_tools
from maestro_daemon.protocol.json import dumps, loads
from maestro_daemon.protocol.sayable_items import sayable_items
from maestro_daemon.protocol.sealed_reasoning import Sealed, unseal
from maestro_daemon.protocol.tool_names import ToolName, ToolNames

Message = dict[str, Any]

_ROLES: Final = ("user", "assistant", "system", "developer")


def chat_messages(
    instructions: str | None,
    items: Sequence[Mapping[str, Any]],
    names: ToolNames,
    dialect: ChatDialect,
    dropped: list[str],
) -> list[Message]:
    """The messages for the instructions and the input's items; the tools are registered in `names` already.

    What cannot be said is appended by name to `dropped`. Raises `RequestInvalid`.
    """
    conversation = _Conversation(names, dialect, dropped)
    if instructions:
        conversation.say_as_system("developer", instructions)
    conversation.add_all(items)
    return conversation.finish()


class _Conversation:
    """Takes the items in order and gathers messages."""

    def __init__(self, names: ToolNames, dialect: ChatDialect, dropped: list[str]) -> None:
        self._names = names
        self._dialect = dialect
        self._dropped = dropped
        self._parts = PartReader(dialect, dropped)
        self._messages: list[Message] = []
        self._system: list[str] = []
        self._turn: AssistantTurn | None = None
        self._items: Sequence[Mapping[str, Any]] = ()
        self._pairs = CallPairs()

    def add_all(self, items: Sequence[Mapping[str, Any]]) -> None:
        self._items = items
        said, unsaid = sayable_items(items, self._dropped)
        self._pairs = pair_calls(said, unsaid, self._dropped)
        for index, kind, item in said:
            if kind == "message":
                self._message(index, item)
            elif kind in CALLS:
                self._call(index, kind, item)
            elif kind in CALL_OF_OUTPUT:
                if self._turn is not None and self._turn.calls:
                    self._turn.answered = True
            elif kind == "reasoning":
                self._reasoning(index, item)
            elif kind == "compaction":
                self._user(as_message(own_summary(item)))

    def finish(self) -> list[Message]:
        turn = self._turn
        if turn is not None and turn.thinks_only():
            # sent as the last message, bare reasoning would be a text for the model to go on with
            self._dropped.append(f"input[{turn.place}]: reasoning")
            self._turn = None
        self._flush()
        if self._system:
            role = "developer" if self._dialect.developer_role else "system"
            return [{"role": role, "content": "\n\n".join(self._system)}, *self._messages]
        return self._messages

    def say_as_system(self, role: str, text: str) -> None:
        if not text:
            return
        if self._dialect.one_system_message:
            self._system.append(text)
            return
        self._flush()
        as_developer = role == "developer" and self._dialect.developer_role
        self._messages.append({"role": "developer" if as_developer else "system", "content": text})

    def _message(self, index: int, item: Mapping[str, Any]) -> None:
        where = f"input[{index}]"
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
        parts = self._parts.read("" if content is None else content, f"{where}.content")
        if role == "assistant":
            self._assistant(where, parts)
        elif role == "user":
            if parts or not content:
                flat = message_content(parts, flatten_text=self._dialect.flatten_text)
                self._user({"role": "user", "content": flat})
        else:
            self.say_as_system(role, joined_text(parts, "\n"))
            rest = [part for part in parts if part["type"] not in ("text", "refusal")]
            if rest:
                self._user({"role": "user", "content": rest})

    def _assistant(self, where: str, parts: Iterable[Part]) -> None:
        texts: list[str] = []
        refusals: list[str] = []
        for part in parts:
            if part["type"] == "text":
                texts.append(part["text"])
            elif part["type"] == "refusal":
                refusals.append(part["refusal"])
            else:
                self._dropped.append(f"{where}: {part['type']} of the assistant")
        turn = self._open_turn()
        if text := "".join(texts):
            turn.texts.append(text)
        if refusal := "".join(refusals):
            turn.refusals.append(refusal)

    def _user(self, message: Message) -> None:
        self._flush()
        self._messages.append(message)

    def _open_turn(self) -> AssistantTurn:
        if self._turn is None or self._turn.answered:
            self._flush()
            self._turn = AssistantTurn()
        return self._turn

    def _flush(self) -> None:
        if self._turn is not None:
            self._messages += self._turn.messages(self._dialect)
            self._turn = None

    def _reasoning(self, index: int, item: Mapping[str, Any]) -> None:
        blob = item.get("encrypted_content")
        sealed = unseal(blob, provider=self._dialect.provider) if isinstance(blob, str) else None
        thought = sealed or Sealed(self._visible(index, item))
        if not (thought.text and self._dialect.reasoning_field) and not (
            thought.opaque and self._dialect.opaque_field
        ):
            if blob or thought.text:
                self._dropped.append(f"input[{index}]: reasoning")
            return
        turn = self._open_turn()
        turn.place = index
        if thought.text:
            turn.reasoning.append(thought.text)
        if thought.opaque:
            turn.opaque = thought.opaque

    def _visible(self, index: int, item: Mapping[str, Any]) -> str:
        for field, separator in (("content", ""), ("summary", "\n\n")):
            if item.get(field):
                parts = self._parts.read(item[field], f"input[{index}].{field}")
                if text := joined_text(parts, separator):
                    return text
        return ""

    def _call(self, index: int, kind: str, item: Mapping[str, Any]) -> None:
        turn = self._open_turn()
        call_id = self._pairs.ids[index]
        if kind in CLIENT_CALLS:
            tool = CLIENT_CALLS[kind]
            name = self._names.called(ToolName(tool, tool))
            said = _function(name, self._arguments(call_arguments(item)))
        elif kind == "custom_tool_call":
            name = self._names.called(called_tool("custom", index, item))
            text = as_text(item.get("input"))
            said = (
                {"type": "custom", "custom": {"name": name, "input": text}}
                if self._dialect.custom_tools
                else _function(name, wrap_input(text))
            )
        else:
            name = self._names.called(called_tool("function", index, item))
            said = _function(name, self._arguments(as_text(item.get("arguments"))))
        output = self._pairs.outputs.get(index)
        turn.calls.append(Call(call_id, name, said, None if output is None else self._output(output)))

    def _arguments(self, text: str) -> str:
        """The arguments as they are; "{}" for none, and an object around what is none if need be."""
        if not text or text.isspace():
            return "{}"
        if not self._dialect.object_arguments:
            return text
        try:
            if isinstance(loads(text.encode()), dict):
                return text
        except ValueError:
            pass
        return dumps({"arguments": text}).decode()

    def _output(self, index: int) -> list[Part]:
        item = self._items[index]
        kind = item["type"]
        if kind == "tool_search_output":
            return [{"type": "text", "text": self._found_tools(item.get("tools"))}]
        if kind not in ("function_call_output", "custom_tool_call_output"):
            return [{"type": "text", "text": output_text(item)}]
        output = item.get("output")
        if not isinstance(output, list):
            return [{"type": "text", "text": as_text(output)}]
        return self._parts.read(output, f"input[{index}].output", from_tool=True)

    def _found_tools(self, tools: Any) -> str:
        names = [self._names.called(tool) for tool in declared_tools(tools)]
        if not names or self._dialect.tools is False:
            return "No tools found."
        return "These tools can be called now: " + ", ".join(dict.fromkeys(names))


def _function(name: str, arguments: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "arguments": arguments}}
