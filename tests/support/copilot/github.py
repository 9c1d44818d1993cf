"""The fake's GitHub half: the device flow, the exchange, the user's pages.

    github.polls = [PENDING, SLOW_DOWN, GRANTED]       # what the next questions after a login get
    github.faults = [Fault(503), Fault(429, headers={"retry-after": "1"})]   # what the next exchanges get

The last entry of `polls` stays; `faults` are used up, then exchanges are answered by what the state knows.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any, Final

from aiohttp import web

from tests.support.copilot.state import State


@dataclass(frozen=True)
class Poll:
    """An answer to ``/login/oauth/access_token``; `body` None grants a token."""

    body: Mapping[str, Any] | None
    status: int = 200


def error(name: str, **more: Any) -> Poll:
    """One of OAuth's errors, which GitHub tells with 200."""
    return Poll({"error": name, "error_description": f"about {name}", **more})


PENDING: Final = error("authorization_pending")
SLOW_DOWN: Final = error("slow_down")
EXPIRED: Final = error("expired_token")
DENIED: Final = error("access_denied")
GRANTED: Final = Poll(None)


@dataclass(frozen=True)
class Fault:
    """An answer instead of the right one; `status` 0 cuts the connection."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


NO_ACCESS: Final[dict[str, Any]] = {
    "can_signup_for_limited": False,
    "error_details": {
        "notification_id": "no_copilot_access",
        "title": "No access to GitHub Copilot found",
        "message": "No access to GitHub Copilot found. You are currently logged in as octocat.",
        "url": "https://github.com/settings/copilot",
    },
    "message": "Resource not accessible by integration",
}
PERSONAL_TOKEN: Final = {"message": "Resource not accessible by personal access token", "status": "403"}
RATE_LIMIT: Final = {
    "message": "API rate limit exceeded for user ID 583231.",
    "documentation_url": "https://docs.github.com/rest/overview/rate-limits-for-the-rest-api",
    "status": "403",
}


class GitHubHalf:
    """The server's script and record. `exchanges` counts the questions for a Copilot token."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.polls: list[Poll] = [GRANTED]
        self.faults: list[Fault] = []
        self.user_faults: list[Fault] = []
        self.page_faults: list[Fault] = []
        self.device: dict[str, Any] = {"expires_in": 900, "interval": 0.05}
        self.device_fault: Fault | None = None
        self.endpoints: Any = {"api": "https://api.individual.githubcopilot.com"}
        self.refresh_in: Any = 1500
        self.more: dict[str, Any] = {}
        self.seen: list[tuple[str, Mapping[str, str], Any]] = []
        self.counts: Counter[str] = Counter()
        self.polled: asyncio.Queue[Poll] = asyncio.Queue()
        self.hold: asyncio.Event | None = None
        self.asked = asyncio.Event()

    @property
    def exchanges(self) -> int:
        """How often a Copilot token was asked for."""
        return self.counts["/copilot_internal/v2/token"]

    def routes(self) -> list[web.RouteDef]:
        """What the half serves."""
        return [
            web.post("/login/device/code", self._device_code),
            web.post("/login/oauth/access_token", self._poll),
            web.get("/copilot_internal/v2/token", self._exchange),
            web.get("/copilot_internal/user", self._copilot_user),
            web.get("/user", self._user),
        ]

    async def _device_code(self, request: web.Request) -> web.Response:
        asked = await self._note(request)
        if self.device_fault is not None:
            return self._faulty(request, self.device_fault)
        assert asked["client_id"]
        return self._answer(
            {
                "device_code": self.state.device_code(),
                "user_code": "ABCD-1234",
                "verification_uri": "https://github.com/login/device",
                **self.device,
            }
        )

    async def _poll(self, request: web.Request) -> web.Response:
        asked = await self._note(request)
        assert asked["grant_type"] == "urn:ietf:params:oauth:grant-type:device_code"
        assert asked["client_id"]
        assert asked["device_code"]
        poll = self.polls.pop(0) if len(self.polls) > 1 else self.polls[0]
        self.polled.put_nowait(poll)
        if poll.body is None:
            token = self.state.github_token()
            return self._answer({"access_token": token, "token_type": "bearer", "scope": "read:user"})
        return self._answer(poll.body, poll.status)

    async def _exchange(self, request: web.Request) -> web.Response:
        await self._note(request)
        self.asked.set()
        if self.hold is not None:
            await self.hold.wait()
        if self.faults:
            return self._faulty(request, self.faults.pop(0))
        user = self.state.github_user(request.headers.get("authorization"))
        if user is None:
            return self._answer({"message": "Bad credentials", "status": "401"}, 401)
        if user.refusal is not None:
            return self._answer(user.refusal, 403)
        token, ends = self.state.copilot_token(user)
        answer = {
            "token": token,
            "expires_at": int(ends),
            "refresh_in": self.refresh_in,
            "endpoints": self.endpoints,
            "sku": "monthly_subscriber",
            "individual": True,
            **self.more,
        }
        return self._answer({name: value for name, value in answer.items() if value is not None})

    async def _copilot_user(self, request: web.Request) -> web.Response:
        await self._note(request)
        if self.user_faults:
            return self._faulty(request, self.user_faults.pop(0))
        user = self.state.github_user(request.headers.get("authorization"))
        if user is None:
            return self._answer({"message": "Bad credentials"}, 401)
        if user.copilot is None:
            return self._answer({"message": "Not Found"}, 404)
        return self._answer(user.copilot)

    async def _user(self, request: web.Request) -> web.Response:
        await self._note(request)
        if self.page_faults:
            return self._faulty(request, self.page_faults.pop(0))
        user = self.state.github_user(request.headers.get("authorization"))
        if user is None:
            return self._answer({"message": "Bad credentials"}, 401)
        return self._answer({"login": user.login, "id": user.id})

    async def _note(self, request: web.Request) -> Any:
        body = await request.json() if request.can_read_body else None
        self.seen.append((request.path, dict(request.headers), body))
        self.counts[request.path] += 1
        return body

    def _faulty(self, request: web.Request, fault: Fault) -> web.Response:
        if fault.status == 0:
            assert request.transport is not None
            request.transport.abort()
        return self._answer(fault.body, fault.status or 500, fault.headers)

    def _answer(self, body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
        sent = {"date": formatdate(self.state.now(), usegmt=True), **(headers or {})}
        if isinstance(body, bytes):
            return web.Response(body=body, status=status, headers=sent)
        return web.json_response(body, status=status, headers=sent)
