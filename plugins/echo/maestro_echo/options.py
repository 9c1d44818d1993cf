"""What ``[providers.NAME]`` of kind ``echo`` may say."""

from __future__ import annotations

from pydantic import Field

from maestro_daemon.plugin import Duration, Table


class EchoOptions(Table):
    """A provider of kind ``echo``."""

    models: list[str] = Field(default_factory=lambda: ["echo"], min_length=1)
    """The names under which it is listed; all of them do the same."""

    pace: Duration = 0.0
    """How long it waits before each word."""
