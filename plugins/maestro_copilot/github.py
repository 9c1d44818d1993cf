"""GitHub's side of a Copilot login: the device flow, the exchange of tokens, what is known of the user."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Final

from maestro_copilot import github_answers
from maestro_copilot.github_answers import Declined, DeviceCode, GitHubUser, Granted, Pending
from maestro_copilot.github_hosts import Hosts
from maestro_copilot.github_refusals import server_time
from maestro_copilot.options import CopilotOptions
from maestro_daemon.plugin import (
    HttpUpstream,
    MaestroError,
    Secret,
    UpstreamBroken,
    UpstreamRefused,
    UpstreamUnreachable,
)

_TIMEOUT: Final = 30.0
_GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"
_DEFAULT_EXPIRY: Final = 900.0
_DEFAULT_INTERVAL: Final = 5.0
_LONGEST_INTERVAL: Final = 60.0
_LONGEST_EXPIRY: Final = 3600.0


class AnswerUnusable(UpstreamBroken):
    """GitHub answered with success, and with something that cannot be used."""


class GitHub:
    """github.com, or a GitHub of an enterprise, as one provider sees it.

    Every question has its own limit of 30 s and is asked once. Raises `UpstreamUnreachable`,
    `UpstreamRefused` with the answer's body, `UpstreamBroken`; no token stands in any of them.
    """

    def __init__(self, hosts: Hosts, options: CopilotOptions) -> None:
        said = {"Accept": "application/json", **options.editor_headers()}
        self._hosts = hosts
        self._client_id = options.client_id
        self._scope = options.scope
        self._login = self._upstream(hosts.github, said, options)
        self._api = self._upstream(hosts.api, said, options)

    async def device_code(self) -> DeviceCode:
        """Begin a login."""
        asked = {"client_id": self._client_id, **({"scope": self._scope} if self._scope else {})}
        fields = await self._oauth("/login/device/code", asked)
        code = github_answers.token(fields.get("device_code"), "GitHub")
        user_code = github_answers.text(fields.get("user_code"))
        if code is None or not user_code:
            raise AnswerUnusable(self._no_code(fields))
        url = github_answers.text(fields.get("verification_uri"))
        expires_in = github_answers.number(fields.get("expires_in"))
        interval = github_answers.number(fields.get("interval"))
        return DeviceCode(
            code,
            user_code,
            url if url.startswith(("https://", "http://")) else f"{self._hosts.github}/login/device",
            min(expires_in, _LONGEST_EXPIRY)
            if expires_in is not None and expires_in > 0
            else _DEFAULT_EXPIRY,
            _within(interval) if interval is not None and interval > 0 else _DEFAULT_INTERVAL,
        )

    async def poll(self, code: Secret) -> Granted | Pending | Declined:
        """Ask how a login stands."""
        asked = {"client_id": self._client_id, "device_code": code.reveal(), "grant_type": _GRANT}
        fields = await self._oauth("/login/oauth/access_token", asked, code)
        token = github_answers.token(fields.get("access_token"), "the login")
        if token is not None:
            return Granted(token)
        error = github_answers.text(fields.get("error"))
        if error == "authorization_pending":
            return Pending()
        if error == "slow_down":
            interval = github_answers.number(fields.get("interval"))
            return Pending(slower=True, interval=_within(interval) if interval else None)
        if error:
            return Declined(error, github_answers.text(fields.get("error_description")))
        raise AnswerUnusable("GitHub answered the login with neither a token nor an error.")

    async def exchange(self, token: Secret) -> tuple[dict[str, Any], float]:
        """The answer with a Copilot token for a GitHub token, and GitHub's own time (unix seconds)."""
        answer, headers = await self._asked(self._api, "GET", "/copilot_internal/v2/token", token=token)
        return github_answers.mapping(answer), server_time(headers)

    async def copilot_user(self, token: Secret) -> dict[str, Any] | None:
        """Plan and quota; None where this GitHub does not tell (404)."""
        try:
            answer, _ = await self._asked(self._api, "GET", "/copilot_internal/user", token=token)
        except UpstreamRefused as error:
            if error.status == 404:
                return None
            raise
        return github_answers.mapping(answer)

    async def user(self, token: Secret) -> GitHubUser | None:
        """Whose token it is; None if GitHub does not tell."""
        answer, _ = await self._asked(self._api, "GET", "/user", token=token)
        return github_answers.user(answer)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._login.aclose()
        await self._api.aclose()

    def _upstream(self, url: str, headers: Mapping[str, str], options: CopilotOptions) -> HttpUpstream:
        return HttpUpstream(
            url,
            provider="GitHub",
            headers=headers,
            connect_timeout=min(options.connect_timeout, _TIMEOUT),
            first_byte_timeout=_TIMEOUT,
            idle_timeout=_TIMEOUT,
            # Minutes lie between two questions: a connection kept would be dead by the next.
            force_close=True,
        )

    async def _oauth(
        self, path: str, asked: Mapping[str, str], secret: Secret | None = None
    ) -> dict[str, Any]:
        """The fields of an answer; GitHub tells errors with 200, the standard asks for 400."""
        try:
            answer, _ = await self._asked(self._login, "POST", path, body=asked, secret=secret)
        except UpstreamRefused as refused:
            fields = github_answers.parsed(refused.body)
            if isinstance(fields.get("error"), str):
                return fields
            raise
        return github_answers.mapping(answer)

    async def _asked(
        self,
        upstream: HttpUpstream,
        method: str,
        path: str,
        *,
        body: Mapping[str, str] | None = None,
        token: Secret | None = None,
        secret: Secret | None = None,
    ) -> tuple[Any, Mapping[str, str]]:
        headers = {"Authorization": f"token {token.reveal()}"} if token is not None else {}
        sent = json.dumps(body).encode() if body is not None else None
        try:
            async with asyncio.timeout(_TIMEOUT):
                async with upstream.request(method, path, body=sent, headers=headers) as answer:
                    raw = await upstream.read(answer)
                    told = {name.lower(): value for name, value in answer.headers.items()}
        except TimeoutError:
            raise UpstreamUnreachable(f"GitHub did not answer within {_TIMEOUT:g} s.") from None
        except MaestroError as error:
            raise _without(error, token or secret) from None
        try:
            return json.loads(raw), told
        except (ValueError, RecursionError):
            raise AnswerUnusable(f"GitHub answered {path} with something else than JSON.") from None

    def _no_code(self, fields: Mapping[str, Any]) -> str:
        error = github_answers.text(fields.get("error"))
        if not error:
            return "GitHub answered the login with something else than a code."
        said = github_answers.text(fields.get("error_description")) or error
        return f"GitHub begins no login for the client_id {self._client_id!r}: {said}"


def _within(interval: float) -> float:
    return min(interval, _LONGEST_INTERVAL)


def _without(error: MaestroError, secret: Secret | None) -> MaestroError:
    """The error without the secret, should the answer have repeated it, and without its cause.

    aiohttp's exceptions hold the request's headers.
    """
    error.__cause__ = error.__context__ = None
    if isinstance(error, UpstreamRefused) and 300 <= error.status < 400:
        error.message = (
            f"GitHub answered HTTP {error.status}, a redirect; check github_url and github_api_url."
        )
    if secret is not None:
        shown = secret.reveal()
        error.message = error.message.replace(shown, "***")
        error.args = (error.message,)
        if isinstance(error, UpstreamRefused):
            error.body = error.body.replace(shown.encode(), b"***")
            error.headers = {name: value.replace(shown, "***") for name, value in error.headers.items()}
    return error
