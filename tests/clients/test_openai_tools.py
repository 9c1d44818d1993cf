"""The official openai package through a real daemon: tool loops, images, reasoning, references."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai import AsyncOpenAI, pydantic_function_tool
from pydantic import BaseModel

from tests.support import chat
from tests.support.codex_upstream import native_custom_call
from tests.support.fake_upstream import FakeUpstream, Stream
from tests.support.upstream_kinds import NATIVE, TRANSLATED, Call, Kind, both

pytestmark = pytest.mark.asyncio(loop_scope="module")

PICTURE = "data:image/png;base64,iVBORw0KGgo="
TOOL: Any = {
    "type": "function",
    "name": "weather",
    "description": "Tells the weather.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}
OSLO = Call("weather", '{"city": "Oslo"}', "call_oslo")
ROME = Call("weather", '{"city": "Rome"}', "call_rome")
DEGREES = {"Oslo": "3", "Rome": "23"}


async def looped(client: AsyncOpenAI, model: str, *, stream: bool) -> tuple[str, list[Any]]:
    """Ask until there is nothing to call; the last text, and the whole input of the last request."""
    items: list[Any] = [{"role": "user", "content": "How warm is it?"}]
    while True:
        if stream:
            async with client.responses.stream(model=model, input=items, tools=[TOOL], store=False) as events:
                response: Any = await events.get_final_response()
        else:
            response = await client.responses.create(model=model, input=items, tools=[TOOL], store=False)
        items += [item.to_dict() for item in response.output]
        calls = [item for item in response.output if item.type == "function_call"]
        if not calls:
            return response.output_text, items
        for call in calls:
            degrees = DEGREES[json.loads(call.arguments)["city"]]
            items.append({"type": "function_call_output", "call_id": call.call_id, "output": degrees})


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
@both
async def test_a_loop_of_one_call(
    client: AsyncOpenAI, scripted: FakeUpstream, kind: Kind, stream: bool
) -> None:
    if stream:
        scripted.play(Stream(*kind.calls(OSLO)), Stream(*kind.text("3 ", "degrees")))
    else:
        scripted.play(kind.whole_calls(OSLO), kind.whole("3 ", "degrees"))
    text, items = await looped(client, kind.model, stream=stream)
    assert text == "3 degrees"
    assert [item.get("type") for item in items[1:]] == ["function_call", "function_call_output", "message"]
    assert kind.outputs(scripted) == {"call_oslo": "3"}


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
@both
async def test_a_loop_of_parallel_calls(
    client: AsyncOpenAI, scripted: FakeUpstream, kind: Kind, stream: bool
) -> None:
    if stream:
        scripted.play(Stream(*kind.calls(OSLO, ROME)), Stream(*kind.text("3 ", "and 23")))
    else:
        scripted.play(kind.whole_calls(OSLO, ROME), kind.whole("3 ", "and 23"))
    text, _ = await looped(client, kind.model, stream=stream)
    assert text == "3 and 23"
    assert kind.outputs(scripted) == {"call_oslo": "3", "call_rome": "23"}


async def test_a_chat_server_sees_its_calls_as_it_made_them(
    client: AsyncOpenAI, scripted: FakeUpstream
) -> None:
    scripted.play(TRANSLATED.whole_calls(OSLO, ROME), TRANSLATED.whole("3 and 23"))
    await looped(client, TRANSLATED.model, stream=False)
    user, assistant, *tools = scripted.requests[-1].body["messages"]
    assert user == {"role": "user", "content": "How warm is it?"}
    assert [call["id"] for call in assistant["tool_calls"]] == ["call_oslo", "call_rome"]
    assert [call["function"]["arguments"] for call in assistant["tool_calls"]] == [
        OSLO.arguments,
        ROME.arguments,
    ]
    assert [tool["tool_call_id"] for tool in tools] == ["call_oslo", "call_rome"]
    (tool,) = scripted.requests[-1].body["tools"]
    assert tool["function"] == {key: value for key, value in TOOL.items() if key != "type"}


class WhereArguments(BaseModel):
    city: str


@both
async def test_calls_of_pydantic_tools_are_parsed(
    client: AsyncOpenAI, scripted: FakeUpstream, kind: Kind
) -> None:
    scripted.play(Stream(*kind.calls(Call("Where", '{"city": "Oslo"}'))))
    chat_tool = pydantic_function_tool(WhereArguments, name="Where")
    tool: Any = {"type": "function", **chat_tool["function"]}
    async with client.responses.stream(model=kind.model, input="Hi", tools=[tool]) as stream:
        arguments = [
            event.snapshot async for event in stream if event.type == "response.function_call_arguments.delta"
        ]
        final = await stream.get_final_response()
    assert arguments[-1] == '{"city": "Oslo"}'
    (call,) = final.output
    assert call.type == "function_call"
    assert call.arguments == '{"city": "Oslo"}'


@both
async def test_a_custom_tool_is_called_with_raw_input(
    client: AsyncOpenAI, scripted: FakeUpstream, kind: Kind
) -> None:
    if kind is NATIVE:
        scripted.play(Stream(*native_custom_call("patch", '*** Begin\n"x"')))
    else:
        scripted.play(Stream(*TRANSLATED.calls(Call("patch", json.dumps({"input": '*** Begin\n"x"'})))))
    tool: Any = {"type": "custom", "name": "patch", "description": "Takes a patch."}
    async with client.responses.stream(model=kind.model, input="Hi", tools=[tool]) as stream:
        pieces = [
            event.delta async for event in stream if event.type == "response.custom_tool_call_input.delta"
        ]
        final = await stream.get_final_response()
    (call,) = final.output
    assert call.type == "custom_tool_call"
    assert call.input == "".join(pieces) == '*** Begin\n"x"'
    assert len(pieces) > 1


@both
async def test_images_in_messages_and_in_outputs_arrive(
    client: AsyncOpenAI, scripted: FakeUpstream, kind: Kind
) -> None:
    scripted.play(kind.whole("a dot"))
    image: Any = {"type": "input_image", "image_url": PICTURE, "detail": "auto"}
    await client.responses.create(
        model=kind.model,
        input=[
            {"role": "user", "content": [{"type": "input_text", "text": "look"}, image]},
            {"type": "function_call", "name": "shot", "arguments": "{}", "call_id": "call_1"},
            {
                "type": "function_call_output",
                "call_id": "call_1",
                "output": [{"type": "input_text", "text": "here"}, image],
            },
        ],
    )
    sent = scripted.requests[0].body
    if kind is NATIVE:
        assert sent["input"][0]["content"][1] == image
        assert sent["input"][2]["output"][1] == image
        return
    user, assistant, tool, after = sent["messages"]
    assert [part["type"] for part in user["content"]] == ["text", "image_url"]
    assert user["content"][1]["image_url"]["url"] == PICTURE
    assert assistant["tool_calls"][0]["function"]["name"] == "shot"
    assert (tool["role"], tool["content"]) == ("tool", "here")
    assert after["role"] == "user"
    assert after["content"][-1]["image_url"]["url"] == PICTURE


async def test_reasoning_of_a_chat_server_is_an_item_that_returns_to_it(
    client: AsyncOpenAI, scripted: FakeUpstream
) -> None:
    thought = [{"reasoning_content": "Let me "}, {"reasoning_content": "think."}]
    scripted.play(
        Stream(*chat.chunks(*thought, *chat.call("weather", OSLO.pieces, call_id="call_oslo"))),
        Stream(*chat.text("3 degrees")),
    )
    text, items = await looped(client, TRANSLATED.model, stream=True)
    assert text == "3 degrees"
    assert [item.get("type") for item in items[1:3]] == ["reasoning", "function_call"]
    assert items[1]["content"] == [{"type": "reasoning_text", "text": "Let me think."}]
    (assistant,) = [each for each in scripted.requests[-1].body["messages"] if each["role"] == "assistant"]
    assert assistant["tool_calls"][0]["id"] == "call_oslo"
    assert "Let me think." in assistant.values()


@both
async def test_references_to_items_sent_earlier_are_followed(
    client: AsyncOpenAI, scripted: FakeUpstream, kind: Kind
) -> None:
    scripted.play(kind.whole("Hello"), kind.whole("Again"))
    first = await client.responses.create(model=kind.model, input="Hi")
    reference: Any = {"type": "item_reference", "id": first.output[0].id}
    await client.responses.create(
        model=kind.model,
        input=[{"role": "user", "content": "Hi"}, reference, {"role": "user", "content": "?"}],
    )
    sent = scripted.requests[-1].body
    if kind is NATIVE:
        assert sent["input"][1] == reference
    else:
        assert [(each["role"], each["content"]) for each in sent["messages"]] == [
            ("user", "Hi"),
            ("assistant", "Hello"),
            ("user", "?"),
        ]


async def test_a_response_is_continued_by_the_id_that_its_client_knows(
    client: AsyncOpenAI, scripted: FakeUpstream
) -> None:
    scripted.play(Stream(*NATIVE.text("Hello")), NATIVE.whole("Again"))
    async with client.responses.stream(model=NATIVE.model, input="Hi") as stream:
        first = await stream.get_final_response()
    assert first.id != "resp_upstream"
    second = await client.responses.create(model=NATIVE.model, input="?", previous_response_id=first.id)
    assert second.previous_response_id == first.id
    assert scripted.requests[-1].body["previous_response_id"] == "resp_upstream"
