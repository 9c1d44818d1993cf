"""Native models through the whole house, against a Copilot that is as hostile as it is said to be."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

import pytest

from tests.support.copilot.served import Served
from tests.support.copilot.turns import Call, Say, Think

TOOLS = [{"type": "function", "name": "add", "parameters": {"type": "object"}, "strict": False}]
USER = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Add."}]}


def output_of(call: dict[str, Any], said: Any = "3") -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call["call_id"], "output": said}


async def test_every_event_of_an_item_bears_one_short_id(served: Served) -> None:
    """copilot.md §7 Ids that rotate."""
    served.copilot.play((Think(), Say("Hel", "lo"), Call("add", '{"a": 1}')))
    ids: dict[int, set[str]] = defaultdict(set)
    events = await served.events()
    for event in events:
        if "output_index" in event:
            ids[event["output_index"]].add(event.get("item_id") or event["item"]["id"])
    final = events[-1]["response"]["output"]
    assert [len(each) for each in ids.values()] == [1, 1, 1]
    assert [{item["id"]} for item in final] == list(ids.values())
    assert [item["id"].partition("_")[0] for item in final] == ["rs", "msg", "fc"]
    assert all(len(item["id"]) <= 64 for item in final)


async def test_ids_are_short_in_json_too(served: Served) -> None:
    """copilot.md §7 Ids that rotate."""
    served.copilot.play((Think(), Say("Hi")))
    answer = await served.ask()
    assert [item["id"].partition("_")[0] for item in answer["output"]] == ["rs", "msg"]
    assert all(len(item["id"]) <= 64 for item in [answer, *answer["output"]])


@pytest.mark.parametrize("streams", [True, False])
async def test_reasoning_goes_back_with_the_id_that_it_was_minted_with(served: Served, streams: bool) -> None:
    """copilot.md §7 Replaying: the id of output_item.done, whatever became of ours."""
    served.copilot.play((Think(), Call("add", "{}")), (Say("3"),))
    first = await (served.final(input=[USER]) if streams else served.ask(input=[USER]))
    thought, call = first["output"]
    del thought["id"]  # some clients drop ids
    second = await served.ask(input=[USER, thought, call, output_of(call)])
    assert second["output"][0]["content"][0]["text"] == "3"
    (ciphertext,) = served.copilot.native.ciphertexts_seen
    sent = next(each for each in served.copilot.requests[-1].body["input"] if each["type"] == "reasoning")
    assert sent["encrypted_content"] == ciphertext
    assert sent["id"] == served.copilot.native.ids_of_ciphertexts[ciphertext]


async def test_ids_of_messages_and_calls_stay_here(served: Served) -> None:
    """copilot.md §7 Replaying: ids of another connection are a 401."""
    served.copilot.play((Think(), Say("So"), Call("add", "{}")), (Say("3"),))
    first = await served.final(input=[{**USER, "id": "msg_client"}])
    history = [{**USER, "id": "msg_client"}, *first["output"]]
    history.append({**output_of(first["output"][-1]), "id": "fco_client"})
    await served.final(input=history)
    sent = served.copilot.requests[-1].body["input"]
    assert [item["type"] for item in sent if "id" in item] == ["reasoning"]
    assert len(served.copilot.requests) == 2


async def test_ciphertext_that_cannot_be_read_any_more_is_left_out_once(served: Served) -> None:
    """copilot.md §7 Replaying: try as is; on exactly this error retry once without ciphertext."""
    served.copilot.play((Think(), Call("add", "{}")), (Say("3"),))
    first = await served.final(input=[USER])
    served.copilot.native.forget_keys()
    thought, call = first["output"]
    second = await served.final(input=[USER, thought, call, output_of(call)])
    assert second["status"] == "completed"
    tried = [[item["type"] for item in each.body["input"]] for each in served.copilot.requests[1:]]
    assert tried == [
        ["message", "reasoning", "function_call", "function_call_output"],
        ["message", "function_call", "function_call_output"],
    ]


async def test_ciphertext_of_nobody_here_is_tried_as_it_is_and_then_left_out(served: Served) -> None:
    """copilot.md §7 Replaying."""
    foreign = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA-foreign"}
    compacted = {"type": "compaction", "id": "cmp_1", "encrypted_content": "gAAAA-foreign"}
    assert (await served.final(input=[compacted, foreign, USER]))["status"] == "completed"
    first, second = served.copilot.requests
    assert first.body["input"][:2] == [compacted, foreign]
    assert [item["type"] for item in second.body["input"]] == ["message"]


async def test_reasoning_without_ciphertext_means_nothing_to_copilot(served: Served) -> None:
    """copilot.md §7 What it takes and refuses: it behaves as store:false."""
    bare = {"type": "reasoning", "id": "rs_1", "summary": [], "content": None, "encrypted_content": None}
    await served.final(input=[bare, USER])
    assert [item["type"] for item in served.copilot.requests[0].body["input"]] == ["message"]


async def test_nothing_is_stored_and_ciphertext_always_asked_for(served: Served) -> None:
    """copilot.md §7 What it takes and refuses: store:true is 400 unsupported_value."""
    await served.ask(store=True)
    await served.ask(include=["message.output_text.logprobs"], input="Hi")
    first, second = [each.body for each in served.copilot.requests]
    assert (first["store"], first["include"]) == (False, ["reasoning.encrypted_content"])
    assert second["include"] == ["message.output_text.logprobs", "reasoning.encrypted_content"]


async def test_fields_and_tools_that_copilot_refuses_are_left_out(
    served: Served, logged: list[dict[str, Any]]
) -> None:
    """copilot.md §7 Refused."""
    inner = {"type": "function", "name": "add", "parameters": {"type": "object"}}
    await served.ask(
        temperature=0.5,
        client_metadata={"session_id": "s"},
        tools=[
            *TOOLS,
            {"type": "web_search", "external_web_access": False},
            {"type": "web_search_preview_2025_03_11"},
            {"type": "code_interpreter", "container": {"type": "auto"}},
            {"type": "namespace", "name": "empty", "description": "Nothing.", "tools": []},
            {"type": "namespace", "name": "mcp__calc", "description": " ", "tools": [inner]},
        ],
        tool_choice="auto",
    )
    body = served.copilot.requests[0].body
    assert not {"temperature", "client_metadata"} & body.keys()
    assert [tool["type"] for tool in body["tools"]] == ["function", "namespace"]
    assert body["tools"][1]["description"] == "mcp__calc"
    (line,) = [each for each in logged if each["event"] == "request fields dropped"]
    assert "temperature" in line["dropped"]
    assert "tools[1]: web_search" in line["dropped"]


async def test_a_tool_that_is_insisted_on_and_refused_is_the_clients_fault(served: Served) -> None:
    """copilot.md §7 Refused."""
    search = {"type": "web_search_preview"}
    status, _, error = await served.refusal(tools=[search], tool_choice=search)
    assert (status, error["param"], error["code"]) == (400, "tool_choice", "unsupported_tool")
    status, _, error = await served.refusal(tools=[search], tool_choice="required")
    assert (status, error["param"]) == (400, "tool_choice")
    assert served.copilot.requests == []


async def test_no_tools_are_left_where_all_are_refused(served: Served) -> None:
    """copilot.md §7 Refused."""
    await served.ask(tools=[{"type": "web_search"}], tool_choice="auto", parallel_tool_calls=True)
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & served.copilot.requests[0].body.keys()


async def test_tools_among_the_items_are_hoisted_and_items_of_refused_tools_left_out(served: Served) -> None:
    """copilot.md §7 Refused: what a refused tool did is no history that Copilot could take."""
    extra = {"type": "additional_tools", "role": "developer", "tools": TOOLS}
    searched = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "other"}}
    await served.ask(input=[extra, searched, USER])
    body = served.copilot.requests[0].body
    assert (body["input"], body["tools"]) == ([USER], TOOLS)


async def test_the_namespace_of_a_call_comes_back_with_it(served: Served) -> None:
    """copilot.md §7 Replaying: it arrives only on output_item.done and must be echoed."""
    served.copilot.play((Call("add", "{}", namespace="mcp__calc"),), (Say("3"),))
    events = await served.house.stream(model="work/gpt-native", input=[USER])
    (call,) = events[-1]["response"]["output"]
    assert (call["name"], call["namespace"]) == ("add", "mcp__calc")
    assert (await served.final(input=[USER, call, output_of(call)]))["status"] == "completed"
    assert served.copilot.requests[-1].body["input"][1]["namespace"] == "mcp__calc"


async def test_what_copilot_says_to_its_own_clients_reaches_no_other(served: Served) -> None:
    """copilot.md §7 Reading the stream: copilot_usage, copilot_quota_snapshots."""
    events = await served.events()
    assert "copilot" not in json.dumps(events).replace("copilot-bound", "")
    assert "copilot" not in json.dumps(await served.ask()).replace("copilot-bound", "")


@pytest.mark.parametrize(
    ("terminal", "status"),
    [
        ("response.done", "completed"),
        ("response.done", "incomplete"),
        ("response.completed", "incomplete"),
        ("response.incomplete", "incomplete"),
    ],
)
async def test_the_status_in_the_last_event_counts(served: Served, terminal: str, status: str) -> None:
    """copilot.md §7 Reading the stream: trust response.status above the event's name."""
    served.copilot.native.terminal = terminal
    served.copilot.native.status = status
    events = (await served.house.stream(model="work/gpt-native"))[-1]
    assert (events["type"], events["response"]["status"]) == (f"response.{status}", status)


