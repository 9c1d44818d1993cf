"""What ``[providers.NAME]`` of kind ``openai`` may say."""

from __future__ import annotations

from maestro_daemon.plugin import HttpOptions, Secret


class OpenAIOptions(HttpOptions):
    """A provider of kind ``openai``."""

    base_url: str = "https://api.openai.com/v1"
    """Where the API lives; paths like `/responses` are appended."""

    api_key: Secret
    """The key sent as `Authorization: Bearer`."""

    organization: str | None = None
    """The organization that requests are counted for (`OpenAI-Organization`)."""

    project: str | None = None
    """The project that requests are counted for (`OpenAI-Project`)."""
