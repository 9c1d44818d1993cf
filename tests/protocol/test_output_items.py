"""The open items by themselves: what the reducer's playbooks leave aside."""

from __future__ import annotations

import json
from typing import Any

import pytest

from maestro_daemon.deltas import Finish
from maestro_daemon.protocol.event_numbers import EventNumbers, delta_shape
from maestro_daemon.protocol.json_extent import JSONExtent
from maestro_daemon.protocol.output_items import MessageItem
from maestro_daemon.protocol.tool_names import Kind, ToolName, ToolNames
from tests.support.playbook import Played, call, play


def called(kind: Kind, arguments: str, reason: str = "tool_calls") -> Played:
    """One call of a tool of this kind, its arguments in two pieces."""
    names = ToolNames()
    flat = names.flat(ToolName(kind, kind))
    half = len(arguments) // 2
    deltas = [call(0, arguments[:half], id="c1", name=flat), call(0, arguments[half:]), Finish(reason)]
    return play(deltas, names=names)


@pytest.mark.parametrize(
    ("arguments", "action"),
    [
        ('{"command":["ls","-l"]}', {"type": "exec", "command": ["ls", "-l"], "env": {}}),
        ('{"command":"ls -l"}', {"type": "exec", "command": ["bash", "-lc", "ls -l"], "env": {}}),
        (
            '{"action":{"command":["ls"],"env":{"A":"b"},"timeout_ms":5,"user":null}}',
            {"type": "exec", "command": ["ls"], "env": {"A": "b"}, "timeout_ms": 5},
        ),
    ],
)
def test_local_shell_arguments_become_a_local_shell_call(arguments: str, action: dict[str, Any]) -> None:
    item = called("local_shell", arguments).output[0]
    assert (item["type"], item["call_id"], item["status"]) == ("local_shell_call", "c1", "completed")
    assert item["id"].startswith("lsh_")
    assert item["action"] == action


@pytest.mark.parametrize(
    ("arguments", "commands"),
    [('{"commands":["ls","pwd"],"timeout_ms":9}', ["ls", "pwd"]), ('{"commands":"ls"}', ["ls"])],
)
def test_shell_arguments_become_a_shell_call_told_command_by_command(
    arguments: str, commands: list[str]
) -> None:
    played = called("shell", arguments)
    assert played.output[0]["type"] == "shell_call"
    assert played.output[0]["id"].startswith("sh_")
    assert played.output[0]["action"]["commands"] == commands
    for kind in ("added", "delta", "done"):
        told = played.payloads(f"shell_call_command.{kind}")
        assert [payload["command_index"] for payload in told] == list(range(len(commands)))
    assert [payload["command"] for payload in played.payloads("shell_call_command.done")] == commands


@pytest.mark.parametrize(
    "operation",
    [
        {"type": "create_file", "path": "a", "diff": "+x"},
        {"type": "update_file", "path": "a", "diff": "-x\n+y"},
        {"type": "delete_file", "path": "a"},
    ],
)
def test_apply_patch_arguments_become_an_apply_patch_call(operation: dict[str, Any]) -> None:
    for arguments in (operation, {"operation": operation}):
        item = called("apply_patch", json.dumps(arguments)).output[0]
        assert (item["type"], item["call_id"], item["operation"]) == ("apply_patch_call", "c1", operation)
        assert item["id"].startswith("apc_")


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("local_shell", '{"command":[]}'),
        ("local_shell", '{"command":["ls"],"env":{"A":1}}'),
        ("local_shell", '{"command":["ls"],"timeout_ms":"5"}'),
        ("local_shell", '{"action":"ls"}'),
        ("shell", '{"commands":[1]}'),
        ("shell", '{"action":["ls"]}'),
        ("shell", "ls -l"),
        ("apply_patch", '{"type":"move_file","path":"a"}'),
        ("apply_patch", '{"type":"update_file","path":"a"}'),
        ("apply_patch", '{"type":"delete_file","path":""}'),
        ("apply_patch", '{"operation":"*** Begin Patch"}'),
        ("apply_patch", "[]"),
    ],
)
def test_arguments_that_give_no_action_stay_a_function_call(kind: Kind, arguments: str) -> None:
    item = called(kind, arguments).output[0]
    assert (item["type"], item["name"], item["arguments"]) == ("function_call", kind, arguments)


