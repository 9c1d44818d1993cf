"""The three shapes of Codex's requests: nothing but hosted tools and hints is lost."""

from __future__ import annotations

import json
from typing import Any

from maestro_daemon.protocol.tool_names import ToolName
from tests.support.chat_oracle import translate

PARAMETERS = {"type": "object", "properties": {"cmd": {"type": "string"}}, "required": ["cmd"]}
GRAMMAR = {"type": "grammar", "syntax": "lark", "definition": "start: begin_patch hunk+ end_patch"}
PATCH = "*** Begin Patch\n*** Add File: a.txt\n+hi\n*** End Patch\n"
COMMON: dict[str, Any] = {
    "stream": True,
    "store": False,
    "include": ["reasoning.encrypted_content"],
    "tool_choice": "auto",
    "prompt_cache_key": "01a1f764-a92c-74b3-bcc6-35cbd06b4762",
    "client_metadata": {"session_id": "x", "x-codex-turn-metadata": "{}"},
}


def function(name: str) -> dict[str, Any]:
    return {
        "type": "function",
        "name": name,
        "description": name,
        "strict": False,
        "parameters": PARAMETERS,
    }


def namespace(name: str, *tools: dict[str, Any]) -> dict[str, Any]:
    return {"type": "namespace", "name": name, "description": name, "tools": list(tools)}


def said(role: str, text: str) -> dict[str, Any]:
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "id": "msg_1", "role": role, "content": [{"type": kind, "text": text}]}


SYSTEM = said("developer", "You are Codex.")
PERMISSIONS = said("developer", "<permissions>")
ENVIRONMENT = said("user", "<environment_context>")
PROMPT = said("user", "say hi")
REASONING = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [{"type": "summary_text", "text": "think"}],
    "content": None,
    "encrypted_content": None,
}
SEARCH = {"type": "web_search", "external_web_access": False, "search_content_types": ["text", "image"]}
FIND = {"type": "tool_search", "execution": "client", "description": "Finds tools.", "parameters": PARAMETERS}
HEAD = [
    {"role": "system", "content": "You are Codex.\n\n<permissions>"},
    {"role": "user", "content": "<environment_context>"},
    {"role": "user", "content": "say hi"},
]


def called(message: dict[str, Any]) -> list[tuple[str, str, Any]]:
    """The calls of a message: id, flat name, arguments."""
    functions = [(call["id"], call["function"]) for call in message["tool_calls"]]
    return [(id_, each["name"], json.loads(each["arguments"])) for id_, each in functions]


def test_the_whole_turn_of_a_known_model_is_said_but_for_web_search() -> None:
    call = translate(
        SYSTEM,
        PERMISSIONS,
        ENVIRONMENT,
        PROMPT,
        REASONING,
        {
            "type": "function_call",
            "id": "fc_1",
            "status": "completed",
            "call_id": "call_1",
            "name": "exec_command",
            "arguments": '{"cmd":"ls"}',
        },
        {
            "type": "custom_tool_call",
            "id": "ctc_1",
            "status": "completed",
            "call_id": "call_2",
            "name": "apply_patch",
            "input": PATCH,
        },
        {
            "type": "tool_search_call",
            "id": "tsc_1",
            "status": "completed",
            "call_id": "call_3",
            "execution": "client",
            "arguments": {"query": "sums"},
        },
        {"type": "function_call_output", "id": "fco_1", "call_id": "call_1", "output": "a.txt"},
        {"type": "custom_tool_call_output", "id": "ctco_1", "call_id": "call_2", "output": "Success."},
        {
            "type": "tool_search_output",
            "id": "tso_1",
            "call_id": "call_3",
            "status": "completed",
            "execution": "client",
            "tools": [namespace("mcp__calc", {**function("add"), "defer_loading": True})],
        },
        tools=[
            function("exec_command"),
            {"type": "custom", "name": "apply_patch", "description": "Edits files.", "format": GRAMMAR},
            FIND,
            SEARCH,
        ],
        parallel_tool_calls=True,
        reasoning={"effort": "medium"},
        text={"verbosity": "low"},
        **COMMON,
    )
    messages = call.body["messages"]
    assert messages[:3] == HEAD
    assert called(messages[3]) == [
        ("call_1", "exec_command", {"cmd": "ls"}),
        ("call_2", "apply_patch", {"input": PATCH}),
        ("call_3", "tool_search", {"query": "sums"}),
    ]
    assert messages[3]["reasoning_content"] == "think"
    assert [message["content"] for message in messages[4:6]] == ["a.txt", "Success."]
    assert "mcp__calc__add" in messages[6]["content"]
    restored = [call.names.restore(tool["function"]["name"]) for tool in call.body["tools"]]
    assert restored == [
        ToolName("function", "exec_command"),
        ToolName("custom", "apply_patch"),
        ToolName("tool_search", "tool_search"),
        ToolName("function", "add", "mcp__calc"),
    ]
    assert call.body["parallel_tool_calls"] is True
    assert call.body["reasoning_effort"] == "medium"
    assert call.dropped == ("tools[3]: web_search", "text.verbosity")


