"""The OAuth device flow, as steps: a code for a person, questions at GitHub, one end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Final

from maestro_copilot.github import GitHub
from maestro_copilot.github_answers import Declined, DeviceCode, Granted, Pending
from maestro_copilot.tokens import uptime
from maestro_daemon.plugin import (
    CodeShown,
    LoginFailed,
    MaestroError,
    UpstreamError,
    UpstreamRefused,
    Waiting,
)

_MARGIN: Final = 1.0
_SLOWER: Final = 5.0
_LONGEST_INTERVAL: Final = 60.0
_ENDS: Final = {
    "expired_token": LoginFailed(
        "expired",
        "The code has expired before it was entered at GitHub. Run the command again for a new one.",
    ),
    "access_denied": LoginFailed("denied", "The login was denied at GitHub; nothing has changed."),
}
"""OAuth's errors that end a login."""


async def device_flow(
    github: GitHub,
    *,
    clock: Callable[[], float] = uptime,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncGenerator[CodeShown | Waiting | LoginFailed | Granted, None]:
    """Log in to `github`: a code, `Waiting` before each question, and at the end `Granted` or `LoginFailed`.

    GitHub is asked at its interval and a second more (twice the interval at most); `slow_down` makes that
    the interval it names, or five seconds longer. A network that fails in between is no end: the code stays
    good until it expires.
    """
    began = clock()
    try:
        code = await github.device_code()
    except MaestroError as error:
        yield LoginFailed("failed", _no_code(error))
        return
    yield CodeShown(code.url, code.user_code, code.expires_in)
    interval, problem = code.interval, None
    while True:
        if clock() >= began + code.expires_in:
            yield _ENDS["expired_token"]
            return
        pause = interval + min(_MARGIN, interval)
        yield Waiting(pause, problem)
        await sleep(pause)
        answer, problem = await _asked(github, code)
        match answer:
            case Granted():
                yield answer
                return
            case Declined():
                yield _ENDS.get(answer.code) or _declined(answer)
                return
            case Pending(slower=True):
                said = answer.interval
                slower = said if said is not None and said > interval else interval + _SLOWER
                interval = min(slower, _LONGEST_INTERVAL)
            case None:
                interval = min(interval + _SLOWER, _LONGEST_INTERVAL)
            case _:
                pass


async def _asked(github: GitHub, code: DeviceCode) -> tuple[Granted | Pending | Declined | None, str | None]:
    """How the login stands; None, and why, when GitHub could not say just now."""
    try:
        return await github.poll(code.code), None
    except UpstreamRefused as error:
        if error.status == 429 or error.status >= 500:
            return None, error.message
        return Declined(f"http_{error.status}", error.message), None
    except UpstreamError as error:
        return None, error.message


def _declined(answer: Declined) -> LoginFailed:
    said = answer.description or answer.code
    return LoginFailed("failed", f"GitHub ended the login: {said}")


def _no_code(error: MaestroError) -> str:
    if isinstance(error, UpstreamRefused) and error.status in (401, 403, 404):
        return (
            f"GitHub begins no login (HTTP {error.status}: {error.message}). Is client_id an application "
            "that may use the device flow, and does github_url name the right place?"
        )
    return f"The login could not begin: {error.message}"
