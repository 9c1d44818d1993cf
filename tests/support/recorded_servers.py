"""Servers that cannot be had as packages: real aiohttp servers that replay what those programs say.

The listings and chunks have the shapes that Ollama, vLLM, LM Studio and SGLang send, with shortened values;
llama.cpp is not here, because tests run the real one (`tests.support.llama_server`).

    async with recorded_server(OLLAMA) as server:
        server.say(*OLLAMA_CALL)              # the next chat answers, as chunks
        server.refuse(400, {...})             # or a refusal
        … server.chats[0] is the body of the first chat request
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web
from aiohttp.test_utils import TestServer

Shape = Mapping[str, Any]
"""``"GET /path"`` → the JSON it answers, or a function of the request's JSON that gives it."""


def _model(id: str, owner: str, **more: Any) -> dict[str, Any]:
    return {"id": id, "object": "model", "created": 1795000000, "owned_by": owner, **more}


_OLLAMA_SHOWN: Final = {
    "qwen3:8b": {
        "capabilities": ["completion", "tools", "thinking"],
        "parameters": 'stop                           "<|im_end|>"\ntop_k                          20',
        "model_info": {"general.architecture": "qwen3", "qwen3.context_length": 40960},
        "details": {"format": "gguf", "family": "qwen3", "quantization_level": "Q4_K_M"},
    },
    "gemma3:4b": {
        "capabilities": ["completion", "vision"],
        "parameters": "num_ctx                        16384\ntemperature                    1",
        "model_info": {"general.architecture": "gemma3", "gemma3.context_length": 131072},
        "details": {"format": "gguf", "family": "gemma3", "quantization_level": "Q4_K_M"},
    },
    "nomic-embed-text:latest": {
        "capabilities": ["embedding"],
        "model_info": {"general.architecture": "nomic-bert", "nomic-bert.context_length": 2048},
        "details": {"format": "gguf", "family": "nomic-bert", "quantization_level": "F16"},
    },
}

OLLAMA: Final[Shape] = {
    "GET /v1/models": {
        "object": "list",
        "data": [_model(name, "library") for name in _OLLAMA_SHOWN],
    },
    "GET /api/version": {"version": "0.40.12"},
    "POST /api/show": lambda asked: _OLLAMA_SHOWN[asked["model"]],
    "GET /api/ps": {
        "models": [{"name": "qwen3:8b", "model": "qwen3:8b", "size_vram": 1, "context_length": 8192}]
    },
}
OLLAMA_EMPTY: Final[Shape] = {
    "GET /v1/models": {"object": "list", "data": None},
    "GET /api/version": {"version": "0.40.12"},
    "GET /api/ps": {"models": []},
}
VLLM: Final[Shape] = {
    "GET /v1/models": {
        "object": "list",
        "data": [
            _model(
                "Qwen/Qwen3-8B", "vllm", root="Qwen/Qwen3-8B", parent=None, max_model_len=32768, permission=[]
            )
        ],
    },
    "GET /version": {"version": "0.19.1"},
}
SGLANG: Final[Shape] = {
    "GET /v1/models": {
        "object": "list",
        "data": [_model("qwen/qwen2.5-7b-instruct", "sglang", root="q", max_model_len=65536)],
    },
    "GET /get_model_info": {"model_path": "qwen/qwen2.5-7b-instruct", "is_generation": True},
}
_LM_STUDIO_LISTED: Final = {
    "data": [
        {"id": "qwen/qwen3.5-9b", "object": "model", "owned_by": "organization_owner"},
        {"id": "google/gemma-3-4b", "object": "model", "owned_by": "organization_owner"},
        {"id": "text-embedding-nomic-embed-text-v1.5", "object": "model", "owned_by": "organization_owner"},
    ],
    "object": "list",
}
LM_STUDIO: Final[Shape] = {
    "GET /v1/models": _LM_STUDIO_LISTED,
    "GET /api/v1/models": {
        "models": [
            {
                "type": "llm",
                "publisher": "qwen",
                "key": "qwen/qwen3.5-9b",
                "display_name": "Qwen3.5 9B",
                "architecture": "qwen35",
                "quantization": {"name": "Q4_K_M", "bits_per_weight": 4},
                "size_bytes": 6548927017,
                "params_string": "9B",
                "loaded_instances": [
                    {"id": "qwen/qwen3.5-9b", "config": {"context_length": 4096, "flash_attention": True}}
                ],
                "max_context_length": 262144,
                "format": "gguf",
                "capabilities": {"vision": True, "trained_for_tool_use": True},
                "description": None,
            },
            {
                "type": "llm",
                "publisher": "google",
                "key": "google/gemma-3-4b",
                "display_name": "Gemma 3 4B",
                "architecture": "gemma3",
                "size_bytes": 3034755901,
                "params_string": "4B",
                "loaded_instances": [],
                "max_context_length": 131072,
                "format": "mlx",
                "capabilities": {"vision": False, "trained_for_tool_use": False},
                "description": None,
            },
            {
                "type": "embedding",
                "key": "text-embedding-nomic-embed-text-v1.5",
                "display_name": "Nomic Embed Text v1.5",
                "loaded_instances": [],
                "max_context_length": 2048,
            },
        ]
    },
}
LM_STUDIO_0_3: Final[Shape] = {
    "GET /v1/models": _LM_STUDIO_LISTED,
    # It answers unknown paths with 200 and a complaint.
    "GET /api/v1/models": {"error": "Unexpected endpoint or method. (GET /api/v1/models)"},
    "GET /api/v0/models": {
        "object": "list",
        "data": [
            {
                "id": "qwen/qwen3.5-9b",
                "object": "model",
                "type": "vlm",
                "publisher": "qwen",
                "arch": "qwen35",
                "compatibility_type": "gguf",
                "quantization": "Q4_K_M",
                "state": "loaded",
                "max_context_length": 262144,
                "loaded_context_length": 4096,
                "capabilities": ["tool_use"],
            },
            {
                "id": "google/gemma-3-4b",
                "object": "model",
                "type": "llm",
                "state": "not-loaded",
                "max_context_length": 131072,
            },
            {
                "id": "text-embedding-nomic-embed-text-v1.5",
                "object": "model",
                "type": "embeddings",
                "state": "not-loaded",
                "max_context_length": 2048,
            },
        ],
    },
}


