"""Tools and tool_choice → chat. Named after the rows of the mapping."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from maestro_daemon.protocol.chat_request import ChatDialect
from maestro_daemon.protocol.tool_names import ToolName
from tests.support.chat_items import USER, refused
from tests.support.chat_oracle import LOCAL, OPENAI, translate

EMPTY = {"type": "object", "properties": {}}
LOOK = {"type": "function", "name": "look"}
ADD = {"type": "function", "name": "add", "description": "Adds.", "strict": True, "parameters": EMPTY}
CALC = {"type": "namespace", "name": "mcp__calc", "description": "Sums.", "tools": [ADD]}
GRAMMAR = {"type": "grammar", "syntax": "lark", "definition": "start: patch"}
PATCH = {"type": "custom", "name": "apply_patch", "description": "Edits.", "format": GRAMMAR}
SEARCH = {"type": "web_search", "external_web_access": False, "search_content_types": ["text"]}
FIND = {"type": "tool_search", "execution": "client", "description": "Finds.", "parameters": EMPTY}


def declared(*tools: Any, dialect: ChatDialect = LOCAL) -> list[dict[str, Any]]:
    """The chat tools for these."""
    return translate(USER, tools=list(tools), dialect=dialect).body.get("tools", [])


def names(*tools: Any, **fields: Any) -> list[str]:
    """The flat names that reach the upstream."""
    said = translate(USER, tools=list(tools), **fields).body.get("tools", [])
    return [tool[tool["type"]]["name"] for tool in said]


# functions


def test_a_function_is_nested_with_all_that_it_says() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "number", "encrypted": True}}, "required": ["a"]}
    tool = {"type": "function", "name": "look", "description": "Looks.", "parameters": schema, "strict": True}
    function = {"name": "look", "description": "Looks.", "parameters": schema, "strict": True}
    assert declared(tool) == [{"type": "function", "function": function}]


@pytest.mark.parametrize("strict", [{}, {"strict": None}, {"strict": False}])
def test_strict_is_false_unless_true_was_asked_for(strict: dict[str, Any]) -> None:
    assert declared({**LOOK, **strict})[0]["function"]["strict"] is False


@pytest.mark.parametrize(
    ("parameters", "schema"),
    [
        (None, EMPTY),
        ({}, EMPTY),
        ({"type": "object"}, EMPTY),
        ({"properties": {"a": {}}}, {"type": "object", "properties": {"a": {}}}),
        ({"type": None, "required": []}, {"type": "object", "properties": {}, "required": []}),
    ],
)
def test_parameters_without_type_or_properties_get_them(parameters: Any, schema: dict[str, Any]) -> None:
    assert declared({**LOOK, "parameters": parameters})[0]["function"]["parameters"] == schema


def test_a_description_of_null_is_left_out() -> None:
    assert "description" not in declared({**LOOK, "description": None})[0]["function"]


# custom tools


def test_a_custom_tool_is_a_function_with_one_string_and_its_grammar_in_the_description() -> None:
    function = declared(PATCH)[0]["function"]
    assert function["name"] == "apply_patch"
    assert function["parameters"]["required"] == ["input"]
    assert function["parameters"]["properties"]["input"]["type"] == "string"
    assert function["description"].startswith("Edits.")
    assert "start: patch" in function["description"]


def test_a_custom_tool_is_itself_for_openai() -> None:
    grammar = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: patch"}}
    assert declared(PATCH, dialect=OPENAI) == [
        {"type": "custom", "custom": {"name": "apply_patch", "description": "Edits.", "format": grammar}}
    ]
    text = {"type": "custom", "name": "note", "format": {"type": "text"}}
    assert declared(text, {"type": "custom", "name": "plain"}, dialect=OPENAI) == [
        {"type": "custom", "custom": {"name": "note", "format": {"type": "text"}}},
        {"type": "custom", "custom": {"name": "plain"}},
    ]


def test_only_what_was_declared_custom_comes_back_as_custom() -> None:
    call = translate(USER, tools=[PATCH, LOOK])
    assert call.names.restore("apply_patch") == ToolName("custom", "apply_patch")
    assert call.names.restore("look") == ToolName("function", "look")
    as_function = translate(USER, tools=[{"type": "function", "name": "apply_patch"}])
    assert as_function.names.restore("apply_patch") == ToolName("function", "apply_patch")


# namespaces


def test_a_namespace_is_flat_functions_whose_names_lead_back() -> None:
    call = translate(USER, tools=[CALC])
    function = call.body["tools"][0]["function"]
    assert function["name"] == "mcp__calc__add"
    assert function["strict"] is True
    assert call.names.restore("mcp__calc__add") == ToolName("function", "add", "mcp__calc")


def test_the_description_of_a_namespace_prefixes_its_members() -> None:
    assert declared(CALC)[0]["function"]["description"] == "Sums.\n\nAdds."
    assert declared({**CALC, "description": " "})[0]["function"]["description"] == "Adds."


def test_a_namespace_holds_custom_tools_and_what_is_unknown_in_it_is_dropped_by_name() -> None:
    namespace = {"type": "namespace", "name": "functions", "tools": [{**PATCH, "name": "exec"}, SEARCH, CALC]}
    call = translate(USER, tools=[namespace])
    assert call.names.restore("functions__exec") == ToolName("custom", "exec", "functions")
    assert call.dropped == ("tools[0].tools[1]: web_search", "tools[0].tools[2]: namespace")


def test_colliding_and_long_names_are_legal_unique_and_lead_back() -> None:
    tools = [
        {"type": "function", "name": "mcp__calc__add"},
        CALC,
        {"type": "custom", "name": "mcp__calc__add"},
        {"type": "namespace", "name": "n" * 60, "tools": [{**ADD, "name": "a.b"}, {**ADD, "name": "a_b"}]},
    ]
    call = translate(USER, tools=tools)
    restored = [call.names.restore(tool["function"]["name"]) for tool in call.body["tools"]]
    assert restored == [
        ToolName("function", "mcp__calc__add"),
        ToolName("function", "add", "mcp__calc"),
        ToolName("custom", "mcp__calc__add"),
        ToolName("function", "a.b", "n" * 60),
        ToolName("function", "a_b", "n" * 60),
    ]


# tool_search, additional_tools


def test_tool_search_of_the_client_is_a_function_and_comes_back_as_itself() -> None:
    call = translate(USER, tools=[FIND])
    assert call.body["tools"][0]["function"]["name"] == "tool_search"
    assert call.body["tools"][0]["function"]["description"] == "Finds."
    assert call.names.restore("tool_search") == ToolName("tool_search", "tool_search")


def test_tool_search_of_the_server_is_dropped_since_all_tools_are_sent() -> None:
    deferred = {**LOOK, "defer_loading": True}
    call = translate(USER, tools=[{"type": "tool_search"}, deferred])
    assert call.body["tools"] == declared(LOOK)
    assert call.dropped == ("tools[0]: tool_search",)


def test_additional_tools_are_hoisted_and_a_tool_declared_twice_is_sent_once() -> None:
    item = {"type": "additional_tools", "role": "developer", "tools": [CALC, LOOK]}
    call = translate(item, USER, item, tools=[LOOK])
    assert [tool["function"]["name"] for tool in call.body["tools"]] == ["look", "mcp__calc__add"]


def test_what_additional_tools_cannot_say_is_named_by_its_path() -> None:
    call = translate(USER, {"type": "additional_tools", "role": "developer", "tools": [SEARCH]})
    assert call.dropped == ("input[1].tools[0]: web_search",)


# hosted tools and the client's own

HOSTED = [
    "web_search",
    "web_search_2025_08_26",
    "web_search_preview",
    "file_search",
    "code_interpreter",
    "image_generation",
    "computer",
    "computer_use_preview",
    "mcp",
    "programmatic_tool_calling",
    "acme:telepathy",
]


@pytest.mark.parametrize("kind", HOSTED)
def test_hosted_and_unknown_tools_are_dropped_by_name(kind: str) -> None:
    call = translate(USER, tools=[LOOK, {"type": kind}], tool_choice="auto")
    assert [tool["function"]["name"] for tool in call.body["tools"]] == ["look"]
    assert call.dropped == (f"tools[1]: {kind}",)


@pytest.mark.parametrize("kind", ["local_shell", "shell", "apply_patch"])
def test_tools_that_the_client_runs_are_functions_of_their_name(kind: Any) -> None:
    call = translate(USER, tools=[{"type": kind}])
    function = call.body["tools"][0]["function"]
    assert function["name"] == kind
    assert function["description"]
    assert function["parameters"]["properties"]
    assert call.names.restore(kind) == ToolName(kind, kind)


def test_a_shell_in_openais_container_is_a_hosted_tool() -> None:
    assert names({"type": "shell", "environment": {"type": "container_auto"}}) == []
    assert names({"type": "shell", "environment": {"type": "local"}}) == ["shell"]


# tool_choice


@pytest.mark.parametrize("choice", ["none", "auto", "required"])
def test_tool_choice_of_a_word_stays_as_it_is(choice: str) -> None:
    assert translate(USER, tools=[LOOK], tool_choice=choice).body["tool_choice"] == choice


def test_tool_choice_is_left_out_where_the_request_has_none() -> None:
    assert "tool_choice" not in translate(USER, tools=[LOOK]).body


@pytest.mark.parametrize("tools", [[], [SEARCH]])
@pytest.mark.parametrize("choice", ["none", "auto"])
def test_tool_choice_and_parallel_tool_calls_go_with_the_last_tool(tools: list[Any], choice: str) -> None:
    body = translate(USER, tools=tools, tool_choice=choice, parallel_tool_calls=True).body
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & body.keys()


@pytest.mark.parametrize(
    ("choice", "name"),
    [
        ({"type": "function", "name": "look"}, "look"),
        ({"type": "function", "name": "add"}, "mcp__calc__add"),
        ({"type": "function", "name": "add", "namespace": "mcp__calc"}, "mcp__calc__add"),
        ({"type": "custom", "name": "apply_patch"}, "apply_patch"),
        ({"type": "tool_search"}, "tool_search"),
        ({"type": "shell"}, "shell"),
    ],
)
def test_tool_choice_of_a_tool_is_nested(choice: dict[str, str], name: str) -> None:
    body = translate(USER, tools=[LOOK, CALC, PATCH, FIND, {"type": "shell"}], tool_choice=choice).body
    assert body["tool_choice"] == {"type": "function", "function": {"name": name}}


def test_tool_choice_of_a_custom_tool_is_custom_for_openai() -> None:
    choice = {"type": "custom", "name": "apply_patch"}
    body = translate(USER, tools=[PATCH], tool_choice=choice, dialect=OPENAI).body
    assert body["tool_choice"] == {"type": "custom", "custom": {"name": "apply_patch"}}


@pytest.mark.parametrize(
    "choice",
    [
        {"type": "web_search_preview"},
        {"type": "web_search"},
        {"type": "mcp", "server_label": "x"},
        {"type": "function", "name": "nowhere"},
        {"type": "custom", "name": "nowhere"},
        {"type": "shell"},
        {"type": "programmatic_tool_calling"},
    ],
)
def test_tool_choice_naming_a_tool_that_is_not_there_is_refused(choice: dict[str, str]) -> None:
    error = refused(USER, tools=[LOOK, SEARCH], tool_choice=choice)
    assert (error.status, error.param) == (400, "tool_choice")


@pytest.mark.parametrize("tools", [[], [SEARCH]])
def test_tool_choice_required_without_a_tool_is_refused(tools: list[Any]) -> None:
    assert refused(USER, tools=tools, tool_choice="required").param == "tool_choice"


@pytest.mark.parametrize(
    ("choice", "param"),
    [
        ("always", "tool_choice"),
        (3, "tool_choice"),
        ({}, "tool_choice.type"),
        ({"type": ["function"]}, "tool_choice"),
        ({"type": "function"}, "tool_choice.name"),
        ({"type": "allowed_tools"}, "tool_choice.tools"),
        ({"type": "allowed_tools", "tools": [3]}, "tool_choice.tools[0]"),
        ({"type": "allowed_tools", "tools": [], "mode": "maybe"}, "tool_choice.mode"),
        ({"type": "allowed_tools", "tools": [{"type": "function", "name": "x"}]}, "tool_choice.tools[0]"),
        ({"type": "allowed_tools", "tools": [SEARCH], "mode": "required"}, "tool_choice"),
    ],
)
def test_a_malformed_tool_choice_is_refused_by_its_path(choice: Any, param: str) -> None:
    assert refused(USER, tools=[LOOK, SEARCH], tool_choice=choice).param == param


def allowed(*tools: Any, **fields: Any) -> dict[str, Any]:
    return {"type": "allowed_tools", "tools": list(tools), **fields}


def test_allowed_tools_are_the_only_ones_sent_with_their_mode() -> None:
    choice = allowed({"type": "function", "name": "add"}, mode="required")
    call = translate(USER, tools=[LOOK, CALC], tool_choice=choice)
    assert [tool["function"]["name"] for tool in call.body["tools"]] == ["mcp__calc__add"]
    assert call.body["tool_choice"] == "required"


def test_allowed_tools_limit_the_calls_of_the_answer() -> None:
    for dialect in (LOCAL, OPENAI):
        choice = allowed({"type": "function", "name": "look"})
        call = translate(USER, tools=[LOOK, CALC], tool_choice=choice, dialect=dialect)
        assert call.names.allows("look")
        assert not call.names.allows("mcp__calc__add")
    assert translate(USER, tools=[LOOK, CALC]).names.allows("mcp__calc__add")


def test_allowed_tools_are_openais_own_form_where_the_server_knows_it() -> None:
    choice = allowed({"type": "function", "name": "look"}, {"type": "custom", "name": "apply_patch"})
    body = translate(USER, tools=[LOOK, CALC, PATCH], tool_choice=choice, dialect=OPENAI).body
    assert len(body["tools"]) == 3
    wanted = [
        {"type": "function", "function": {"name": "look"}},
        {"type": "custom", "custom": {"name": "apply_patch"}},
    ]
    assert body["tool_choice"] == {
        "type": "allowed_tools",
        "allowed_tools": {"mode": "auto", "tools": wanted},
    }


def test_allowed_tools_may_name_a_namespace_and_hosted_ones_are_dropped_by_name() -> None:
    choice = allowed({"type": "namespace", "name": "mcp__calc"}, {"type": "web_search"})
    call = translate(USER, tools=[LOOK, CALC, SEARCH], tool_choice=choice)
    assert [tool["function"]["name"] for tool in call.body["tools"]] == ["mcp__calc__add"]
    assert call.dropped == ("tools[2]: web_search", "tool_choice.tools[1]: web_search")


def test_allowed_tools_of_which_none_is_left_allow_no_call() -> None:
    for dialect in (LOCAL, OPENAI):
        call = translate(USER, tools=[LOOK], tool_choice=allowed({"type": "web_search"}), dialect=dialect)
        assert "tools" not in call.body
        assert not call.names.allows("look")


def test_a_model_that_calls_no_tools_gets_none() -> None:
    call = translate(USER, tools=[LOOK], tool_choice="auto", dialect=replace(LOCAL, tools=False))
    assert "tools" not in call.body
    assert call.dropped == ("tools",)


@pytest.mark.parametrize(
    ("tools", "param"),
    [
        ({}, "tools"),
        ([3], "tools[0]"),
        ([{}], "tools[0].type"),
        ([{"type": 3}], "tools[0].type"),
        ([{"type": ["shell"]}], "tools[0].type"),
        ([{"type": "function"}], "tools[0].name"),
        ([{"type": "function", "name": 3}], "tools[0].name"),
        ([{"type": "function", "name": ""}], "tools[0].name"),
        ([{"type": "function", "name": "x", "parameters": "y"}], "tools[0].parameters"),
        ([{"type": "namespace", "tools": []}], "tools[0].name"),
        ([{"type": "namespace", "name": "n", "tools": 3}], "tools[0].tools"),
        ([{"type": "namespace", "name": "n", "tools": [{"type": "custom"}]}], "tools[0].tools[0].name"),
    ],
)
def test_a_malformed_tool_is_refused_by_its_path(tools: Any, param: str) -> None:
    assert refused(USER, tools=tools).param == param
