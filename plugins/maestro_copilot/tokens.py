"""Copilot tokens: one at a time, renewed ahead of its expiry, once for all who wait."""

from __future__ import annotations

import asyncio
import copy
import math
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import structlog

from maestro_copilot import github_answers
from maestro_copilot.bearer import Bearer
from maestro_copilot.github import AnswerUnusable
from maestro_copilot.github_hosts import Hosts
from maestro_daemon.plugin import (
    ConnectionLost,
    CredentialsRefused,
    MaestroError,
    UpstreamBroken,
    UpstreamError,
    UpstreamRefused,
    UpstreamUnreachable,
)

_AHEAD: Final = 60.0
_PAST_REFRESH: Final = 60.0
_LONGEST_LIFE: Final = 24 * 3600.0
_UNSAID_LIFE: Final = 600.0
_RETRIES: Final = 3
_FIRST_PAUSE: Final = 0.3
_LONGEST_SAID_PAUSE: Final = 5.0
_PATIENCE: Final = 60.0
_PAUSE_AFTER_FAILURE: Final = 15.0
_LONGEST_HOLD: Final = 3600.0
_FORCED_WITHIN: Final = 60.0
_FORCED_MOST: Final = 30
_log: Final = structlog.get_logger(__name__)


def _sleepless_clock() -> Callable[[], float]:
    try:
        time.clock_gettime(time.CLOCK_BOOTTIME)
    except (AttributeError, OSError):
        return time.monotonic
    return lambda: time.clock_gettime(time.CLOCK_BOOTTIME)


uptime: Final = _sleepless_clock()
"""Seconds on a clock that no one sets and that, where the system has one, runs on while it sleeps."""


@dataclass(frozen=True, slots=True)
class CopilotToken:
    """A token, from when on it should be renewed, and until when it is good (both on the clock `uptime`)."""

    bearer: Bearer
    renew_at: float
    good_until: float


def read(answer: Mapping[str, Any], hosts: Hosts, *, asked_at: float, their_time: float) -> CopilotToken:
    """The token that an answer of the exchange holds, which was asked for at `asked_at`.

    `their_time` is GitHub's own clock (unix seconds): ``expires_at`` counts by that one, never by ours.
    Raises `AnswerUnusable`.
    """
    token = github_answers.token(answer.get("token"), "GitHub's exchange")
    if token is None:
        raise AnswerUnusable("GitHub answered the exchange without a Copilot token.")
    life = _life(answer, their_time)
    ahead = min(_AHEAD, life / 2)
    return CopilotToken(
        Bearer(token, _base_url(answer, hosts)), asked_at + life - ahead, asked_at + life + _PAST_REFRESH
    )


def _life(answer: Mapping[str, Any], their_time: float) -> float:
    """Seconds after which the token is to be renewed."""
    refresh_in = github_answers.number(answer.get("refresh_in"))
    if refresh_in is not None and 0 < refresh_in <= _LONGEST_LIFE:
        return refresh_in
    expires_at = github_answers.number(answer.get("expires_at"))
    if expires_at is not None and 0 < expires_at - their_time <= _LONGEST_LIFE:
        return max(1.0, expires_at - their_time - _PAST_REFRESH)
    return _UNSAID_LIFE


def _base_url(answer: Mapping[str, Any], hosts: Hosts) -> str:
    said = github_answers.mapping(answer.get("endpoints")).get("api")
    if hosts.fixed or not isinstance(said, str) or not said:
        return hosts.copilot
    if hosts.accepts(said):
        return said.rstrip("/")
    _log.warning(
        "an answer places Copilot outside of GitHub's domains; it is not heeded", endpoint=said[:200]
    )
    return hosts.copilot


