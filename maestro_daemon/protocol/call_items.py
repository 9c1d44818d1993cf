"""An open tool call: the chat upstream's function call as the kind of call that the client declared."""

from __future__ import annotations

from io import StringIO
from typing import Any, Protocol

from maestro_daemon.events import ResponseEvent
from maestro_daemon.protocol.action_calls import action_of
from maestro_daemon.protocol.client_tools import ClientKind
from maestro_daemon.protocol.custom_tools import InputUnwrapper
from maestro_daemon.protocol.event_numbers import EventNumbers, delta_shape
from maestro_daemon.protocol.item_log import new_item_id
from maestro_daemon.protocol.output_items import OpenItem, Status
from maestro_daemon.protocol.tool_names import ToolName

Closed = tuple[dict[str, Any], list[ResponseEvent]]


class CallItem(OpenItem, Protocol):
    """A call between its first and its last event."""

    def feed(self, arguments: str) -> list[ResponseEvent]:
        """More of the arguments' JSON text, never empty."""
        ...


def call_item(tool: ToolName, *, call_id: str, numbers: EventNumbers, output_index: int) -> CallItem:
    """The item for a call of `tool`."""
    if tool.kind == "custom":
        return CustomCall(tool, call_id, numbers, output_index)
    if tool.kind == "tool_search":
        return ToolSearchCall(call_id, numbers, output_index)
    if tool.kind == "function":
        return FunctionCall(tool, call_id, numbers, output_index)
    return ActionCall(tool, tool.kind, call_id, numbers, output_index)


def _named(tool: ToolName) -> dict[str, str]:
    return {"name": tool.name} if tool.namespace is None else {"name": tool.name, "namespace": tool.namespace}


class FunctionCall:
    """A ``function_call``: its arguments stream as they come; none at all is ``{}``."""

    def __init__(self, tool: ToolName, call_id: str, numbers: EventNumbers, output_index: int) -> None:
        self._tool = tool
        self._call_id = call_id
        self._numbers = numbers
        self._index = output_index
        self._id = new_item_id("function_call")
        self._said = StringIO()
        self._place = {"item_id": self._id, "output_index": output_index}
        self._shape = delta_shape(
            "response.function_call_arguments.delta", item_id=self._id, output_index=output_index
        )

    def open(self) -> list[ResponseEvent]:
        item = self._item("in_progress", "")
        return [self._numbers.event("response.output_item.added", output_index=self._index, item=item)]

    def feed(self, arguments: str) -> list[ResponseEvent]:
        self._said.write(arguments)
        return [self._numbers.delta(self._shape, arguments)]

    def close(self, status: Status) -> Closed:
        events = []
        if status == "completed" and not self._said.tell():
            events = self.feed("{}")
        said = self._said.getvalue()
        item = self._item(status, said)
        done = "response.function_call_arguments.done"
        events.append(self._numbers.event(done, **self._place, name=self._tool.name, arguments=said))
        events.append(self._numbers.event("response.output_item.done", output_index=self._index, item=item))
        return item, events

    def _item(self, status: str, arguments: str) -> dict[str, Any]:
        head = {"id": self._id, "type": "function_call", "status": status, "call_id": self._call_id}
        return {**head, **_named(self._tool), "arguments": arguments}


