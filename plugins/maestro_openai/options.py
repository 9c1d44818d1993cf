"""What ``[providers.NAME]`` of kind ``openai`` may say."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from maestro_daemon.plugin import BaseUrl, HttpOptions, Secret


class OpenAIOptions(HttpOptions):
    """A provider of kind ``openai``."""

    base_url: BaseUrl = "https://api.openai.com/v1"
    """Where the API lives; paths like `/responses` are appended."""

    api_key: Annotated[Secret, Field(examples=[{"env": "OPENAI_API_KEY"}])]
    """The key sent as `Authorization: Bearer`."""

    organization: Annotated[str | None, Field(examples=["org-abc"])] = None
    """The organization that requests are counted for (`OpenAI-Organization`).
    With it, or with `project`, the sealed reasoning of running conversations outlives a new `api_key`."""

    project: Annotated[str | None, Field(examples=["proj_abc"])] = None
    """The project that requests are counted for (`OpenAI-Project`)."""
