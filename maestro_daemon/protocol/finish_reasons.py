"""What an upstream's finish reason makes of the answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from maestro_daemon.errors import UpstreamBroken

_INCOMPLETE: Final[Mapping[str, str]] = {
    "length": "max_output_tokens",
    "max_tokens": "max_output_tokens",
    "max_output_tokens": "max_output_tokens",
    "model_length": "max_output_tokens",
    "model_context_window_exceeded": "max_output_tokens",
    "content_filter": "content_filter",
    "refusal": "content_filter",
    "safety": "content_filter",
    "recitation": "content_filter",
    "blocklist": "content_filter",
    "prohibited_content": "content_filter",
    "sensitive": "content_filter",
}

_FAILED: Final = frozenset(
    {"error", "abort", "network_error", "insufficient_system_resource", "malformed_function_call"}
)


def incomplete_reason(word: str) -> str | None:
    """The Response's ``incomplete_details.reason``, None for an answer that is complete.

    ``stop``, ``tool_calls``, ``function_call``, ``eos`` and any word not known here end a complete answer,
    whether tools were called is seen from the calls. Raises `UpstreamBroken` for a word that says failure.
    """
    said = word.strip().lower()
    if said in _FAILED:
        raise UpstreamBroken(f"The upstream gave its answer up, with the finish reason {said!r}.")
    return _INCOMPLETE.get(said)
