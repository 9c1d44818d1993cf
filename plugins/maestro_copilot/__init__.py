"""The provider kind ``copilot``: a GitHub Copilot subscription as an upstream."""

from __future__ import annotations

from maestro_copilot.options import CopilotOptions
from maestro_copilot.provider import CopilotProvider
from maestro_daemon.plugin import Register, hookimpl

maestro_api = "1.0"


@hookimpl
def maestro_register_providers(register: Register) -> None:
    """Bring the kind ``copilot``."""
    register("copilot", CopilotOptions, CopilotProvider)