class TokenMint:
    """The one Copilot token of an account. `exchange` gets a new one, asking once.

    Failures that may pass (429, 5xx, no network) are tried again here, and nowhere else. `clock` counts
    seconds, `sleep` waits, `chance` gives numbers from 0 to 1.
    """

    def __init__(
        self,
        exchange: Callable[[], Awaitable[CopilotToken]],
        *,
        provider: str,
        clock: Callable[[], float] = uptime,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._exchange = exchange
        self._provider = provider
        self._clock = clock
        self._sleep = sleep
        self._chance = chance
        self._token: CopilotToken | None = None
        self._minting: asyncio.Task[CopilotToken | MaestroError] | None = None
        self._next_try = -math.inf
        self._held_until = -math.inf
        self._limit: UpstreamError | None = None
        self._forced: list[float] = []

    async def current(self) -> CopilotToken:
        """The token for a request, from memory while it is good.

        One that is to be renewed soon is given at once and renewed meanwhile; it goes on being given while
        that fails, until it ends. Raises what the exchange raised.
        """
        token, now = self._token, self._clock()
        if token is not None:
            if now < token.renew_at:
                return token
            if now < token.good_until:
                if now >= max(self._next_try, self._held_until):
                    self._begin()
                return token
        return await self._minted()

    async def renewed(self, refused: Bearer) -> CopilotToken | None:
        """Another token than the one that was refused; None while there is none, or after too many tries.

        Raises `CredentialsRefused` when GitHub says that the login or the subscription is over.
        """
        token = self._token
        if token is not None and token.bearer.token != refused.token:
            return token
        if self._minting is None or self._minting.done():
            now = self._clock()
            self._forced = [at for at in self._forced if now - at < _FORCED_WITHIN]
            if len(self._forced) >= _FORCED_MOST:
                return None
            self._forced.append(now)
        try:
            token = await self._minted()
        except CredentialsRefused:
            self._token = None
            raise
        except UpstreamError:
            return None
        return token if token.bearer.token != refused.token else None

    def adopt(self, token: CopilotToken) -> None:
        """Use this token from now on."""
        self.forget()
        self._token = token

    def forget(self) -> None:
        """Know no token, and let one that is on its way come to nothing."""
        if self._minting is not None:
            self._minting.cancel()
            self._minting = None
        self._token = None
        self._next_try = self._held_until = -math.inf
        self._limit = None
        self._forced = []

    async def aclose(self) -> None:
        """End the exchange that may be under way."""
        minting = self._minting
        self.forget()
        if minting is not None:
            await asyncio.wait({minting})

    async def _minted(self) -> CopilotToken:
        if self._limit is not None and (wait := self._held_until - self._clock()) > 0:
            limit = copy.copy(self._limit)
            limit.retry_after = wait
            raise limit
        minting = self._begin()
        try:
            outcome = await asyncio.shield(minting)
        except asyncio.CancelledError:
            if minting.cancelled() and minting is not self._minting:
                raise UpstreamUnreachable(
                    f"The login of provider {self._provider!r} changed while a token was renewed; try again."
                ) from None
            raise
        if isinstance(outcome, MaestroError):
            # One failure for many who wait: each raises a copy, which others may then add to.
            raise copy.copy(outcome)
        return outcome

    def _begin(self) -> asyncio.Task[CopilotToken | MaestroError]:
        if self._minting is None or self._minting.done():
            self._minting = asyncio.create_task(self._mint(), name=f"Copilot token of {self._provider}")
        return self._minting

    async def _mint(self) -> CopilotToken | MaestroError:
        try:
            async with asyncio.timeout(_PATIENCE):
                token = await self._mint_patiently()
        except TimeoutError:
            return self._failed(UpstreamUnreachable(f"GitHub gave no Copilot token within {_PATIENCE:g} s."))
        except MaestroError as error:
            return self._failed(error)
        self._token, self._limit = token, None
        self._next_try = self._held_until = -math.inf
        return token

    async def _mint_patiently(self) -> CopilotToken:
        retry = 0
        while True:
            try:
                return await self._exchange()
            except UpstreamError as error:
                pause = _FIRST_PAUSE * 2**retry * (1 + self._chance())
                if retry == _RETRIES or not _may_pass(error):
                    raise
                if error.retry_after is not None:
                    if error.retry_after > _LONGEST_SAID_PAUSE:
                        raise
                    pause = max(pause, error.retry_after)
            retry += 1
            await self._sleep(pause)

    def _failed(self, error: MaestroError) -> MaestroError:
        error = _tried_enough(error)
        now = self._clock()
        self._next_try = now + _PAUSE_AFTER_FAILURE
        if isinstance(error, UpstreamError) and error.retry_after is not None:
            self._held_until = now + min(error.retry_after, _LONGEST_HOLD)
            self._limit = error
        # Without a token somebody waits for this one, and is told; a renewal fails in silence.
        tell = _log.info if self._token is None else _log.warning
        tell("no new Copilot token", provider=self._provider, reason=error.message)
        return error


def _tried_enough(error: MaestroError) -> MaestroError:
    """The failure as one that nobody tries again at once: that was done here, and is done in one layer."""
    if isinstance(error, UpstreamRefused) and error.status >= 500:
        return UpstreamUnreachable(
            f"GitHub gives no Copilot token (HTTP {error.status}): {error.message}",
            retry_after=error.retry_after,
        )
    if isinstance(error, ConnectionLost):
        return UpstreamUnreachable(error.message, retry_after=error.retry_after)
    return error


def _may_pass(error: UpstreamError) -> bool:
    if isinstance(error, AnswerUnusable | CredentialsRefused):
        return False
    if isinstance(error, UpstreamRefused):
        return error.status == 429 or error.status >= 500
    return isinstance(error, UpstreamUnreachable | UpstreamBroken)
