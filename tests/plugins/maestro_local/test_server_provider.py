"""Servers as a provider sees them: recorded shapes of Ollama, vLLM, LM Studio and SGLang.

llama.cpp itself is asked for real in test_llama_cpp.py.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from maestro_daemon.plugin import (
    CredentialsRefused,
    Model,
    RequestInvalid,
    ResponseRequest,
    Secret,
    UpstreamRefused,
    UpstreamUnreachable,
)
from maestro_local import local_provider
from maestro_local.options import LocalOptions
from maestro_local.server_provider import ServerProvider
from tests.support import native
from tests.support.local_answers import answer_of, events_of, whole_answer
from tests.support.playbook import a_request
from tests.support.recorded_servers import (
    LM_STUDIO,
    LM_STUDIO_0_3,
    LM_STUDIO_CALL,
    OLLAMA,
    OLLAMA_CALL,
    OLLAMA_EMPTY,
    SGLANG,
    SGLANG_CALL,
    TEXT,
    VLLM,
    VLLM_CALL,
    RecordedServer,
    Shape,
    recorded_server,
)

WEATHER = {"type": "function", "name": "get_weather", "parameters": {"type": "object"}}


@asynccontextmanager
async def provider_of(base_url: str, **options: Any) -> AsyncIterator[ServerProvider]:
    provider = local_provider("home", LocalOptions(base_url=base_url, **options))
    assert isinstance(provider, ServerProvider)
    try:
        yield provider
    finally:
        await provider.aclose()


@asynccontextmanager
async def recorded(shape: Shape, **options: Any) -> AsyncIterator[tuple[RecordedServer, ServerProvider]]:
    async with recorded_server(shape) as server, provider_of(server.base_url, **options) as provider:
        yield server, provider


def windows(models: Any) -> dict[str, int | None]:
    return {model.id: model.context_window for model in models}


@pytest.mark.parametrize(
    ("shape", "listed"),
    [
        (OLLAMA, {"qwen3:8b": 8192, "gemma3:4b": 16384}),
        (OLLAMA_EMPTY, {}),
        (VLLM, {"Qwen/Qwen3-8B": 32768}),
        (SGLANG, {"qwen/qwen2.5-7b-instruct": 65536}),
        (LM_STUDIO, {"qwen/qwen3.5-9b": 4096, "google/gemma-3-4b": 131072}),
        (LM_STUDIO_0_3, {"qwen/qwen3.5-9b": 4096, "google/gemma-3-4b": 131072}),
    ],
    ids=["Ollama", "Ollama without models", "vLLM", "SGLang", "LM Studio 0.4", "LM Studio 0.3"],
)
async def test_chat_models_are_listed_with_the_window_that_is_in_use(
    shape: Shape, listed: dict[str, int]
) -> None:
    async with recorded(shape) as (_, provider):
        assert windows(await provider.models()) == listed


async def test_ollama_tells_what_its_models_can_do() -> None:
    async with recorded(OLLAMA) as (_, provider):
        qwen, gemma = await provider.models()
    assert (qwen.tools, qwen.vision, qwen.reasoning_efforts) == (True, False, ("low", "medium", "high"))
    assert (gemma.tools, gemma.vision, gemma.reasoning_efforts) == (False, True, ())
    assert qwen.details["trained_context"] == 40960


@pytest.mark.parametrize("shape", [LM_STUDIO, LM_STUDIO_0_3], ids=["0.4", "0.3"])
async def test_lm_studio_tells_what_its_models_can_do(shape: Shape) -> None:
    async with recorded(shape) as (_, provider):
        qwen, gemma = await provider.models()
    assert (qwen.tools, qwen.vision) == (True, True)
    assert (gemma.tools, gemma.vision) == (None, False)


async def test_one_malformed_entry_spoils_nothing() -> None:
    broken = {
        "GET /v1/models": {
            "data": [
                7,
                {"id": None},
                {"id": ""},
                {"object": "model"},
                {"id": "good", "max_model_len": "many", "meta": [], "architecture": {"input_modalities": 3}},
                {"id": "better", "max_model_len": -1, "context_length": 4096},
            ]
        }
    }
    async with recorded(broken) as (_, provider):
        assert await provider.models() == [
            Model("good", details={"max_model_len": "many"}),
            Model("better", context_window=4096, details={"max_model_len": -1, "context_length": 4096}),
        ]


async def test_ollama_that_cannot_show_a_model_still_lists_it() -> None:
    shape = {name: said for name, said in OLLAMA.items() if "api/show" not in name and "api/ps" not in name}
    async with recorded(shape) as (_, provider):
        assert windows(await provider.models()) == {
            "qwen3:8b": None,
            "gemma3:4b": None,
            "nomic-embed-text:latest": None,
        }


@pytest.mark.parametrize(
    ("shape", "chunks", "reasoning"),
    [
        (OLLAMA, OLLAMA_CALL, "The user wants the weather."),
        (VLLM, VLLM_CALL, "The user wants the weather."),
        (LM_STUDIO, LM_STUDIO_CALL, "The user wants the weather."),
        (SGLANG, SGLANG_CALL, "The user wants the weather."),
    ],
    ids=["Ollama", "vLLM", "LM Studio", "SGLang"],
)
async def test_reasoning_and_tool_calls_of_every_server_become_items(
    shape: Shape, chunks: Any, reasoning: str
) -> None:
    async with recorded(shape) as (server, provider):
        model = (await provider.models())[0].id
        server.say(*chunks)
        answer = await answer_of(provider, a_request(tools=[WEATHER]).aimed_at(model))
    thought, call = answer["output"]
    assert thought["content"][0]["text"] == reasoning
    assert (call["type"], call["name"]) == ("function_call", "get_weather")
    assert json.loads(call["arguments"]) == {"city": "Paris"}
    assert answer["usage"]["input_tokens"] == 170


async def test_no_server_but_llama_cpp_gets_return_progress() -> None:
    for shape in (OLLAMA, VLLM, LM_STUDIO, SGLANG, {}):
        async with recorded(shape) as (server, provider):
            server.say(*TEXT)
            await answer_of(provider, a_request())
            assert "return_progress" not in server.chats[0]


@pytest.mark.parametrize(
    ("shape", "field"),
    [(OLLAMA, "reasoning"), (VLLM, "reasoning"), (LM_STUDIO, "reasoning_content"), ({}, "reasoning_content")],
    ids=["Ollama", "vLLM", "LM Studio", "unknown"],
)
async def test_earlier_reasoning_goes_back_under_the_servers_own_name(shape: Shape, field: str) -> None:
    items = [
        {"role": "user", "content": "Weather?"},
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [],
            "content": [{"type": "reasoning_text", "text": "Hm."}],
        },
        {"type": "function_call", "call_id": "c1", "name": "get_weather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "sunny"},
    ]
    async with recorded(shape) as (server, provider):
        server.say(*TEXT)
        await answer_of(provider, a_request(input=items, tools=[WEATHER]))
        assistant = next(each for each in server.chats[0]["messages"] if each["role"] == "assistant")
        assert assistant[field] == "Hm."


async def test_the_key_and_headers_go_with_questions_and_chats_and_show_nowhere() -> None:
    async with recorded(VLLM, api_key=Secret("sk-local"), headers={"x-team": "blue"}) as (server, provider):
        server.say(*TEXT)
        await answer_of(provider, a_request())
        for sent in server.headers:
            assert sent["Authorization"] == "Bearer sk-local"
            assert sent["x-team"] == "blue"
        assert "sk-local" not in repr(LocalOptions(base_url=server.base_url, api_key=Secret("sk-local")))


# What each server says of a prompt that does not fit, and with which status.
OVERFLOWS = {
    "vLLM": (
        400,
        {
            "object": "error",
            "message": "This model's maximum context length is 8192 tokens. However, you requested 9000"
            " tokens (8000 in the messages, 1000 in the completion). Please reduce the length of the"
            " messages.",
            "type": "BadRequestError",
            "param": None,
            "code": 400,
        },
    ),
    "vLLM since 0.16": (
        400,
        {
            "error": {
                "message": "You passed 1015 input tokens and requested 10 output tokens. However, the model's"
                " context length is only 1024 tokens, resulting in a maximum input length of 1014 tokens."
                " Please reduce the length of the input prompt. (parameter=input_tokens, value=1015)",
                "type": "BadRequestError",
                "param": "input_tokens",
                "code": 400,
            }
        },
    ),
    "Ollama": (
        400,
        {
            "error": {
                "message": "the input length exceeds the context length",
                "type": "invalid_request_error",
                "param": None,
                "code": None,
            }
        },
    ),
    "Ollama as 500": (
        500,
        {"error": {"message": "input length exceeds maximum context length", "type": "api_error"}},
    ),
    "LM Studio": (
        400,
        {
            "error": "Trying to keep the first 15857 tokens when context the overflows. However, the model is"
            " loaded with context length of only 4096 tokens, which is not enough. Try to load the model with"
            " a larger context length, or provide a shorter input"
        },
    ),
    "LM Studio, newer": (
        400,
        {
            "error": "The number of tokens to keep from the initial prompt is greater than the context"
            " length. Try to load the model with a larger context length, or provide a shorter input"
        },
    ),
    "LM Studio 0.4": (400, {"error": "Cannot truncate prompt with n_keep (15028) >= n_ctx (7424)"}),
    "SGLang": (
        400,
        {
            "object": "error",
            "message": "The input (85050 tokens) is longer than the model's context length (32768 tokens).",
            "type": "BadRequestError",
            "param": None,
            "code": 400,
        },
    ),
    "SGLang, small pool": (
        400,
        {
            "object": "error",
            "message": "Input length (160062 tokens) exceeds the maximum allowed length (59862 tokens).",
            "type": "BadRequestError",
            "code": 400,
        },
    ),
    "SGLang, with the answer": (
        400,
        {
            "object": "error",
            "message": "Requested token count exceeds the model's maximum context length of 32768 tokens.",
            "type": "BadRequestError",
            "code": 400,
        },
    ),
}


@pytest.mark.parametrize("server_name", OVERFLOWS)
async def test_overflow_is_context_length_exceeded_in_the_servers_words(server_name: str) -> None:
    status, body = OVERFLOWS[server_name]
    async with recorded({}) as (server, provider):
        server.refuse(status, body)
        with pytest.raises(UpstreamRefused) as refusal:
            await answer_of(provider, a_request())
    error = body.get("error", body)
    assert (refusal.value.status, refusal.value.code) == (400, "context_length_exceeded")
    assert refusal.value.message == (error if isinstance(error, str) else error["message"])


@pytest.mark.parametrize(
    "words",
    [
        "Context size has been exceeded.",  # llama.cpp, when slots that share one cache have filled it
        OVERFLOWS["LM Studio"][1]["error"],
    ],
    ids=["llama.cpp", "LM Studio"],
)
async def test_overflow_inside_the_stream_is_the_same_refusal(words: str) -> None:
    async with recorded({}) as (server, provider):
        server.say(TEXT[0], {"error": {"code": 500, "message": words, "type": "server_error"}})
        with pytest.raises(UpstreamRefused) as refusal:
            await answer_of(provider, a_request())
    assert (refusal.value.status, refusal.value.code) == (400, "context_length_exceeded")


async def test_a_loading_server_asks_to_be_asked_again_soon() -> None:
    async with recorded({}) as (server, provider):
        server.refuse(503, {"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}})
        with pytest.raises(UpstreamRefused, match="Loading model") as refusal:
            await answer_of(provider, a_request())
    assert (refusal.value.status, refusal.value.retry_after) == (503, 1.0)


async def test_a_lack_of_the_model_is_not_the_clients_fault() -> None:
    async with recorded({}) as (server, provider):
        server.refuse(
            400, {"error": {"message": "gemma3:4b does not support tools", "type": "invalid_request_error"}}
        )
        with pytest.raises(UpstreamRefused) as refusal:
            await answer_of(provider, a_request(tools=[WEATHER]))
    assert (refusal.value.status, refusal.value.code) == (400, "unsupported_tools")


@pytest.mark.parametrize(
    "words",
    ['"qwen3-coder:30b" does not support thinking', 'think value "medium" is not supported for this model'],
)
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "json"])
async def test_an_effort_that_the_model_refuses_is_left_out_from_then_on(words: str, stream: bool) -> None:
    request = a_request(reasoning={"effort": "medium"})
    async with recorded({}) as (server, provider):
        server.refuse(400, {"error": {"message": words, "type": "invalid_request_error"}})
        server.say(*TEXT)
        server.say(*TEXT)
        for _ in range(2):
            answer = await answer_of(provider, request) if stream else await whole_answer(provider, request)
            assert answer["output"][0]["content"][0]["text"] == "Hello"
        assert [chat.get("reasoning_effort") for chat in server.chats] == ["medium", None, None]


async def test_a_refused_effort_is_tried_without_only_once() -> None:
    async with recorded({}) as (server, provider):
        for _ in range(2):
            server.refuse(400, {"error": {"message": "m does not support thinking"}})
        with pytest.raises(UpstreamRefused, match="does not support thinking"):
            await answer_of(provider, a_request(reasoning={"effort": "low"}))
        assert len(server.chats) == 2


async def test_what_a_listed_model_cannot_take_is_not_sent() -> None:
    async with recorded(OLLAMA) as (server, provider):
        await provider.models()
        server.say(*TEXT)
        await answer_of(
            provider, a_request(tools=[WEATHER], reasoning={"effort": "high"}).aimed_at("gemma3:4b")
        )
        assert server.chats[0].keys().isdisjoint({"tools", "reasoning_effort"})
        with pytest.raises(RequestInvalid, match="tool_choice"):
            await answer_of(
                provider, a_request(tools=[WEATHER], tool_choice="required").aimed_at("gemma3:4b")
            )


async def test_questions_never_hold_a_request_up_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maestro_local.server_provider._PATIENCE", 0.01)
    async with recorded(VLLM) as (server, provider):
        server.stalled.add("GET /v1/models")
        server.say(*TEXT)
        answer = await answer_of(provider, a_request())
        assert answer["status"] == "completed"


async def test_a_server_is_asked_once_what_it_is_not_with_every_request() -> None:
    async with recorded(VLLM) as (server, provider):
        for _ in range(3):
            server.say(*TEXT)
            await answer_of(provider, a_request())
        assert server.asked.count("GET /v1/models") == 1


async def test_a_server_that_says_nothing_about_itself_is_not_asked_with_every_request() -> None:
    async with recorded({}) as (server, provider):
        for _ in range(3):
            server.say(*TEXT)
            await answer_of(provider, a_request())
        assert server.asked.count("GET /v1/models") == 1


async def test_another_server_at_the_same_place_is_noticed() -> None:
    async with recorded(VLLM) as (server, provider):
        assert windows(await provider.models()) == {"Qwen/Qwen3-8B": 32768}
        server.shape = OLLAMA
        assert windows(await provider.models()) == {"qwen3:8b": 8192, "gemma3:4b": 16384}
        server.say(*TEXT)
        await answer_of(provider, a_request(reasoning={"effort": "low"}).aimed_at("qwen3:8b"))
        assert "chat_template_kwargs" not in server.chats[0]


async def test_a_server_that_is_not_there_is_unreachable(unused_tcp_port: int) -> None:
    async with provider_of(f"http://127.0.0.1:{unused_tcp_port}/v1") as provider:
        with pytest.raises(UpstreamUnreachable, match="home cannot be reached"):
            await provider.models()
        with pytest.raises(UpstreamUnreachable, match="home cannot be reached"):
            await answer_of(provider, a_request())


async def test_wrong_credentials_are_told_as_such() -> None:
    async with recorded({}) as (server, provider):
        server.refuse(401, {"error": {"message": "Invalid API Key", "code": 401}})
        with pytest.raises(CredentialsRefused):
            await answer_of(provider, a_request())


async def test_closing_while_the_server_is_asked_leaves_nothing_behind() -> None:
    async with recorded_server(VLLM) as server:
        server.stalled |= {"GET /v1/models", "POST /v1/chat/completions"}
        provider = local_provider("home", LocalOptions(base_url=server.base_url))
        asking = asyncio.create_task(answer_of(provider, a_request()))
        while not server.asked:  # noqa: ASYNC110  (the server notes it a few steps later)
            await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await provider.aclose()


async def test_only_a_server_on_this_machine_is_known_to_cost_nothing() -> None:
    async with provider_of("http://127.0.0.1:1/v1") as here, provider_of("https://llm.example/v1") as there:
        assert here.unmetered_rank() == 0
        assert there.unmetered_rank() is None


async def test_llama_cpps_own_responses_get_every_digit_beside_its_own_field() -> None:
    sent: list[Any] = []
    answer = native.response(status="completed", output=[native.message("Hello")])
    llama_cpp: Shape = {
        "GET /v1/models": {"data": [{"id": "m", "owned_by": "llamacpp"}]},
        "POST /v1/responses": lambda said: sent.append(said) or answer,
    }
    big = 2**70 + 1  # no float is equal to it
    raw = b'{"model":"m","input":"Hi","stream":true,"seed":%d}' % big
    body = {**json.loads(raw), "seed": float(big)}  # as the edge reads it
    request = ResponseRequest(body, "m", "m", stream=True, text=raw)
    async with recorded(llama_cpp, dialect="responses") as (_, provider):
        assert [event.type for event in await events_of(provider, request)][1:] == ["response.done"]
    assert sent == [{**json.loads(raw), "return_progress": True}]


async def test_a_base_url_without_a_path_means_v1() -> None:
    async with recorded(VLLM) as (server, _), provider_of(server.base_url.removesuffix("/v1")) as provider:
        server.say(*TEXT)
        await answer_of(provider, a_request())
        assert server.asked == ["GET /v1/models", "POST /v1/chat/completions"]
