"""Entries of ``GET /models``, good and bad."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Entry = dict[str, Any]

NATIVE = ("/chat/completions", "/responses", "ws:/responses")
CHAT = ("/chat/completions",)


def entry(id: str, endpoints: Sequence[str] | None = NATIVE, **supports: Any) -> Entry:
    """One enabled chat model."""
    said: Entry = {
        "id": id,
        "object": "model",
        "name": id.upper(),
        "vendor": "OpenAI",
        "version": f"{id}-2026-01-01",
        "preview": False,
        "model_picker_enabled": True,
        "policy": {"state": "enabled", "terms": "…"},
        "billing": {"is_premium": True, "multiplier": 1.5},
        "capabilities": {
            "type": "chat",
            "family": id,
            "tokenizer": "o200k_base",
            "limits": {
                "max_context_window_tokens": 400000,
                "max_prompt_tokens": 272000,
                "max_output_tokens": 64000,
            },
            "supports": {
                "streaming": True,
                "tool_calls": True,
                "parallel_tool_calls": True,
                "vision": True,
                "reasoning_effort": ["low", "medium", "high"],
                **supports,
            },
        },
    }
    if endpoints is not None:
        said["supported_endpoints"] = list(endpoints)
    return said


EMBEDDINGS: Entry = {"id": "embed", "capabilities": {"type": "embeddings", "limits": {"max_inputs": 512}}}
DISABLED: Entry = {**entry("claude-disabled", CHAT), "policy": {"state": "disabled"}}

MALFORMED: tuple[Any, ...] = (
    None,
    "gpt-6",
    {},
    {"id": 7},
    {"id": "no-capabilities"},
    {**entry("capabilities-list"), "capabilities": ["chat"]},
    {**entry("limits-text"), "capabilities": {"type": "chat", "limits": "plenty"}},
    {**entry("tokens-text"), "capabilities": {"type": "chat", "limits": {"max_output_tokens": "64k"}}},
    {**entry("endpoints-text"), "supported_endpoints": "/responses"},
    {**entry("endpoints-numbers"), "supported_endpoints": [1]},
    {**entry("policy-text"), "policy": "enabled"},
    entry("efforts-number", reasoning_effort=3),
    entry("vision-text", vision="yes"),
    entry("messages-only", ("/v1/messages",)),
)
"""Entries that cannot be used, each for a reason of its own."""

OFFER: tuple[Entry, ...] = (
    entry("gpt-native"),
    entry("claude-chat", CHAT),
    entry("gpt-5-mini", CHAT),
    entry("old-chat", None, reasoning_effort=None),
    entry("o1-preview", CHAT, streaming=False),
    entry("gpt-plain", ("/responses",), streaming=False),
)
