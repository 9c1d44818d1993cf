"""A Copilot subscription as an upstream."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

from maestro_copilot.account import Account
from maestro_copilot.options import CopilotOptions
from maestro_daemon.plugin import Model, ProviderUnavailable, Reply, ResponseEvent, ResponseRequest


class CopilotProvider:
    """One Copilot account."""

    def __init__(self, name: str, options: CopilotOptions, state_directory: Path) -> None:
        self.name = name
        self.account = Account(name, options, state_directory)

    async def models(self) -> Sequence[Model]:
        """The models of the subscription."""
        raise ProviderUnavailable(f"Provider {self.name!r} lists no models yet.")

    async def complete(self, request: ResponseRequest) -> Reply:
        """The whole answer."""
        raise ProviderUnavailable(f"Provider {self.name!r} answers no requests yet.")

    async def stream(self, request: ResponseRequest) -> AsyncGenerator[ResponseEvent, None]:
        """The answer's events."""
        nothing: tuple[ResponseEvent, ...] = ()
        for event in nothing:
            yield event
        raise ProviderUnavailable(f"Provider {self.name!r} answers no requests yet.")

    async def aclose(self) -> None:
        """Close the connections."""
        await self.account.aclose()
