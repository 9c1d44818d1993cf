"""A provider that could not be made: it stands in its place and says why."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from maestro_daemon.errors import MaestroError, ProviderUnavailable
from maestro_daemon.events import ResponseEvent
from maestro_daemon.providers.provider import Model, Reply
from maestro_daemon.request import ResponseRequest


class AbsentProvider:
    """Fails every request with the reason, so that routes go on to their other targets."""

    def __init__(self, name: str, reason: MaestroError) -> None:
        self.name = name
        self._reason = reason.message

    def problem(self) -> str | None:
        """Why it is absent."""
        return self._reason

    async def models(self) -> Sequence[Model]:
        """Raises `ProviderUnavailable`."""
        raise ProviderUnavailable(self._reason)

    async def complete(self, request: ResponseRequest) -> Reply:
        """Raises `ProviderUnavailable`."""
        raise ProviderUnavailable(self._reason)

    async def stream(self, request: ResponseRequest) -> AsyncGenerator[ResponseEvent, None]:
        """Raises `ProviderUnavailable` at the first step."""
        nothing: tuple[ResponseEvent, ...] = ()
        for event in nothing:
            yield event
        raise ProviderUnavailable(self._reason)

    async def aclose(self) -> None:
        """Nothing is open."""
