"""Which ``error.code`` a failed Response bears."""

from __future__ import annotations

from typing import Final

from maestro_daemon.errors import MaestroError

ACTED_ON: Final = frozenset(
    {
        # Codex acts on these although the SDKs' closed set lacks them
        "context_length_exceeded",
        "insufficient_quota",
        "usage_not_included",
        "server_is_overloaded",
        "slow_down",
        "cyber_policy",
        # the SDKs' own set
        "server_error",
        "rate_limit_exceeded",
        "invalid_prompt",
        "data_residency_mismatch",
        "bio_policy",
        "misalignment_policy_violation",
        "vector_store_timeout",
        "invalid_image",
        "invalid_image_format",
        "invalid_base64_image",
        "invalid_image_url",
        "image_too_large",
        "image_too_small",
        "image_parse_error",
        "image_content_policy_violation",
        "invalid_image_mode",
        "image_file_too_large",
        "unsupported_image_media_type",
        "empty_image_file",
        "failed_to_download_image",
        "image_file_not_found",
    }
)
"""Codes that some client acts on: kept as they are."""


def failure_code(error: MaestroError) -> str:
    """A code of the closed set, or one that clients act on; any other becomes the nearest of three."""
    if error.code in ACTED_ON:
        return error.code or "server_error"
    if error.status == 429:
        return "rate_limit_exceeded"
    if error.status in (400, 413, 422):
        return "invalid_prompt"
    return "server_error"