def _chunk(finish: str | None = None, **delta: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-742",
        "object": "chat.completion.chunk",
        "created": 1795000000,
        "model": "qwen",
        "system_fingerprint": "fp",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }


def _usage(prompt: int, completion: int, **details: Any) -> dict[str, Any]:
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return {**_chunk(), "choices": [], "usage": {**usage, **details}}


def _call(index: int, arguments: str, **head: Any) -> dict[str, Any]:
    function = {name: head.pop(name) for name in ("name",) if name in head}
    return {"index": index, **head, "function": {**function, "arguments": arguments}}


OLLAMA_CALL: Final = (
    _chunk(role="assistant", content="", reasoning="The user wants"),
    _chunk(role="assistant", content="", reasoning=" the weather."),
    _chunk(
        role="assistant",
        content="",
        tool_calls=[_call(0, '{"city":"Paris"}', id="call_k1", type="function", name="get_weather")],
    ),
    _chunk("tool_calls", role="assistant", content=""),
    _usage(170, 40),
)
VLLM_CALL: Final = (
    _chunk(role="assistant", content=""),
    _chunk(reasoning="The user wants"),
    _chunk(reasoning=" the weather."),
    _chunk(tool_calls=[_call(0, "", id="chatcmpl-tool-9f", type="function", name="get_weather")]),
    _chunk(tool_calls=[_call(0, '{"city": ')]),
    _chunk(tool_calls=[_call(0, '"Paris"}')]),
    _chunk("tool_calls", content=""),
    _usage(170, 40, prompt_tokens_details=None),
)
LM_STUDIO_CALL: Final = (
    _chunk(role="assistant", reasoning_content="The user wants"),
    _chunk(reasoning_content=" the weather."),
    _chunk(tool_calls=[_call(0, "", id="365174485", type="function", name="get_weather")]),
    _chunk(tool_calls=[_call(0, '{"city"', type="function")]),
    _chunk(tool_calls=[_call(0, ':"Paris"}', type="function")]),
    _chunk("tool_calls"),
    _usage(170, 40),
)
SGLANG_CALL: Final = (
    _chunk(role="assistant", content="", reasoning_content=None, tool_calls=None),
    _chunk(role=None, content=None, reasoning_content="The user wants the weather.", tool_calls=None),
    _chunk(
        role=None, content=None, tool_calls=[_call(0, "", id="call_d2", type="function", name="get_weather")]
    ),
    _chunk(role=None, content=None, tool_calls=[_call(0, '{"city": "Paris"}', id=None, name=None)]),
    _chunk("tool_calls", role=None, content=None, tool_calls=None),
    _usage(170, 40, prompt_tokens_details={"cached_tokens": 12}),
)
TEXT: Final = (_chunk(role="assistant", content="Hel"), _chunk(content="lo"), _chunk("stop"), _usage(9, 2))


@dataclass
class RecordedServer:
    """A running replay. `asked` holds ``"GET /path"`` of every request, `chats` the bodies of the chats."""

    base_url: str
    shape: Shape
    asked: list[str] = field(default_factory=list)
    chats: list[dict[str, Any]] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    answers: list[tuple[int, Any]] = field(default_factory=list)
    stalled: set[str] = field(default_factory=set)

    def say(self, *chunks: Any) -> None:
        """Answer the next chat with these chunks and ``[DONE]``."""
        self.answers.append((200, chunks))

    def refuse(self, status: int, body: Any) -> None:
        """Refuse the next chat."""
        self.answers.append((status, body))

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        what = f"{request.method} {request.path}"
        self.asked.append(what)
        self.headers.append(dict(request.headers))
        if what in self.stalled:
            await asyncio.Event().wait()
        said = await request.json() if request.can_read_body else None
        if what == "POST /v1/chat/completions":
            self.chats.append(said)
            return await self._chat(request)
        if what not in self.shape:
            return web.Response(status=404, text="404 page not found")
        shaped = self.shape[what]
        return web.json_response(shaped(said) if isinstance(shaped, Callable) else shaped)

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        status, said = self.answers.pop(0)
        if status != 200:
            return web.json_response(said, status=status)
        answer = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await answer.prepare(request)
        for chunk in said:
            await answer.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
        await answer.write(b"data: [DONE]\n\n")
        return answer


@asynccontextmanager
async def recorded_server(shape: Shape) -> AsyncIterator[RecordedServer]:
    """Replay one server's shapes on a port of its own."""
    recorded = RecordedServer("", shape)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", recorded._answer)
    async with TestServer(app) as server:
        recorded.base_url = str(server.make_url("/v1"))
        yield recorded
