"""The provider kind ``anthropic``: Claude, by Anthropic's Messages API or anything that speaks it."""

from __future__ import annotations

from maestro_anthropic.options import AnthropicOptions
from maestro_anthropic.provider import AnthropicProvider
from maestro_daemon.plugin import Register, hookimpl

maestro_api = "1.0"


@hookimpl
def maestro_register_providers(register: Register) -> None:
    """Bring the kind ``anthropic``."""
    register("anthropic", AnthropicOptions, AnthropicProvider)
