"""What ``[providers.NAME]`` of kind ``anthropic`` may say."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from maestro_daemon.plugin import BaseUrl, HttpOptions, Secret, Table

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


def _with_version(url: str) -> str:
    return url if urlsplit(url).path else f"{url}/v1"


class Budgets(Table):
    """Tokens of thinking for each reasoning effort, for models that want a budget."""

    minimal: Annotated[int, Field(ge=1024)] = 1024
    """For `minimal`."""

    low: Annotated[int, Field(ge=1024)] = 4096
    """For `low`."""

    medium: Annotated[int, Field(ge=1024)] = 10_000
    """For `medium`."""

    high: Annotated[int, Field(ge=1024)] = 20_000
    """For `high`."""

    xhigh: Annotated[int, Field(ge=1024)] = 28_000
    """For `xhigh`."""

    max: Annotated[int, Field(ge=1024)] = 31_000
    """For `max`."""


class AnthropicOptions(HttpOptions):
    """A provider of kind `anthropic`."""

    base_url: Annotated[
        BaseUrl, AfterValidator(_with_version), Field(examples=["https://api.anthropic.com/v1"])
    ] = "https://api.anthropic.com/v1"
    """Where the API is; `/messages` and `/models` are appended. Without a path, /v1 is meant."""

    api_key: Annotated[Secret, Field(examples=[{"env": "ANTHROPIC_API_KEY"}])]
    """The key of the account."""

    auth: Literal["x-api-key", "bearer"] = "x-api-key"
    """How the key is shown: as `x-api-key`, or as `Authorization: Bearer`, which some gateways want."""

    version: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")] = "2026-10-21"
    """The API version (`anthropic-version`). "2023-06-01" is the older one, which still takes
    `temperature` and `top_p` for models that have them; under any other they are left out."""

    betas: list[Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$")]] = []  # noqa: RUF012  (pydantic copies it)
    """Betas to opt into (`anthropic-beta`)."""

    max_tokens: Annotated[int, Field(ge=1)] = 32_000
    """How long an answer may be, thinking included, where the client does not say (the API wants a number).
    What the model is known to be able to is never exceeded."""

    thinking: Literal["auto", "adaptive", "budget", "off"] = "auto"
    """How a reasoning effort is said: "adaptive" as effort, "budget" as a budget of tokens, "off" not at all.
    "auto" is what the list of models says of the model, adaptive where it says nothing."""

    effort: Effort | None = None
    """The reasoning effort where the client does not say. By default the model's own."""

    budgets: Budgets = Budgets()
    """Tokens of thinking for each effort, where thinking has a budget."""

    thinking_display: Literal["summarized", "omitted"] = "summarized"
    """Whether clients get to see a summary of the thinking. "omitted" is quicker; both are paid alike."""

    cache: Literal["5m", "1h", "off"] = "5m"
    """How long prompts are cached after each use; "1h" costs more to write. "off" caches nothing."""

    structured_output: Literal["auto", "format", "tool"] = "auto"
    """How a JSON Schema is enforced: by the API's own `output_config.format`, or by a tool that the model has
    to call with its answer. "auto" is "format", unless the model is known to lack it."""

    strict_tools: bool = False
    """Pass `strict` of function tools on. The API compiles such schemas, and refuses those that it cannot."""

    extra_body: Annotated[dict[str, Any], Field(examples=[{"inference_geo": "us"}])] = {}  # noqa: RUF012  (pydantic copies it)
    """Sent with every request and wins over what it would say; objects are merged one level deep."""
