"""A request in plain terms: whatever tools, items and settings a client has, turns and functions remain."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_daemon.errors import RequestInvalid, UpstreamBroken
from maestro_daemon.plugin import (
    AssistantTurn,
    AudioPart,
    Called,
    FilePart,
    Finish,
    ImagePart,
    Inline,
    JsonFormat,
    Linked,
    Retelling,
    SystemTurn,
    TextDelta,
    TextPart,
    Thought,
    ToolCallDelta,
    ToolChoice,
    UserTurn,
    Words,
    retell,
)
from maestro_daemon.protocol.chat_request import chat_call
from maestro_daemon.protocol.compaction import sealed_summary
from maestro_daemon.protocol.sealed_reasoning import seal
from maestro_daemon.protocol.translatable import check_translated
from tests.protocol.test_any_items import ANY_ITEM, SANE_ITEM
from tests.support.chat_items import IMAGE, USER, call, output
from tests.support.chat_oracle import LOCAL, request
from tests.support.core import passed
from tests.support.oracle import check_stream

FUNCTION = {"type": "function", "name": "look", "description": "Looks.", "strict": True}
CUSTOM = {"type": "custom", "name": "patch", "description": "Patches."}
HI = UserTurn((TextPart("hi"),))


def told(*items: Any, **fields: Any) -> Retelling:
    return retell(request(*items, **fields), provider="home")


def names_of(retelling: Retelling) -> list[str]:
    return [tool.name for tool in retelling.tools]


def test_who_says_what_in_which_order() -> None:
    found = told(
        {"role": "developer", "content": "Be kind."},
        USER,
        {
            "role": "assistant",
            "content": [{"type": "output_text", "text": "I "}, {"type": "refusal", "refusal": "No"}],
        },
        call("a", arguments='{"x":1}'),
        output("a"),
        {"role": "assistant", "content": "So."},
        USER,
        instructions="Be good.",
    )
    assert found.turns == (
        SystemTurn("developer", (TextPart("Be good."),)),
        SystemTurn("developer", (TextPart("Be kind."),)),
        HI,
        AssistantTurn((Words("I No"), Called("a", "look", {"x": 1}, (TextPart("seen"),)))),
        AssistantTurn((Words("So."),)),
        HI,
    )
    assert found.dropped == []


def test_calls_find_their_outputs_behind_other_turns() -> None:
    turns = told(call("a"), call("b"), USER, output("b", "2"), output("a", "1")).turns
    assert isinstance(turns[0], AssistantTurn)
    assert [each.output for each in turns[0].said if isinstance(each, Called)] == [
        (TextPart("1"),),
        (TextPart("2"),),
    ]
    assert told(call("a"), USER).turns[0] == AssistantTurn((Called("a", "look", {}, None),))


def test_an_output_of_nothing_is_refused() -> None:
    with pytest.raises(RequestInvalid, match="No tool call found"):
        told(output("a"))


def test_own_reasoning_is_opened_and_that_of_others_is_what_is_in_clear() -> None:
    own = {
        "type": "reasoning",
        "summary": [],
        "encrypted_content": seal("Hm.", provider="home", opaque="sig"),
    }
    other = {**own, "encrypted_content": seal("Hm.", provider="other", opaque="sig")}
    clear = {**other, "summary": [{"type": "summary_text", "text": "Hm?"}]}
    found = told(own, other, clear, call("a"))
    assert isinstance(found.turns[0], AssistantTurn)
    assert found.turns[0].said[:2] == (Thought("Hm.", "sig", "input[0]"), Thought("Hm?", None, "input[2]"))
    assert found.dropped == ["input[1]: reasoning"]


def test_a_summary_stands_for_what_was_before_it() -> None:
    found = told(USER, {"type": "compaction", "encrypted_content": sealed_summary("They met.")}, USER)
    assert isinstance(found.turns[0], UserTurn)
    assert "They met." in str(found.turns[0].parts)
    assert len(found.turns) == 2


def test_parts_are_told_by_where_their_content_is() -> None:
    found = told(
        {
            "role": "user",
            "content": [
                {"type": "input_image", "image_url": IMAGE},
                {"type": "input_image", "image_url": "https://example.com/a.png"},
                {"type": "input_file", "filename": "a.txt", "file_data": "aGk="},
                {"type": "input_file", "file_data": "data:text/plain,h%69"},
                {"type": "input_file", "file_url": "https://example.com/a.pdf"},
                {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
                {"type": "input_video"},
            ],
        }
    )
    where = "input[0].content"
    assert found.turns == (
        UserTurn(
            (
                ImagePart(Inline("image/png", "iVBORw0KGgo="), f"{where}[0]"),
                ImagePart(Linked("https://example.com/a.png"), f"{where}[1]"),
                FilePart(Inline("", "aGk="), "a.txt", f"{where}[2]"),
                FilePart(Inline("text/plain", "aGk="), "", f"{where}[3]"),
                FilePart(Linked("https://example.com/a.pdf"), "", f"{where}[4]"),
                AudioPart("AAAA", "wav", f"{where}[5]"),
            )
        ),
    )
    assert found.dropped == [f"{where}[6]: input_video"]


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ({"type": "input_image", "file_id": "f"}, "file_id"),
        ({"type": "input_image"}, "image_url"),
        ({"type": "input_image", "image_url": "file:///etc/passwd"}, "image_url"),
        ({"type": "input_file", "file_id": "f"}, "file_id"),
        ({"type": "input_file"}, "file_data"),
        ({"type": "input_file", "file_url": "ftp://example.com"}, "file_url"),
    ],
)
def test_content_that_is_not_there_is_refused_and_noted_in_a_tools_output(
    part: dict[str, Any], param: str
) -> None:
    with pytest.raises(RequestInvalid) as refused:
        told({"role": "user", "content": [part]})
    assert refused.value.param == f"input[0].content[0].{param}"
    turn = told(call("a"), output("a", [part])).turns[0]
    assert isinstance(turn, AssistantTurn)
    assert "cannot be shown" in str(turn.said[0])


def test_every_kind_of_tool_is_a_function_under_one_legal_name() -> None:
    found = told(
        {"type": "additional_tools", "role": "developer", "tools": [{**FUNCTION, "name": "late"}]},
        USER,
        tools=[
            FUNCTION,
            CUSTOM,
            {"type": "namespace", "name": "mcp.calc", "tools": [{**FUNCTION, "name": "add"}]},
            {"type": "shell"},
            {"type": "web_search"},
        ],
    )
    assert names_of(found) == ["look", "patch", "mcp_calc__add", "shell", "late"]
    assert [tool.strict for tool in found.tools] == [True, False, True, False, True]
    assert all(tool.parameters["type"] == "object" for tool in found.tools)
    assert found.dropped == ["tools[4]: web_search"]


@pytest.mark.parametrize(
    ("fields", "choice"),
    [
        ({}, ToolChoice()),
        ({"tool_choice": "required"}, ToolChoice("required")),
        ({"tool_choice": "none"}, ToolChoice("none")),
        ({"tool_choice": {"type": "custom", "name": "patch"}}, ToolChoice("required", "patch")),
    ],
)
def test_the_choice_of_tools(fields: dict[str, Any], choice: ToolChoice) -> None:
    assert told(USER, tools=[FUNCTION, CUSTOM], **fields).choice == choice
    assert told(USER).choice is None


def test_settings_are_what_the_conversation_left_them_at() -> None:
    schema = {"type": "object"}
    form = {"type": "json_schema", "name": "a", "schema": schema, "description": "An a."}
    update = {"type": "configuration_update", "reasoning": {"effort": "high"}, "text": {"format": form}}
    found = told(update, USER, reasoning={"effort": "low"}, text={"verbosity": "low"})
    assert (found.effort, found.verbosity) == ("high", "low")
    assert found.format == JsonFormat("a", "An a.", schema)
    assert told(USER, text={"format": {"type": "json_object"}}).format == JsonFormat()
    assert told(USER, text={"format": {"type": "text"}}).format is None


def test_fields_are_those_that_the_house_does_not_deal_with() -> None:
    fields = {"temperature": 0.5, "metadata": {"a": "b"}, "next_year": 1, "user": None, "store": False}
    assert told(USER, **fields).fields == {"temperature": 0.5, "metadata": {"a": "b"}, "next_year": 1}


def test_what_was_dropped_is_bounded() -> None:
    found = told(USER, tools=[{"type": "web_search"}] * 100)
    assert len(found.left_out()) == 32
    assert found.left_out()[-1] == "and 69 more"


def test_a_stored_prompt_is_refused() -> None:
    with pytest.raises(RequestInvalid, match="stored prompts"):
        told(USER, prompt={"id": "p"})


def test_the_reducer_restores_tools_and_seals_for_the_provider() -> None:
    wanted = request(
        USER,
        tools=[{"type": "namespace", "name": "n", "tools": [{"type": "custom", "name": "patch"}]}],
        store=False,
    )
    reducer = retell(wanted, provider="home").reducer()
    events = reducer.feed(ToolCallDelta(0, "c1", "n__patch", '{"input":"raw"}'))
    events += reducer.feed(Finish("tool_calls"))
    response = check_stream(passed([*events, *reducer.finish()], wanted))
    assert response["output"][0]["input"] == "raw"
    assert response["usage"]["input_tokens"] > 0


def test_the_reducer_holds_the_model_to_allowed_tools() -> None:
    allowed = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "look"}]}
    found = told(USER, tools=[FUNCTION, CUSTOM], tool_choice=allowed)
    assert names_of(found) == ["look"]
    with pytest.raises(UpstreamBroken, match="allowed_tools"):
        found.reducer().feed(ToolCallDelta(0, "c1", "patch"))


def test_a_trigger_asks_for_a_summary_and_the_reducer_makes_an_item_of_it() -> None:
    wanted = request(
        USER, {"type": "compaction_trigger"}, tools=[FUNCTION], text={"format": {"type": "json_object"}}
    )
    found = retell(wanted, provider="home")
    assert found.compacts
    assert (found.choice, found.format) == (ToolChoice("none"), None)
    reducer = found.reducer()
    events = [*reducer.feed(TextDelta("They met.")), *reducer.feed(Finish("stop")), *reducer.finish()]
    assert json.loads(events[-1].payload)["response"]["output"][0]["type"] == "compaction"
    with pytest.raises(RequestInvalid, match="nothing before"):
        told({"type": "compaction_trigger"})


@pytest.mark.parametrize("items", [3, ["x"], [{"type": []}]])
def test_what_is_no_list_of_items_is_refused(items: Any) -> None:
    with pytest.raises(RequestInvalid) as refused:
        retell(request(input=items), provider="home")
    assert (refused.value.param or "").startswith("input")


@given(st.lists(ANY_ITEM | SANE_ITEM, max_size=8))
def test_what_chat_completions_can_say_can_be_retold(items: list[Any]) -> None:
    wanted = request(*items, USER)
    try:
        check_translated(wanted)
        chat_call(wanted, LOCAL)
    except RequestInvalid:
        return
    turns = retell(wanted, provider="home").turns
    assert turns[-1] == HI
    assert all(turn.said if isinstance(turn, AssistantTurn) else True for turn in turns)
