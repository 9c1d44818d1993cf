"""The entries of ``GET /v1/models`` that Codex reads, under the key ``models``.

One entry that Codex cannot read voids the whole list for it, and an entry's ``base_instructions`` replace
its own system prompt: so only values that it is known to take are written, and the prompt is a whole one.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from typing import Any, Final

from maestro_daemon.providers.provider import Model

_EFFORTS = {
    "none": "No reasoning",
    "minimal": "Hardly any reasoning, fastest answers",
    "low": "Fast answers with light reasoning",
    "medium": "Balances speed and depth",
    "high": "Deeper reasoning for hard problems",
    "xhigh": "Very deep reasoning for the hardest problems",
    "max": "As much reasoning as the model can do",
}
"""The efforts that Codex knows, in ascending order; one that it does not know would void the list."""

CODING_AGENT_PROMPT: Final = (
    resources.files("maestro_daemon.server").joinpath("prompts/coding_agent.md").read_text("utf-8").strip()
)
"""A whole system prompt for a coding agent; read on import, when no loop is running yet."""

_TOOL_OUTPUT_TOKENS = 10_000
_SMALL_CONTEXT = 64_000


def codex_entry(name: str, *, models: Sequence[Model | None], priority: int) -> dict[str, Any] | None:
    """Codex's ModelInfo for the model name `name`, None if one of its targets cannot call tools.

    `models` are what is known of the targets that the name may be served by (None where nothing is);
    `priority` orders Codex's picker, the lowest first.
    """
    known = [model for model in models if model is not None]
    if any(model.tools is False for model in known):
        return None
    windows = [model.context_window for model in known if model.context_window]
    window = min(windows) if windows else None
    efforts = _common_efforts(known)
    entry: dict[str, Any] = {
        "slug": name,
        "display_name": known[0].name or name if len(known) == 1 == len(models) else name,
        "description": None,
        "default_reasoning_level": _default_effort(efforts),
        "supported_reasoning_levels": [
            {"effort": effort, "description": _EFFORTS[effort]} for effort in efforts
        ],
        "shell_type": "unified_exec",
        "visibility": "list",
        "supported_in_api": True,
        "priority": priority,
        "availability_nux": None,
        "upgrade": None,
        "base_instructions": CODING_AGENT_PROMPT,
        "supports_reasoning_summaries": bool(efforts),
        "support_verbosity": False,
        "default_verbosity": None,
        "apply_patch_tool_type": "freeform",
        "truncation_policy": {"mode": "tokens", "limit": _tool_output_tokens(window)},
        "supports_parallel_tool_calls": True,
        "supports_search_tool": False,
        "use_responses_lite": False,
        "experimental_supported_tools": [],
        "input_modalities": ["text"] if any(model.vision is False for model in known) else ["text", "image"],
    }
    if window is not None:
        entry["context_window"] = window
        entry["max_context_window"] = window
    return entry


def _common_efforts(models: Sequence[Model]) -> list[str]:
    """The efforts that all models take; one that does not say takes any."""
    said = [frozenset(model.reasoning_efforts) for model in models if model.reasoning_efforts]
    if not said:
        return []
    common = frozenset.intersection(*said)
    return [effort for effort in _EFFORTS if effort in common]


def _default_effort(efforts: Sequence[str]) -> str | None:
    if not efforts:
        return None
    return "medium" if "medium" in efforts else efforts[len(efforts) // 2]


def _tool_output_tokens(window: int | None) -> int:
    """How much of one tool's output Codex keeps: a small model would be filled by one command."""
    if window is None or window >= _SMALL_CONTEXT:
        return _TOOL_OUTPUT_TOKENS
    return max(1000, window // 8)
