"""The class that an author subclasses, and the whole contract is checked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from maestro_daemon.testing.answers import AnswerChecks
from maestro_daemon.testing.bench import MODEL, Author, default_table, registered
from maestro_daemon.testing.failures import FailureChecks
from maestro_daemon.testing.identity import IdentityChecks
from maestro_daemon.testing.leaving import LeavingChecks
from maestro_daemon.testing.requests import RequestChecks
from maestro_daemon.testing.responses_wire import ResponsesWire
from maestro_daemon.testing.stage import Stage, http_stage
from maestro_daemon.testing.upkeep import UpkeepChecks
from maestro_daemon.testing.wire import Wire


class ProviderContract(
    AnswerChecks, FailureChecks, LeavingChecks, RequestChecks, IdentityChecks, UpkeepChecks
):
    """Subclass this with a name that begins with ``Test``, and pytest runs every check of the contract.

    Each runs on an event loop of its own with a fake upstream of its own; no plugin for asyncio is needed.
    What cannot be tried with your provider is skipped with the reason.
    """

    plugin: object
    """Your plugin: the module (or object) that the entry point names."""

    kind: str = ""
    """The kind under test; it may be left away where the plugin registers one."""

    wire: Wire = ResponsesWire()
    """What the upstream speaks: `ResponsesWire()`, `ChatWire()`, or a `Wire` of your own."""

    model: str = MODEL
    """The upstream's id of the model that is asked."""

    impatient: Mapping[str, Any] = {"first_byte_timeout": "100ms", "idle_timeout": "100ms"}
    """Keys of the table by which the provider waits no longer than that for the upstream to speak."""

    patience: float = 5.0
    """Seconds after which something that should happen at once counts as hanging."""

    def table(self, url: str) -> dict[str, Any]:
        """What stands in ``[providers.NAME]`` besides `kind`, for an upstream at `url` (it ends in ``/v1``).

        By default `base_url` and `api_key`, as far as the options have them.
        """
        return default_table(registered(self.plugin, self.kind), url)

    @asynccontextmanager
    async def stage(self) -> AsyncIterator[Stage]:
        """The fake upstream: by default the kit's own server, which speaks `wire`."""
        async with http_stage(self.wire) as stage:
            yield stage

    def author(self, stage: Stage) -> Author:
        """What is said above, for one check."""
        return Author(self.plugin, self.kind, self.model, self.table(stage.url), self.impatient)
