"""What plugins do that they must not, counted while the daemon runs."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(slots=True)
class Record:
    """What one plugin did.

    `raised` is how often its code raised something that the contract does not know, `blocked` how often it
    held the event loop up. `last` tells of the last of these in a few words, at `last_at` (unix seconds).
    """

    raised: int = 0
    blocked: int = 0
    last: str = ""
    last_at: float | None = None


class Conduct:
    """The records of all plugins, and which provider is whose."""

    def __init__(self) -> None:
        self._records: dict[str, Record] = {}
        self._plugins: dict[str, str] = {}

    def made(self, provider: str, plugin: str) -> None:
        """From now on the provider of that name is this plugin's."""
        self._plugins[provider] = plugin

    def provider_raised(self, provider: str, doing: str, what: str) -> None:
        """A provider raised `what` (a class's name) where its errors were awaited while `doing` something."""
        plugin = self._plugins.get(provider)
        if plugin is not None:
            self.plugin_raised(plugin, f"{doing} of {provider}", what)

    def plugin_raised(self, plugin: str, doing: str, what: str) -> None:
        """A plugin raised `what` while `doing` something."""
        record = self.of(plugin)
        record.raised += 1
        self._note(record, f"{doing}: {what}")

    def blocked(self, plugin: str, place: str) -> None:
        """A plugin holds the event loop up, at that line."""
        record = self.of(plugin)
        record.blocked += 1
        self._note(record, f"held the event loop up at {place}")

    def of(self, plugin: str) -> Record:
        """The record of one plugin."""
        return self._records.setdefault(plugin, Record())

    def providers(self, plugin: str) -> tuple[str, ...]:
        """The providers that this plugin made, by name."""
        return tuple(name for name, maker in self._plugins.items() if maker == plugin)

    def _note(self, record: Record, what: str) -> None:
        record.last = what
        record.last_at = round(time.time(), 3)