@pytest.mark.parametrize("kind", ["local_shell", "shell", "apply_patch"])
def test_a_call_that_was_cut_stays_an_incomplete_function_call(kind: Kind) -> None:
    item = called(kind, '{"command', "length").output[0]
    assert (item["type"], item["arguments"], item["status"]) == ("function_call", '{"command', "incomplete")
    whole = '{"command":["ls"],"commands":["ls"],"type":"delete_file","path":"a"}'
    assert called(kind, whole).output[0]["type"] == f"{kind}_call"
    last = called(kind, whole, "length").output[0]
    assert (last["type"], last["arguments"], last["status"]) == ("function_call", whole, "incomplete")
    empty = called(kind, "", "length").output[0]
    assert (empty["type"], empty["arguments"]) == ("function_call", "")


def test_every_kind_of_call_waits_its_turn() -> None:
    names = ToolNames()
    kinds: list[Kind] = ["custom", "tool_search", "local_shell", "shell", "apply_patch", "function"]
    flats = [names.flat(ToolName(kind, kind)) for kind in kinds]
    said = [
        '{"input":"x"}',
        '{"query":"x"}',
        '{"command":["x"]}',
        '{"commands":["x"]}',
        '{"type":"delete_file","path":"x"}',
        '{"x":1}',
    ]
    announced = [call(number, id=f"c{number}", name=flat) for number, flat in enumerate(flats)]
    filled = [call(number, arguments) for number, arguments in reversed(list(enumerate(said)))]
    played = play([*announced, *filled, Finish("stop")], names=names)
    assert [item["type"] for item in played.output] == [
        "custom_tool_call",
        "tool_search_call",
        "local_shell_call",
        "shell_call",
        "apply_patch_call",
        "function_call",
    ]


def test_a_custom_input_of_nothing_is_empty() -> None:
    played = called("custom", '{"input":""}')
    assert played.output[0]["input"] == ""
    assert played.types == [
        "output_item.added",
        "custom_tool_call_input.done",
        "output_item.done",
        "completed",
    ]


def test_a_message_may_end_without_parts() -> None:
    message = MessageItem(EventNumbers(2), 0)
    message.open()
    item, events = message.close("completed")
    assert item["content"] == []
    assert [event.type for event in events] == ["response.output_item.done"]


def test_delta_events_are_the_same_by_the_fast_and_the_slow_way() -> None:
    fast, slow = EventNumbers(7), EventNumbers(7)
    kind = "response.refusal.delta"
    shape = delta_shape(kind, item_id="msg_1", output_index=3, content_index=2)
    for text in ("a", 'quo"te\\', "é😀\u2028", "%d%b\n"):
        place = {"item_id": "msg_1", "output_index": 3, "content_index": 2}
        assert fast.delta(shape, text) == slow.event(kind, **place, delta=text)


@pytest.mark.parametrize(
    ("text", "within"),
    [
        ("{}", "{}"),
        (' {"a":"}"} tail', '{"a":"}"}'),
        ('{"a":{"b":["}",{}]}}{}', '{"a":{"b":["}",{}]}}'),
        ('["]\\"]",[1]]]', '["]\\"]",[1]]'),
        ('{"a":"\\\\"}x', '{"a":"\\\\"}'),
        ('{"open', None),
        ("bare words}", None),
        ('"string"', None),
        ("", None),
    ],
)
def test_the_end_of_a_value_is_found_wherever_it_is_cut(text: str, within: str | None) -> None:
    for pieces in ([text], list(text)):
        extent = JSONExtent()
        found = "".join(extent.cut(piece) for piece in pieces)
        assert extent.complete == (within is not None)
        assert found == (within if within is not None else text.lstrip())