async def test_a_failed_response_is_no_success_whatever_its_event_is_called(served: Served) -> None:
    """copilot.md §7 Reading the stream; §7 WebSocket: the code's prefix before ':'."""
    served.copilot.native.terminal = "response.completed"
    served.copilot.native.status = "failed"
    last = (await served.house.stream(model="work/gpt-native"))[-1]
    assert last["type"] == "response.failed"
    assert last["response"]["error"]["code"] == "rate_limit_exceeded"


@pytest.mark.parametrize("in_done_events", [True, False])
async def test_text_that_came_only_in_done_events_is_supplied(served: Served, in_done_events: bool) -> None:
    """copilot.md §7 Reading the stream: append only the missing suffix."""
    served.copilot.native.text_in_deltas = False
    served.copilot.native.text_in_done_events = in_done_events
    served.copilot.play((Say("Hel", "lo"),))
    events = await served.events()
    assert "".join(event["delta"] for event in events if event["type"].endswith("text.delta")) == "Hello"


async def test_a_summary_that_only_the_finished_item_holds_is_told_once(served: Served) -> None:
    """copilot.md §7 Reading the stream: emit it once, not twice."""
    served.copilot.native.summaries_stream = False
    served.copilot.play((Think("Deep."), Say("Hi")))
    events = await served.events()
    assert [event["delta"] for event in events if "summary_text.delta" in event["type"]] == ["Deep."]


