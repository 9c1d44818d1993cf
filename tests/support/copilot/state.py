"""What both halves of the fake know: users, and every token that was ever minted."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import Any


@dataclass
class User:
    """A GitHub user. `refusal` is the body of the 403 that its exchanges get, None for a subscriber.

    `copilot` is the body of ``GET /copilot_internal/user``, None for 404.
    """

    login: str = "octocat"
    id: int = 583231
    refusal: dict[str, Any] | None = None
    copilot: dict[str, Any] | None = field(
        default_factory=lambda: {
            "login": "octocat",
            "copilot_plan": "individual",
            "access_type_sku": "monthly_subscriber",
            "chat_enabled": True,
            "quota_reset_date": "2026-12-01",
            "quota_snapshots": {
                "chat": {"unlimited": True, "quota_id": "chat"},
                "completions": {"unlimited": True, "quota_id": "completions"},
                "premium_interactions": {
                    "entitlement": 300,
                    "remaining": 212,
                    "quota_remaining": 212.5,
                    "percent_remaining": 70.8,
                    "overage_count": 0,
                    "overage_permitted": False,
                    "unlimited": False,
                    "quota_id": "premium_interactions",
                },
            },
        }
    )


EVER_MINTED: set[str] = set()
"""Every token of every fake of this process: what no log line may hold."""


class State:
    """Users and their tokens. `now` is the fake's clock: unix seconds, `skew` ahead of ours."""

    def __init__(self) -> None:
        self.user = User()
        self.skew = 0.0
        self.lifetime = 1500.0
        self._github: dict[str, User] = {}
        self._copilot: dict[str, tuple[User, float]] = {}

    def now(self) -> float:
        """The fake's own time."""
        return time.time() + self.skew

    def github_token(self, user: User | None = None, prefix: str = "ghu_") -> str:
        """A new GitHub token of a user."""
        token = prefix + secrets.token_hex(18)
        EVER_MINTED.add(token)
        self._github[token] = user or self.user
        return token

    def copilot_token(self, user: User) -> tuple[str, float]:
        """A new Copilot token and when it ends, on the fake's clock."""
        ends = self.now() + self.lifetime
        token = f"tid={secrets.token_hex(16)};exp={int(ends)};sku=monthly_subscriber:{secrets.token_hex(32)}"
        EVER_MINTED.add(token)
        self._copilot[token] = (user, ends)
        return token, ends

    def device_code(self) -> str:
        """A new device code, which is as secret as a token."""
        code = secrets.token_hex(20)
        EVER_MINTED.add(code)
        return code

    def github_user(self, authorization: str | None) -> User | None:
        """Whose GitHub token stands in the header."""
        _, _, token = (authorization or "").partition(" ")
        return self._github.get(token)

    def copilot_user(self, authorization: str | None) -> User | None:
        """Who may use Copilot with this header: by a Copilot token that is good, or a GitHub token."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme != "Bearer":
            return None
        if token in self._github:
            return self._github[token]
        user, ends = self._copilot.get(token, (None, 0.0))
        return user if ends > self.now() else None

    def revoke_github_tokens(self) -> None:
        """No GitHub token of before is good any more."""
        self._github.clear()

    def revoke_copilot_tokens(self) -> None:
        """No Copilot token of before is good any more, though it has not expired."""
        self._copilot.clear()