def test_the_request_of_an_unknown_slug_is_said_with_its_namespace() -> None:
    call = translate(
        SYSTEM,
        PERMISSIONS,
        ENVIRONMENT,
        PROMPT,
        {
            "type": "function_call",
            "id": "fc_1",
            "status": "completed",
            "call_id": "call_1",
            "name": "spawn_agent",
            "namespace": "multi_agent_v1",
            "arguments": '{"cmd":"x"}',
        },
        {
            "type": "function_call_output",
            "id": "fco_1",
            "call_id": "call_1",
            "output": [{"type": "input_text", "text": "spawned"}],
        },
        tools=[
            function("exec_command"),
            namespace("multi_agent_v1", function("spawn_agent"), function("wait_agent")),
            {"type": "web_search", "external_web_access": False},
        ],
        parallel_tool_calls=True,
        reasoning={"summary": "auto"},
        **COMMON,
    )
    messages = call.body["messages"]
    assert messages[:3] == HEAD
    assert called(messages[3]) == [("call_1", "multi_agent_v1__spawn_agent", {"cmd": "x"})]
    assert messages[4]["content"] == "spawned"
    names = [tool["function"]["name"] for tool in call.body["tools"]]
    assert names == ["exec_command", "multi_agent_v1__spawn_agent", "multi_agent_v1__wait_agent"]
    assert call.names.restore(names[1]) == ToolName("function", "spawn_agent", "multi_agent_v1")
    assert "reasoning_effort" not in call.body
    assert call.dropped == ("tools[2]: web_search",)


def test_the_request_of_code_mode_is_said_with_its_additional_tools() -> None:
    call = translate(
        {
            "type": "additional_tools",
            "role": "developer",
            "tools": [
                namespace(
                    "functions",
                    {"type": "custom", "name": "exec", "description": "Runs code.", "format": GRAMMAR},
                    function("wait"),
                ),
                namespace("clock", function("sleep")),
            ],
        },
        SYSTEM,
        PERMISSIONS,
        ENVIRONMENT,
        PROMPT,
        REASONING,
        {
            "type": "custom_tool_call",
            "id": "ctc_1",
            "status": "completed",
            "call_id": "call_1",
            "name": "exec",
            "input": "text('hi')",
        },
        {
            "type": "custom_tool_call_output",
            "id": "ctco_1",
            "call_id": "call_1",
            "output": [{"type": "input_text", "text": "hi"}],
        },
        parallel_tool_calls=False,
        reasoning={"effort": "low", "context": "all_turns"},
        **COMMON,
    )
    messages = call.body["messages"]
    assert messages[:3] == HEAD
    assert called(messages[3]) == [("call_1", "functions__exec", {"input": "text('hi')"})]
    assert messages[4]["content"] == "hi"
    restored = [call.names.restore(tool["function"]["name"]) for tool in call.body["tools"]]
    assert restored == [
        ToolName("custom", "exec", "functions"),
        ToolName("function", "wait", "functions"),
        ToolName("function", "sleep", "clock"),
    ]
    assert call.body["parallel_tool_calls"] is False
    assert call.dropped == ()
