"""Calls of shell and apply_patch tools. Named after the rows of the mapping."""

from __future__ import annotations

import json

import pytest

from tests.support.chat_items import output
from tests.support.chat_oracle import messages


def test_local_shell_call_is_a_function_call_named_after_the_tool() -> None:
    action = {"type": "exec", "command": ["ls"], "env": {}, "timeout_ms": 5}
    said = messages(
        {"type": "local_shell_call", "id": "lsh_1", "call_id": "a", "action": action, "status": "completed"},
        {"type": "local_shell_call_output", "id": "lsh_1", "output": '{"output":"x"}'},
    )
    function = said[0]["tool_calls"][0]["function"]
    assert function["name"] == "local_shell"
    assert json.loads(function["arguments"]) == {"command": ["ls"], "env": {}, "timeout_ms": 5}
    assert said[1]["content"] == '{"output":"x"}'


@pytest.mark.parametrize("own_type", [True, False])
def test_local_shell_call_is_answered_by_its_call_id_too(own_type: bool) -> None:
    answer = {"type": "local_shell_call_output", "id": "a", "output": "x"} if own_type else output("a", "x")
    item = {"type": "local_shell_call", "id": "lsh_1", "call_id": "a", "action": {"command": ["ls"]}}
    assert messages(item, answer)[1]["content"] == "x"


def test_shell_call_is_a_function_call_named_after_the_tool() -> None:
    outcome = [{"stdout": "a\n", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}]
    said = messages(
        {"type": "shell_call", "call_id": "a", "action": {"commands": ["ls"], "timeout_ms": None}},
        {"type": "shell_call_output", "call_id": "a", "output": outcome},
    )
    assert said[0]["tool_calls"][0]["function"]["name"] == "shell"
    assert json.loads(said[0]["tool_calls"][0]["function"]["arguments"])["commands"] == ["ls"]
    assert json.loads(said[1]["content"]) == outcome


def test_apply_patch_call_is_a_function_call_named_after_the_tool() -> None:
    operation = {"type": "create_file", "path": "a.txt", "diff": "+hi"}
    said = messages(
        {"type": "apply_patch_call", "call_id": "a", "operation": operation, "status": "completed"},
        {"type": "apply_patch_call_output", "call_id": "a", "status": "failed", "output": "no such file"},
    )
    assert said[0]["tool_calls"][0]["function"]["name"] == "apply_patch"
    assert json.loads(said[0]["tool_calls"][0]["function"]["arguments"]) == operation
    assert said[1]["content"] == "failed\nno such file"