class CustomCall:
    """A ``custom_tool_call``: the raw input streams as it is unwrapped from the arguments."""

    def __init__(self, tool: ToolName, call_id: str, numbers: EventNumbers, output_index: int) -> None:
        self._tool = tool
        self._call_id = call_id
        self._numbers = numbers
        self._index = output_index
        self._id = new_item_id("custom_tool_call")
        self._unwrapper = InputUnwrapper()
        self._said = StringIO()
        self._shape = delta_shape(
            "response.custom_tool_call_input.delta", item_id=self._id, output_index=output_index
        )

    def open(self) -> list[ResponseEvent]:
        item = self._item("in_progress", "")
        return [self._numbers.event("response.output_item.added", output_index=self._index, item=item)]

    def feed(self, arguments: str) -> list[ResponseEvent]:
        return self._pass_on(self._unwrapper.feed(arguments))

    def close(self, status: Status) -> Closed:
        events = self._pass_on(self._unwrapper.close())
        said = self._said.getvalue()
        item = self._item(status, said)
        done = "response.custom_tool_call_input.done"
        place = {"item_id": self._id, "output_index": self._index}
        events.append(self._numbers.event(done, **place, input=said))
        events.append(self._numbers.event("response.output_item.done", output_index=self._index, item=item))
        return item, events

    def _pass_on(self, text: str) -> list[ResponseEvent]:
        if not text:
            return []
        self._said.write(text)
        return [self._numbers.delta(self._shape, text)]

    def _item(self, status: str, text: str) -> dict[str, Any]:
        head = {"id": self._id, "type": "custom_tool_call", "status": status, "call_id": self._call_id}
        return {**head, **_named(self._tool), "input": text}


class ToolSearchCall:
    """A ``tool_search_call`` for the client to execute: its arguments are an object and do not stream."""

    def __init__(self, call_id: str, numbers: EventNumbers, output_index: int) -> None:
        self._call_id = call_id
        self._numbers = numbers
        self._index = output_index
        self._id = new_item_id("tool_search_call")
        self._said = StringIO()

    def open(self) -> list[ResponseEvent]:
        item = self._item("in_progress", {})
        return [self._numbers.event("response.output_item.added", output_index=self._index, item=item)]

    def feed(self, arguments: str) -> list[ResponseEvent]:
        self._said.write(arguments)
        return []

    def close(self, status: Status) -> Closed:
        said = self._said.getvalue()
        # Half an object is no query.
        action = action_of("tool_search", said) if status == "completed" else None
        item = self._item(status, action["arguments"] if action else {})
        return item, [self._numbers.event("response.output_item.done", output_index=self._index, item=item)]

    def _item(self, status: str, arguments: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": self._id,
            "type": "tool_search_call",
            "status": status,
            "call_id": self._call_id,
            "execution": "client",
            "arguments": arguments,
        }


class ActionCall:
    """A call of a tool without a name of its own (local_shell, shell, apply_patch).

    Its item holds an action that only whole arguments give, so it is announced when it is closed. Arguments
    that give no action, or were cut, make a plain ``function_call`` of the tool's name: the model's words
    reach the client as they are.
    """

    def __init__(
        self, tool: ToolName, kind: ClientKind, call_id: str, numbers: EventNumbers, output_index: int
    ) -> None:
        self._tool = tool
        self._kind = kind
        self._call_id = call_id
        self._numbers = numbers
        self._index = output_index
        self._said = StringIO()

    def open(self) -> list[ResponseEvent]:
        return []

    def feed(self, arguments: str) -> list[ResponseEvent]:
        self._said.write(arguments)
        return []

    def close(self, status: Status) -> Closed:
        said = self._said.getvalue()
        action = action_of(self._kind, said) if status == "completed" else None
        if action is None:
            call = FunctionCall(self._tool, self._call_id, self._numbers, self._index)
            events = call.open() + (call.feed(said) if said else [])
            item, closing = call.close(status)
            return item, events + closing
        type = f"{self._kind}_call"
        item = {"id": new_item_id(type), "type": type, "status": status, "call_id": self._call_id, **action}
        return item, self._told(item)

    def _told(self, item: dict[str, Any]) -> list[ResponseEvent]:
        event = self._numbers.event
        place = {"output_index": self._index}
        events = [event("response.output_item.added", **place, item={**item, "status": "in_progress"})]
        if item["type"] == "shell_call":
            for number, command in enumerate(item["action"]["commands"]):
                where = {**place, "command_index": number}
                events.append(event("response.shell_call_command.added", **where, command=""))
                events.append(event("response.shell_call_command.delta", **where, delta=command))
                events.append(event("response.shell_call_command.done", **where, command=command))
        events.append(event("response.output_item.done", **place, item=item))
        return events
