"""The table ``[providers.NAME]`` of kind ``copilot``."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from maestro_copilot.quirks import REFUSED_TOOLS
from maestro_daemon.plugin import BaseUrl, ConfigPath, Duration, Headers, Secret, Table, Timeout

_DOMAIN: Final = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]*[a-z0-9]")
_UNSENDABLE: Final = re.compile(r"[^\x20-\x7e]")


def _domain(written: str) -> str:
    name = written.strip().lower().removesuffix(".")
    if not _DOMAIN.fullmatch(name):
        raise ValueError('must be a host name without https:// and without a path, like "octo.ghe.com"')
    return name


def _header_value(written: str) -> str:
    if _UNSENDABLE.search(written):
        raise ValueError("holds a character that no header can have")
    return written.strip()


HeaderValue = Annotated[str, AfterValidator(_header_value)]
"""What a header says; an empty string leaves that header away."""


class CopilotOptions(Table):
    """A GitHub Copilot subscription; several stand side by side, each with a name of its own.

    Log in with `maestro-daemon login NAME`. The identity shown by default is that of an editor, which may
    conflict with GitHub's terms: docs/copilot.md says how to set one of your own.
    """

    token: Annotated[Secret | None, Field(examples=[{"env": "COPILOT_GITHUB_TOKEN"}])] = None
    """A GitHub token, instead of `maestro-daemon login`. It goes before every other source."""

    api_key: Annotated[Secret | None, Field(examples=[{"file": "/etc/maestro-daemon/github.token"}])] = None
    """Another name for `token`."""

    editor_login: Annotated[bool | ConfigPath, Field(examples=["~/.config/github-copilot"])] = False
    """Use an editor's Copilot login while there is no own one: true means that of the usual folder."""

    mode: Literal["exchange", "direct"] = "exchange"
    """Whether the GitHub token is exchanged for short-lived Copilot tokens, or sent itself as the bearer.
    With `base_url` set it is "direct" unless this says otherwise."""

    domain: Annotated[str, AfterValidator(_domain), Field(examples=["octo.ghe.com"])] | None = None
    """The domain of a GitHub Enterprise Cloud with data residency; login, API and Copilot are below it."""

    base_url: Annotated[BaseUrl | None, Field(examples=["https://api.githubcopilot.com"])] = None
    """Where Copilot's API is, used as it is whatever GitHub's answers say."""

    github_url: Annotated[BaseUrl | None, Field(examples=["https://github.com"])] = None
    """Where people log in. By default https://github.com, or https://DOMAIN."""

    github_api_url: Annotated[BaseUrl | None, Field(examples=["https://api.github.com"])] = None
    """Where GitHub's API is. By default https://api.github.com, or https://api.DOMAIN."""

    client_id: Annotated[str, Field(min_length=1, max_length=200)] = "Iv1.b507a08c87ecfe98"
    """The OAuth application that the login is for; the default is that of the editors' Copilot plugins."""

    scope: Annotated[str, Field(max_length=1000)] = "read:user"
    """The OAuth scopes that the login asks for."""

    integration_id: HeaderValue = "vscode-chat"
    """`Copilot-Integration-Id`. Here and in the next five an empty string leaves the header away."""

    editor_version: HeaderValue = "vscode/1.104.1"
    """`Editor-Version`."""

    editor_plugin_version: HeaderValue = "copilot-chat/0.26.7"
    """`Editor-Plugin-Version`."""

    user_agent: HeaderValue = "GitHubCopilotChat/0.26.7"
    """`User-Agent`."""

    api_version: HeaderValue = "2025-04-01"
    """`X-GitHub-Api-Version`."""

    intent: HeaderValue = "conversation-panel"
    """`OpenAI-Intent`."""

    trust_initiator: bool = False
    """Whether a client's own valid `X-Initiator` is believed; otherwise the last input item decides."""

    refused_tools: list[str] = Field(default=[quirk.about for quirk in REFUSED_TOOLS])
    """Types of tools that are left out of native requests, since Copilot refuses them."""

    refused_fields: Annotated[list[str], Field(examples=[["truncation"]])] = []  # noqa: RUF012  (pydantic copies it)
    """More fields to leave out of native requests, if Copilot should refuse them; some always are."""

    models_ttl: Annotated[Duration, Field(ge=10)] = 600.0
    """How long the list of models is good."""

    headers: Annotated[Headers, Field(repr=False, examples=[{"x-team": "blue"}])] = {}  # noqa: RUF012  (pydantic copies it)
    """More headers to send to Copilot with every request."""

    connect_timeout: Timeout = 10.0
    """How long a connection may take to be made."""

    first_byte_timeout: Timeout = 600.0
    """How long an answer may take to begin: high efforts think for minutes first."""

    idle_timeout: Timeout = 300.0
    """How long Copilot may be silent in the middle of an answer."""

    max_concurrent: Annotated[int | None, Field(ge=1, examples=[4])] = None
    """How many requests may run at once; more wait in order. Without it there is no limit."""

    @model_validator(mode="after")
    def _one_token(self) -> Self:
        if self.token is not None and self.api_key is not None:
            raise ValueError("token and api_key are two names for the same: set one of them")
        return self

    @property
    def given_token(self) -> Secret | None:
        """The GitHub token that the configuration gives."""
        return self.token if self.token is not None else self.api_key

    @property
    def exchanges(self) -> bool:
        """Whether Copilot tokens are had for the GitHub token."""
        if self.base_url is not None and "mode" not in self.model_fields_set:
            return False
        return self.mode == "exchange"

    def editor_headers(self) -> dict[str, str]:
        """The headers that say who asks: with every request to Copilot, and with the exchange.

        Those whose option is empty are left away, so the caller's default stays.
        """
        said: dict[str, Any] = {
            "Copilot-Integration-Id": self.integration_id,
            "Editor-Version": self.editor_version,
            "Editor-Plugin-Version": self.editor_plugin_version,
            "User-Agent": self.user_agent,
            "X-GitHub-Api-Version": self.api_version,
        }
        return {name: value for name, value in said.items() if value}
