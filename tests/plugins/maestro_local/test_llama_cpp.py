"""The provider against a real llama.cpp server with a tiny random model."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from maestro_daemon.plugin import (
    Accepted,
    CredentialsRefused,
    RequestInvalid,
    Secret,
    UpstreamRefused,
    UpstreamUnreachable,
)
from maestro_local import local_provider
from maestro_local.options import LocalOptions
from maestro_local.server_provider import ServerProvider
from tests.support.core import passed
from tests.support.llama_server import LlamaServer, llama_server
from tests.support.local_answers import answer_of, events_of, whole_answer
from tests.support.playbook import a_request

TOOL = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}


@asynccontextmanager
async def provider_of(server: LlamaServer, **options: Any) -> AsyncIterator[ServerProvider]:
    provider = local_provider("home", LocalOptions(base_url=server.base_url, **options))
    assert isinstance(provider, ServerProvider)
    try:
        yield provider
    finally:
        await provider.aclose()


async def test_its_model_is_listed_with_window_and_abilities(tiny_gguf: Path) -> None:
    async with llama_server(tiny_gguf, context=1024) as server, provider_of(server) as provider:
        (model,) = await provider.models()
    assert (model.id, model.context_window, model.tools, model.vision) == ("tiny", 1024, False, False)


async def test_it_streams_whole_valid_answers(tiny_gguf: Path) -> None:
    async with llama_server(tiny_gguf) as server, provider_of(server) as provider:
        for seed in range(3):
            answer = await answer_of(
                provider, a_request(input=f"hello {seed}", max_output_tokens=40).aimed_at("tiny")
            )
            assert answer["status"] in {"completed", "incomplete"}
            assert answer["usage"]["output_tokens"] <= 40
            assert answer["usage"]["input_tokens"] > 0


async def test_requests_one_after_another_survive_its_closed_connections(tiny_gguf: Path) -> None:
    async with llama_server(tiny_gguf) as server, provider_of(server) as provider:
        for _ in range(8):
            whole = await whole_answer(provider, a_request(max_output_tokens=16).aimed_at("tiny"))
            assert whole["object"] == "response"


async def test_a_prefill_stops_when_its_client_leaves(long_gguf: Path, long_prompt: str) -> None:
    async with llama_server(long_gguf, context=131072, parallel=1) as server, provider_of(server) as provider:
        async with aclosing(provider.stream(a_request(input=long_prompt).aimed_at("tiny"))) as events:
            assert isinstance(await anext(events), Accepted)
            await server.until_busy()
        await server.until_idle()  # the whole prompt would take minutes
        await answer_of(provider, a_request(max_output_tokens=16).aimed_at("tiny"))


async def test_generating_stops_when_its_client_leaves(tiny_gguf: Path) -> None:
    async with llama_server(tiny_gguf, context=2048, parallel=1) as server, provider_of(server) as provider:
        async with aclosing(provider.stream(a_request().aimed_at("tiny"))) as events:
            async for event in events:
                if event.type == "response.output_text.delta":
                    break
        await server.until_idle()


async def test_overflow_is_context_length_exceeded_in_its_words(tiny_gguf: Path) -> None:
    async with llama_server(tiny_gguf) as server, provider_of(server) as provider:
        with pytest.raises(UpstreamRefused, match="exceeds the available context size") as refusal:
            await answer_of(provider, a_request(input="hello " * 3000).aimed_at("tiny"))
    assert (refusal.value.status, refusal.value.code) == (400, "context_length_exceeded")


async def test_audio_that_its_model_cannot_hear_is_a_lack_of_the_model(tiny_gguf: Path) -> None:
    sound = {"type": "input_audio", "input_audio": {"data": "aGVsbG8=", "format": "wav"}}
    async with llama_server(tiny_gguf) as server, provider_of(server) as provider:
        with pytest.raises(UpstreamRefused, match="audio input is not supported") as refusal:
            await answer_of(
                provider, a_request(input=[{"role": "user", "content": [sound]}]).aimed_at("tiny")
            )
    assert (refusal.value.status, refusal.value.code) == (400, "unsupported_audio")


async def test_tools_that_its_template_would_drop_are_not_sent_and_never_forced(
    tiny_gguf: Path, logged: list[Any]
) -> None:
    async with llama_server(tiny_gguf) as server, provider_of(server) as provider:
        request = a_request(tools=[TOOL], max_output_tokens=16).aimed_at("tiny")
        await answer_of(provider, request)
        assert [line["dropped"] for line in logged if "dropped" in line] == [["tools"]]
        with pytest.raises(RequestInvalid) as refusal:
            await answer_of(provider, request.aimed_at("tiny", tool_choice="required"))
    assert refusal.value.param == "tool_choice"


async def test_a_key_is_wanted_and_sent(tiny_gguf: Path) -> None:
    async with llama_server(tiny_gguf, api_key="sk-own") as server:
        async with provider_of(server, api_key=Secret("sk-own")) as provider:
            assert [model.id for model in await provider.models()] == ["tiny"]
        async with provider_of(server, api_key=Secret("sk-other")) as provider:
            with pytest.raises(CredentialsRefused):
                await provider.models()
            with pytest.raises(CredentialsRefused):
                await answer_of(provider, a_request().aimed_at("tiny"))


async def test_it_may_go_and_come_back_as_another(tiny_gguf: Path, unused_tcp_port: int) -> None:
    async with llama_server(tiny_gguf, port=unused_tcp_port) as server, provider_of(server) as provider:
        await answer_of(provider, a_request(max_output_tokens=16).aimed_at("tiny"))
        await server.stop()
        with pytest.raises(UpstreamUnreachable):
            await answer_of(provider, a_request(max_output_tokens=16).aimed_at("tiny"))
        async with llama_server(tiny_gguf, port=unused_tcp_port, context=512, alias="new"):
            await answer_of(provider, a_request(max_output_tokens=16).aimed_at("new"))
            (model,) = await provider.models()
            assert (model.id, model.context_window) == ("new", 512)


async def test_requests_beyond_max_concurrent_wait_in_order(tiny_gguf: Path) -> None:
    async with llama_server(tiny_gguf) as server, provider_of(server, max_concurrent=1) as provider:
        ended: list[int] = []

        async def ask(number: int) -> None:
            await answer_of(provider, a_request(max_output_tokens=16).aimed_at("tiny"))
            ended.append(number)

        async with asyncio.TaskGroup() as group:
            for number in range(4):
                group.create_task(ask(number))
        assert ended == [0, 1, 2, 3]


async def test_its_own_responses_dialect_passes_through_where_it_is_asked_for(tiny_gguf: Path) -> None:
    async with llama_server(tiny_gguf) as server, provider_of(server, dialect="responses") as provider:
        request = a_request(max_output_tokens=16).aimed_at("tiny")
        accepted, *events = await events_of(provider, request)
        assert isinstance(accepted, Accepted)
        assert not provider.keeps_responses("tiny")
    told = [json.loads(event.payload) for event in passed(events, request)]
    assert [each["output_index"] for each in told[2:-1]] == [0] * (len(told) - 3)
    (item,) = told[-1]["response"]["output"]
    deltas = [each["delta"] for each in told if each["type"] == "response.output_text.delta"]
    assert "".join(deltas) == item["content"][0]["text"]
