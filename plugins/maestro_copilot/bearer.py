"""What a request to Copilot is sent with."""

from __future__ import annotations

from dataclasses import dataclass

from maestro_daemon.plugin import Secret


@dataclass(frozen=True, slots=True)
class Bearer:
    """`token`, and the `base_url` that paths of Copilot's API are appended to."""

    token: Secret
    base_url: str

    @property
    def authorization(self) -> str:
        """The value of the `Authorization` header."""
        return f"Bearer {self.token.reveal()}"
