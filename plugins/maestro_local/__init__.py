"""The provider kind ``local``: any OpenAI-compatible server nearby, or the daemon's own embedded engine."""

from __future__ import annotations

from maestro_daemon.plugin import Provider, Register, hookimpl
from maestro_local.embedded_provider import EmbeddedProvider
from maestro_local.options import LocalOptions
from maestro_local.server_provider import ServerProvider

maestro_api = "1.0"


def local_provider(name: str, options: LocalOptions) -> Provider:
    """The provider ``[providers.NAME]``, by what its table says."""
    if options.engine == "embedded":
        return EmbeddedProvider(name, options)
    return ServerProvider(name, options)


@hookimpl
def maestro_register_providers(register: Register) -> None:
    """Bring the kind ``local``."""
    register("local", LocalOptions, local_provider)
