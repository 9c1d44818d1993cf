"""The official openai package through a real daemon to a real llama.cpp server with a tiny random model.

What it says is gibberish bytes, much of it no UTF-8: whatever comes, the daemon's stream must be well formed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
import pytest_asyncio
from openai import AsyncOpenAI

from tests.clients.conftest import make_client
from tests.support.llama_server import LlamaServer, llama_server
from tests.support.raw_stream import judged
from tests.support.serving import serving_beside
from tests.support.tiny_gguf import write_tiny_gguf

pytestmark = pytest.mark.asyncio(loop_scope="module")

CONFIG = """
[server]
port = 0

[providers.home]
kind = "local"
base_url = "{url}"
"""
MODEL = "home/tiny"


@pytest.fixture(scope="module")
def tiny_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_gguf(tmp_path_factory.mktemp("model") / "tiny.gguf")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tiny_gguf: Path) -> AsyncIterator[LlamaServer]:
    async with llama_server(tiny_gguf) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def daemon_url(server: LlamaServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    folder = tmp_path_factory.mktemp("daemon")
    async with serving_beside(CONFIG.format(url=server.base_url), folder) as url:
        yield url


@pytest.mark.parametrize("seed", range(6))
async def test_gibberish_is_a_well_formed_stream(daemon_url: str, seed: int) -> None:
    response = await judged(daemon_url, model=MODEL, input=f"hello {seed}", max_output_tokens=60)
    assert response["status"] in {"completed", "incomplete"}
    assert 0 < response["usage"]["output_tokens"] <= 60


async def test_many_streams_at_once_queue_and_are_all_well_formed(daemon_url: str) -> None:
    async with asyncio.TaskGroup() as group:
        asked = [
            group.create_task(judged(daemon_url, model=MODEL, input=f"hello {number}", max_output_tokens=16))
            for number in range(8)  # the server has two slots
        ]
    assert all(task.result()["usage"]["input_tokens"] > 0 for task in asked)


async def test_the_stream_helper_accumulates_what_it_says(client: AsyncOpenAI) -> None:
    async with client.responses.stream(model=MODEL, input="hello", max_output_tokens=60) as stream:
        events = [event async for event in stream]
    said = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    ended: Any = events[-1]
    assert ended.response.output_text == said


async def test_json_and_stream_say_the_same(client: AsyncOpenAI, daemon_url: str) -> None:
    asked: Any = {"model": MODEL, "input": "hello", "max_output_tokens": 40, "temperature": 0}
    whole = await client.responses.create(**asked)
    streamed = await judged(daemon_url, **asked)
    assert [item.to_dict()["content"] for item in whole.output] == [
        item["content"] for item in streamed["output"]
    ]
    assert whole.status == streamed["status"]


async def test_a_whole_answer_is_resent_and_read_again(client: AsyncOpenAI) -> None:
    items: list[Any] = [{"role": "user", "content": "hello"}]
    first = await client.responses.create(model=MODEL, input=items, max_output_tokens=16)
    items += [item.to_dict() for item in first.output]
    items.append({"role": "user", "content": "again"})
    second = await client.responses.create(model=MODEL, input=items, max_output_tokens=16)
    assert second.usage is not None
    assert second.usage.output_tokens > 0


async def test_its_overflow_is_context_length_exceeded(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await client.responses.create(model=MODEL, input="hello " * 3000, stream=True)
    assert caught.value.code == "context_length_exceeded"


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
async def test_a_client_that_leaves_frees_its_slot(
    client: AsyncOpenAI, server: LlamaServer, stream: bool
) -> None:
    async def answered() -> None:
        answer: Any = await client.responses.create(model=MODEL, input="hello", stream=stream)
        if stream:
            async with answer:
                async for _ in answer:
                    pass

    seen = False
    while not seen:  # gibberish may end before anybody has looked
        asking, looking = asyncio.create_task(answered()), asyncio.create_task(server.until_busy())
        await asyncio.wait({asking, looking}, return_when=asyncio.FIRST_COMPLETED)
        seen = looking.done()
        for task in (asking, looking):
            task.cancel()
        await asyncio.wait({asking, looking})
    await server.until_idle()


async def test_a_server_may_go_and_come_back_between_requests(
    tiny_gguf: Path, tmp_path: Path, unused_tcp_port: int
) -> None:
    async with (
        llama_server(tiny_gguf, port=unused_tcp_port) as server,
        serving_beside(CONFIG.format(url=server.base_url), tmp_path) as url,
        await make_client(url) as client,
    ):
        ask: Any = {"model": MODEL, "input": "hello", "max_output_tokens": 16}
        await client.responses.create(**ask)
        await server.stop()
        with pytest.raises(openai.InternalServerError, match="home"):
            await client.responses.create(**ask)
        async with llama_server(tiny_gguf, port=unused_tcp_port):
            assert (await client.responses.create(**ask)).usage is not None
            await judged(url, **ask)
