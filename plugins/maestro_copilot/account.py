"""One GitHub account with a Copilot subscription: its login, its bearer for Copilot, and its quota."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maestro_copilot.github_hosts import Hosts
from maestro_copilot.options import CopilotOptions
from maestro_daemon.plugin import ProviderUnavailable, Secret


@dataclass(frozen=True, slots=True)
class Bearer:
    """What a request to Copilot is sent with: `token`, and the `base_url` that its paths are appended to."""

    token: Secret
    base_url: str

    @property
    def authorization(self) -> str:
        """The value of the `Authorization` header."""
        return f"Bearer {self.token.reveal()}"


class Account:
    """The account of the provider `name`. Its login is kept in `state_directory`.

    Made on the running loop; no file is read and nothing is asked before `start` or the first `bearer`.
    """

    def __init__(self, name: str, options: CopilotOptions, state_directory: Path) -> None:
        self.name = name
        self.options = options
        self.hosts = Hosts.of(options)
        self._state_directory = state_directory

    async def start(self) -> None:
        """Read the login from its file, so that `problem` knows of it. Asks nobody."""

    async def bearer(self) -> Bearer:
        """The bearer for a request to Copilot, from memory while it is good.

        Renewed ahead of its expiry, once for all who wait. Raises `ProviderUnavailable` (not logged in; the
        sentence names ``maestro-daemon login NAME``), `CredentialsRefused` (GitHub refuses the login or the
        subscription, in GitHub's own words), `UpstreamRefused` (429: GitHub limits the rate), or
        `UpstreamUnreachable` / `UpstreamBroken`.
        """
        raise ProviderUnavailable(f"Provider {self.name!r} is not logged in.")

    async def renewed(self, refused: Bearer) -> Bearer | None:
        """A newer bearer after Copilot answered 401 or 403 to `refused`; None when there is no better one.

        Once for all who ask; whoever comes with a bearer that was renewed meanwhile gets the new one. Raises
        `CredentialsRefused` or `ProviderUnavailable` when GitHub says that the login itself is over.
        """
        raise ProviderUnavailable(f"Provider {self.name!r} is not logged in.")

    def problem(self) -> str | None:
        """Why no request can be served now, with the remedy; None when all is well as far as is known."""
        return None

    def identity(self) -> str:
        """Who this is: the same after a restart or a new login of the same GitHub user."""
        return self.name

    def note_quota(self, headers: Mapping[str, str]) -> None:
        """Keep the quota snapshots that stand in an answer's headers (lower-case names)."""

    def note_snapshots(self, snapshots: Mapping[str, Any]) -> None:
        """Keep the ``copilot_quota_snapshots`` of a terminal event."""

    async def aclose(self) -> None:
        """End what runs beside the requests and close the connections."""
