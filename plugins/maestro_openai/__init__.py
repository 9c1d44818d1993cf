"""The provider kind ``openai``: OpenAI's own API, or anything that speaks its Responses dialect natively."""

from __future__ import annotations

from maestro_daemon.plugin import Register, hookimpl
from maestro_openai.options import OpenAIOptions
from maestro_openai.provider import OpenAIProvider

maestro_api = "1.0"


@hookimpl
def maestro_register_providers(register: Register) -> None:
    """Bring the kind ``openai``."""
    register("openai", OpenAIOptions, OpenAIProvider)
