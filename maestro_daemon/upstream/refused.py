"""Why an upstream refused: its answer with a status other than 2xx, read within bounds."""

from __future__ import annotations

import asyncio
from typing import Final

import aiohttp

from maestro_daemon.errors import UpstreamRefused
from maestro_daemon.protocol import error_body
from maestro_daemon.upstream.answer import Answer
from maestro_daemon.upstream.credentials import Credentials

_LARGEST: Final = 256 * 1024
_TIMEOUT: Final = 10.0


async def refused(answer: Answer, provider: str, credentials: Credentials) -> UpstreamRefused:
    """The error for `answer`, its body read, without the `credentials` that the upstream was shown.

    A body that does not end in time, or breaks off, is what came of it: the status has to do.
    """
    body = b""
    try:
        async with asyncio.timeout(_TIMEOUT):
            while len(body) < _LARGEST and (chunk := await answer.body.readany()):
                body += chunk
    except (aiohttp.ClientError, OSError, TimeoutError):
        pass
    if 300 <= answer.status < 400:
        return UpstreamRefused(
            f"{provider} answered HTTP {answer.status}, a redirect; check its base_url.",
            status=answer.status,
        )
    body = credentials.masked(body)
    headers = credentials.heard(answer.headers)
    refusal = error_body.refusal(answer.status, body, provider=provider, headers=headers)
    refusal.body = body
    return refusal
