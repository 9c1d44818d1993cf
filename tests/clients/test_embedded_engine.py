"""The official openai package through a real daemon with SmolLM2 in its embedded engine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Literal

import openai
import pytest
import pytest_asyncio
from openai import AsyncOpenAI
from pydantic import BaseModel

from tests.support.raw_stream import judged
from tests.support.serving import serving_beside

pytestmark = pytest.mark.asyncio(loop_scope="module")

CONFIG = """
[server]
port = 0

[providers.embedded]
kind = "local"
engine = "embedded"
context = 2048
threads = 1
"""
TOOL: Any = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}


class Answer(BaseModel):
    colour: Literal["red", "green", "blue"]
    sure: bool


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def daemon_url(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    async with serving_beside(CONFIG, tmp_path_factory.mktemp("daemon")) as url:
        yield url


async def test_the_first_request_waits_for_the_engine_and_the_default_model_is_smollm2(
    client: AsyncOpenAI,
) -> None:
    response = await client.responses.create(model="auto", input="Say hello.", max_output_tokens=16)
    assert response.output_text.strip()
    assert response.usage is not None
    assert 0 < response.usage.output_tokens <= 16
    assert response.model
    listed = {model.id async for model in client.models.list()}
    assert any("smollm2" in id.lower() and id.startswith("embedded/") for id in listed), listed


async def test_an_answer_cut_at_its_limit_is_incomplete(client: AsyncOpenAI) -> None:
    async with client.responses.stream(
        model="auto", input="Write a long story about a fox.", max_output_tokens=16, temperature=0
    ) as stream:
        events = [event async for event in stream]
    ended = events[-1]
    assert ended.type == "response.incomplete"
    assert ended.response.status == "incomplete"
    assert ended.response.incomplete_details is not None
    assert ended.response.incomplete_details.reason == "max_output_tokens"
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert len(deltas) > 1
    assert "".join(deltas) == ended.response.output_text


async def test_json_and_stream_say_the_same(client: AsyncOpenAI) -> None:
    asked: Any = {"model": "auto", "input": "Count to five.", "max_output_tokens": 24, "temperature": 0}
    whole = await client.responses.create(**asked)
    streamed = [event async for event in await client.responses.create(**asked, stream=True)]
    final: Any = streamed[-1]
    assert final.response.output_text == whole.output_text
    assert final.response.status == whole.status
    assert final.response.usage.output_tokens == whole.usage.output_tokens


async def test_a_whole_stream_is_well_formed(daemon_url: str) -> None:
    response = await judged(daemon_url, model="auto", input="Tell me a joke.", max_output_tokens=40)
    assert response["output"][0]["type"] == "message"


async def test_parse_gives_the_model(client: AsyncOpenAI) -> None:
    asked: Any = {
        "model": "auto",
        "input": "Which colour has the sky?",
        "text_format": Answer,
        "temperature": 0,
    }
    whole = await client.responses.parse(**asked)
    assert isinstance(whole.output_parsed, Answer)
    async with client.responses.stream(**asked) as stream:
        final = await stream.get_final_response()
    assert final.output_parsed == whole.output_parsed


async def test_a_conversation_goes_on_by_reference(client: AsyncOpenAI) -> None:
    first = await client.responses.create(model="auto", input="Say hello.", max_output_tokens=16)
    second = await client.responses.create(
        model="auto",
        input=[
            {"role": "user", "content": "Say hello."},
            {"type": "item_reference", "id": str(first.output[0].id)},
            {"role": "user", "content": "Again."},
        ],
        max_output_tokens=16,
    )
    assert first.usage is not None
    assert second.usage is not None
    # The answer of the first turn is part of the second prompt.
    assert second.usage.input_tokens > first.usage.input_tokens + first.usage.output_tokens


async def test_a_request_that_needs_tools_is_refused_and_told_why(client: AsyncOpenAI) -> None:
    asked: Any = {"model": "auto", "input": "Hi", "tools": [TOOL], "max_output_tokens": 16}
    with pytest.raises(openai.BadRequestError, match="cannot call tools"):
        await client.responses.create(**asked)
    response = await client.responses.create(**asked, tool_choice="none")
    assert [item.type for item in response.output] == ["message"]


async def test_overflow_is_context_length_exceeded(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await client.responses.create(model="auto", input="hello " * 4000)
    assert caught.value.code == "context_length_exceeded"


async def test_a_client_that_leaves_makes_room(client: AsyncOpenAI) -> None:
    for _ in range(6):  # more than the engine works on at once
        stream = await client.responses.create(model="auto", input="Write a long story.", stream=True)
        async for event in stream:
            if event.type == "response.output_text.delta":
                break
        await stream.close()
    response = await client.responses.create(model="auto", input="Hi", max_output_tokens=16)
    assert response.output_text.strip()
