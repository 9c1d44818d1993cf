"""The fake Messages API as Anthropic's own package sees it: in what it answers and in what it refuses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

import anthropic
from anthropic import AsyncAnthropic
from messages_api import KEY, MessagesAPI, model_entry
from scripted_answers import Answer, Refused, call, message_of, redacted, text, thinking

HELLO: list[Any] = [{"role": "user", "content": "Hello"}]
TOOL: Any = {"name": "weather", "input_schema": {"type": "object", "properties": {}}}
ADAPTIVE: Any = {"type": "adaptive"}


@pytest.fixture
async def client(api: MessagesAPI) -> AsyncIterator[AsyncAnthropic]:
    url = api.url.removesuffix("/v1")
    # Made beside the loop, since making one reads files.
    made = await asyncio.to_thread(AsyncAnthropic, base_url=url, api_key=KEY, max_retries=0, timeout=30)
    async with made as client:
        yield client


async def ask(client: AsyncAnthropic, **fields: Any) -> anthropic.types.Message:
    asked: dict[str, Any] = {"model": "claude-test", "max_tokens": 2000, "messages": HELLO, **fields}
    message: anthropic.types.Message = await client.messages.create(**asked)
    return message


async def test_a_stream_adds_up_to_the_message(api: MessagesAPI, client: AsyncAnthropic) -> None:
    script = Answer(
        thinking("Hm."),
        redacted(),
        text("Hello 🌍"),
        call("weather", {"city": "Bern"}),
        call("weather", {}, "toolu_02"),
        usage={"output_tokens": 7, "output_tokens_details": {"thinking_tokens": 3}},
        pieces=3,
        size=5,
    )
    api.play(script)
    async with client.messages.stream(
        model="claude-test", max_tokens=2000, messages=HELLO, tools=[TOOL], thinking=ADAPTIVE
    ) as stream:
        streamed = await stream.get_final_message()
    whole = await ask(client, tools=[TOOL], thinking=ADAPTIVE)
    assert (
        streamed.to_dict()["content"] == whole.to_dict()["content"] == [dict(each) for each in script.blocks]
    )
    assert streamed.stop_reason == whole.stop_reason == "tool_use"
    assert streamed.usage.to_dict() == whole.usage.to_dict() == message_of(script)["usage"]


async def test_the_official_package_can_go_on_with_what_it_got(
    api: MessagesAPI, client: AsyncAnthropic
) -> None:
    api.play(Answer(thinking("Hm."), redacted(), call("weather", {})), Answer(text("Sunny.")))
    first = await ask(client, tools=[TOOL], thinking=ADAPTIVE)
    result = {"type": "tool_result", "tool_use_id": "toolu_01", "content": "sunny"}
    messages = [*HELLO, first.to_param(), {"role": "user", "content": [result]}]
    second = await ask(client, tools=[TOOL], thinking=ADAPTIVE, messages=messages)
    assert second.content[0].to_dict() == {"type": "text", "text": "Sunny."}


async def test_an_error_in_the_stream_is_raised(api: MessagesAPI, client: AsyncAnthropic) -> None:
    api.play(Answer(text("Hel"), error=("overloaded_error", "Overloaded")))
    with pytest.raises(anthropic.APIStatusError, match="overloaded_error"):
        async with client.messages.stream(model="claude-test", max_tokens=9, messages=HELLO) as stream:
            await stream.get_final_message()


@pytest.mark.parametrize(
    ("status", "type", "raised"),
    [
        (400, "invalid_request_error", anthropic.BadRequestError),
        (403, "permission_error", anthropic.PermissionDeniedError),
        (429, "rate_limit_error", anthropic.RateLimitError),
        (500, "api_error", anthropic.InternalServerError),
        (529, "overloaded_error", anthropic.InternalServerError),
    ],
)
async def test_refusals_are_those_that_the_package_knows(
    api: MessagesAPI, client: AsyncAnthropic, status: int, type: str, raised: Any
) -> None:
    api.play(Refused(status, type, "No."))
    with pytest.raises(raised) as refused:
        await ask(client)
    assert refused.value.type == type
    assert refused.value.api_message == "No."


async def test_a_wrong_key_is_refused(api: MessagesAPI) -> None:
    made = await asyncio.to_thread(
        AsyncAnthropic, base_url=api.url.removesuffix("/v1"), api_key="sk-wrong", max_retries=0
    )
    async with made as client:
        with pytest.raises(anthropic.AuthenticationError):
            await ask(client)


async def test_the_list_of_models_has_pages(api: MessagesAPI, client: AsyncAnthropic) -> None:
    api.models = [model_entry(f"claude-{number}") for number in range(5)]
    api.page = 2
    listed = [model async for model in await client.models.list(limit=2)]
    assert [model.id for model in listed] == [f"claude-{number}" for number in range(5)]
    assert listed[0].max_tokens == 64_000
    assert listed[0].capabilities is not None
    assert listed[0].capabilities.thinking.types.adaptive.supported
    assert (await client.models.retrieve("claude-3")).id == "claude-3"
    with pytest.raises(anthropic.NotFoundError):
        await client.models.retrieve("claude-9")


USED = {"role": "assistant", "content": [call("weather", {})]}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_01", "content": "sunny"}
ANSWERED = {"role": "user", "content": [RESULT]}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"messages": []}, "at least one message"),
        ({"messages": [{"role": "user", "content": [text("")]}]}, "non-empty"),
        ({"messages": [{"role": "user", "content": [text(" \n")]}]}, "non-whitespace"),
        ({"messages": [*HELLO, {"role": "assistant", "content": "I"}]}, "must end with a user message"),
        ({"messages": [*HELLO, USED], "tools": [TOOL]}, "must end with a user message"),
        ({"messages": [*HELLO, USED, *HELLO], "tools": [TOOL]}, "without `tool_result`"),
        ({"messages": [ANSWERED], "tools": [TOOL]}, "unexpected `tool_use_id`"),
        (
            {
                "messages": [*HELLO, USED, {"role": "user", "content": [text("a"), RESULT]}],
                "tools": [TOOL],
            },
            "must come first",
        ),
        ({"messages": [*HELLO, USED, ANSWERED, USED, ANSWERED], "tools": [TOOL]}, "must be unique"),
        ({"messages": [*HELLO, USED, ANSWERED]}, "must define tools"),
        ({"tools": [TOOL, TOOL]}, "unique"),
        ({"tools": [{**TOOL, "name": "a.b"}]}, "pattern"),
        ({"tools": [{**TOOL, "input_schema": {"type": "object", "anyOf": []}}]}, "top level"),
        ({"tool_choice": {"type": "auto"}}, "providing tools"),
        ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "other"}}, "not found"),
        ({"tools": [TOOL], "tool_choice": {"type": "any"}, "thinking": ADAPTIVE}, "forces tool use"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "not supported for this model"),
        ({"output_config": {"effort": "xhigh"}}, "not supported by this model"),
        (
            {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
            "additionalProperties",
        ),
        ({"max_tokens": 64_001}, "maximum allowed"),
        ({"model": "claude-none"}, "claude-none"),
        ({"extra_body": {"temperature": 1.0}}, "Extra inputs are not permitted"),
        ({"extra_body": {"store": False}}, "Extra inputs are not permitted"),
        (
            {
                "messages": [
                    *HELLO,
                    {"role": "assistant", "content": [{**thinking("a"), "thinking": "b"}]},
                    *HELLO,
                ]
            },
            "Invalid `signature`",
        ),
        (
            {
                "messages": [
                    *HELLO,
                    {"role": "assistant", "content": [thinking("a"), call("weather", {})]},
                    ANSWERED,
                ],
                "tools": [TOOL],
            },
            "thinking is disabled",
        ),
        ({"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]}, "Field required"),
        (
            {
                "messages": [
                    {"role": "user", "content": [{**text("a"), "cache_control": {"type": "ephemeral"}}] * 5}
                ]
            },
            "maximum of 4",
        ),
    ],
)
async def test_what_the_api_refuses_is_refused(
    api: MessagesAPI, client: AsyncAnthropic, fields: dict[str, Any], said: str
) -> None:
    api.play(Answer(text("Hello")))
    with pytest.raises((anthropic.BadRequestError, anthropic.NotFoundError)) as refused:
        await ask(client, **fields)
    assert said in str(refused.value.api_message)


async def test_a_budget_wants_thinking_at_the_head_of_the_loop(
    api: MessagesAPI, client: AsyncAnthropic
) -> None:
    types = {
        kind: {"supported": kind != "adaptive"}
        for kind in ("adaptive", "enabled", "disabled", "between_tools")
    }
    api.models = [model_entry("claude-test", thinking={"supported": True, "types": types})]
    api.play(Answer(text("Sunny.")))
    budget = {"type": "enabled", "budget_tokens": 1024}
    with pytest.raises(anthropic.BadRequestError, match="must start with a thinking block"):
        await ask(client, messages=[*HELLO, USED, ANSWERED], tools=[TOOL], thinking=budget)
    with pytest.raises(anthropic.BadRequestError, match="must be greater than"):
        await ask(client, thinking={"type": "enabled", "budget_tokens": 2000})
