"""What one client has used of what it may: requests, open streams, and the tokens of a day."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Final

from maestro_daemon.errors import MaestroError
from maestro_daemon.server.client import Client

_MINUTE: Final = 60.0
_DAY: Final = 24 * 3600


class LimitReached(MaestroError):
    """A client has used what it may; the headers say when to come back."""

    default_status = 429
    default_code = "rate_limit_exceeded"
    default_type = "rate_limit_error"


class Allowance:
    """What one client has used: `streams` are open now, `tokens` were used today (of UTC)."""

    __slots__ = ("_clock", "_day", "_time", "_times", "_tokens", "streams")

    def __init__(self, clock: Callable[[], float], time: Callable[[], float]) -> None:
        self._clock = clock
        self._time = time
        self._times: deque[float] = deque()  # of the requests of the last minute
        self._day = 0
        self._tokens = 0
        self.streams = 0

    @property
    def tokens(self) -> int:
        """Used today."""
        return self._tokens if self._day == day_of(self._time()) else 0

    def spend(self, tokens: int) -> None:
        """So many more were used."""
        today = day_of(self._time())
        if today != self._day:
            self._day, self._tokens = today, 0
        self._tokens += tokens

    def check(self, client: Client) -> None:
        """Raises `LimitReached` if `client` may not ask now. Nothing is counted."""
        if client.requests_per_minute is not None:
            self._check_requests(client.name, client.requests_per_minute)
        if client.tokens_per_day is not None and self.tokens >= client.tokens_per_day:
            seconds = _until_tomorrow(self._time())
            raise LimitReached(
                f"Client {client.name!r} has used its {client.tokens_per_day} tokens of today; "
                f"the next day (UTC) begins in {_span(seconds)}.",
                # A client that asks again and again until then is only in everybody's way.
                headers={**self._headers(client), **_after(seconds), "x-should-retry": "false"},
            )

    def begin(self, client: Client, *, stream: bool) -> None:
        """Count a request that begins, which `end` is told of. Raises as `check`, or for its streams."""
        self.check(client)
        if stream:
            if client.streams is not None and self.streams >= client.streams:
                raise LimitReached(
                    f"Client {client.name!r} has {self.streams} stream{'s' * (self.streams != 1)} open, "
                    "which is as many as it may: wait until one of them ends.",
                    headers={
                        **self._headers(client),
                        "x-ratelimit-limit-streams": str(client.streams),
                        "x-ratelimit-remaining-streams": "0",
                        **_after(1),
                    },
                )
            self.streams += 1
        self.count(client)

    def count(self, client: Client) -> None:
        """One more request of the minute."""
        most = client.requests_per_minute
        if most is not None:
            self._times.append(self._clock())
            if len(self._times) > most:  # bodies that were read at once were all let in
                self._times.popleft()

    def end(self, *, stream: bool) -> None:
        """A request that was counted is over."""
        if stream:
            self.streams -= 1

    def tell(self, client: Client, headers: dict[str, str]) -> None:
        """Put what is left into the `headers` of an answer, where an upstream's own limit is not nearer."""
        ours = self._headers(client)
        for kind in ("requests", "tokens"):
            remaining = f"x-ratelimit-remaining-{kind}"
            if remaining not in ours:
                continue
            theirs = headers.get(remaining, "")
            if theirs.isdecimal() and int(theirs) < int(ours[remaining]):
                continue
            for what in ("limit", "remaining", "reset"):
                name = f"x-ratelimit-{what}-{kind}"
                headers[name] = ours[name]

    def _check_requests(self, name: str, most: int) -> None:
        times = self._times
        now = self._clock()
        while times and times[0] <= now - _MINUTE:
            times.popleft()
        if len(times) < most:
            return
        seconds = times[len(times) - most] + _MINUTE - now
        raise LimitReached(
            f"Client {name!r} has sent the {most} requests that it may send in a minute; "
            f"the next one is served in {_span(seconds)}.",
            headers={
                "x-ratelimit-limit-requests": str(most),
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-requests": _span(times[-1] + _MINUTE - now),
                **_after(seconds),
            },
        )

    def _headers(self, client: Client) -> dict[str, str]:
        headers = {}
        if client.requests_per_minute is not None:
            used = len(self._times)
            reset = self._times[-1] + _MINUTE - self._clock() if used else 0.0
            headers["x-ratelimit-limit-requests"] = str(client.requests_per_minute)
            headers["x-ratelimit-remaining-requests"] = str(max(0, client.requests_per_minute - used))
            headers["x-ratelimit-reset-requests"] = _span(max(0.0, reset))
        if client.tokens_per_day is not None:
            headers["x-ratelimit-limit-tokens"] = str(client.tokens_per_day)
            headers["x-ratelimit-remaining-tokens"] = str(max(0, client.tokens_per_day - self.tokens))
            headers["x-ratelimit-reset-tokens"] = _span(_until_tomorrow(self._time()))
        return headers


def day_of(unix: float) -> int:
    """The day of UTC, counted from 1970."""
    return int(unix // _DAY)


def _until_tomorrow(unix: float) -> float:
    return _DAY - unix % _DAY


def _after(seconds: float) -> dict[str, str]:
    return {"retry-after": str(max(1, math.ceil(seconds)))}


def _span(seconds: float) -> str:
    """Seconds as OpenAI's headers write them: ``1s``, ``6m0s``, ``120ms``."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
