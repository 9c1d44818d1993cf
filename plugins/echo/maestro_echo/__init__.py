"""The provider kind ``echo``: a model in this process that says and does what the prompt tells it to."""

from __future__ import annotations

from maestro_daemon.plugin import Register, hookimpl
from maestro_echo.options import EchoOptions
from maestro_echo.provider import EchoProvider

maestro_api = "1.0"


@hookimpl
def maestro_register_providers(register: Register) -> None:
    """Bring the kind ``echo``."""
    register("echo", EchoOptions, EchoProvider)