async def test_asked_for_more_than_the_model_can_it_is_lowered(served: Served) -> None:
    """copilot.md §6 GET /models: a too large max_output_tokens is a 400; efforts are listed."""
    await served.ask(max_output_tokens=128000, reasoning={"effort": "xhigh", "summary": "auto"})
    await served.ask(max_output_tokens=100, reasoning={"effort": "none"})
    first, second = [each.body for each in served.copilot.requests]
    assert first["max_output_tokens"] == 64000
    assert first["reasoning"] == {"effort": "high", "summary": "auto"}
    assert (second["max_output_tokens"], second["reasoning"]) == (100, {})


async def test_a_native_model_that_cannot_stream_is_not_asked_to(served: Served) -> None:
    """copilot.md §8 POST /chat/completions: models with supports.streaming = false."""
    served.copilot.play((Think(), Say("Hi")))
    events = await served.events("gpt-plain", stream_options={"include_obfuscation": False})
    assert "stream_options" not in served.copilot.requests[0].body
    assert events[-1]["response"]["output"][1]["content"][0]["text"] == "Hi"
    assert served.copilot.requests[0].body["stream"] is False


async def test_a_response_that_is_called_plain_text_is_read(served: Served) -> None:
    """copilot.md §10 Quota, limits, errors: text/plain even when the body is JSON."""
    served.copilot.as_text = True
    assert (await served.ask())["status"] == "completed"
    assert (await served.final("gpt-plain"))["status"] == "completed"
    assert (await served.final("o1-preview"))["status"] == "completed"
