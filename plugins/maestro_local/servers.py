"""The servers that are told apart, and which one answers at a base URL."""

from __future__ import annotations

import json
from dataclasses import replace
from enum import StrEnum
from typing import Any, Final

from maestro_daemon.plugin import ChatDialect, HttpUpstream, UpstreamBroken, UpstreamRefused


class Server(StrEnum):
    """A server program with ways of its own; OTHER is any else that is OpenAI-compatible."""

    LLAMA_CPP = "llama.cpp"
    OLLAMA = "Ollama"
    VLLM = "vLLM"
    LM_STUDIO = "LM Studio"
    SGLANG = "SGLang"
    OTHER = "other"


_HEADER: Final = "llama.cpp"
_OWNERS: Final = {
    "llamacpp": Server.LLAMA_CPP,
    "vllm": Server.VLLM,
    "sglang": Server.SGLANG,
    "organization_owner": Server.LM_STUDIO,
    "library": Server.OLLAMA,
}
"""``owned_by`` of the entries of ``GET /v1/models``."""


def dialect_of(server: Server, provider: str) -> ChatDialect:
    """The ways of chatting with this server. `provider` is the name of the provider that asks."""
    dialect = ChatDialect(provider=provider)
    match server:
        case Server.LLAMA_CPP:
            # Only a server that writes during the prefill notices that its client left.
            return replace(dialect, extra_body={"return_progress": True})
        case Server.OLLAMA:
            return replace(dialect, reasoning_field="reasoning", thinking_switch=False)
        case Server.VLLM:
            return replace(dialect, reasoning_field="reasoning")
        case Server.LM_STUDIO:
            return replace(dialect, thinking_switch=False)
        case Server.SGLANG | Server.OTHER:
            return dialect


async def identify(root: HttpUpstream, models_path: str) -> Server | None:
    """Ask the server at `root` what it is; None if it did not say enough to be sure.

    Raises `UpstreamUnreachable`. Sends one or two GETs, as slow as the timeouts of `root` allow.
    """
    listed = False
    try:
        async with root.request("GET", models_path) as answer:
            if answer.headers.get("server", "") == _HEADER:
                return Server.LLAMA_CPP
            owner = _owner(json.loads(await root.read(answer)))
            listed = True
        if owner in _OWNERS:
            return _OWNERS[owner]
    except UpstreamRefused as refusal:
        if refusal.headers.get("server", "") == _HEADER:
            return Server.LLAMA_CPP
    except (UpstreamBroken, ValueError, RecursionError):
        pass  # no list of models in JSON
    try:
        said = await root.get_json("/api/version")
    except (UpstreamRefused, UpstreamBroken):
        said = None
    # Its models bear their namespace as owner, and none are listed before the first was pulled.
    if isinstance(said, dict) and isinstance(said.get("version"), str):
        return Server.OLLAMA
    return Server.OTHER if listed else None


def _owner(listing: Any) -> str:
    entries = listing.get("data") if isinstance(listing, dict) else None
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict) and isinstance(entry.get("owned_by"), str):
            return str(entry["owned_by"])
    return ""
