"""Errors as HTTP answers, always in OpenAI's envelope."""

from __future__ import annotations

import math
from collections.abc import Mapping

from aiohttp import web

from maestro_daemon.errors import MaestroError, UpstreamError
from maestro_daemon.protocol import json
from maestro_daemon.server.headers import passed_back

_WWW_AUTHENTICATE = "Bearer"
_OWN_HEADERS = frozenset({"allow", "upgrade"})


class InternalError(MaestroError):
    """Something that the house did not foresee; the log has the traceback, the client a neutral sentence."""

    default_status = 500
    default_code = "internal_error"


def error_response(error: MaestroError, *, headers: Mapping[str, str] | None = None) -> web.Response:
    """The answer for `error`: its status, its envelope, and those of its headers that a client may see.

    A 429 or 503 always says when to come back (``retry-after``, whole seconds, at least 1). `headers` are
    set besides (``x-maestro-attempts``, say). A body that was not read ends the connection.
    """
    status = error.status if 400 <= error.status <= 599 else 502
    answer = passed_back(error.headers, asked_model=None)
    answer.update((name, value) for name, value in error.headers.items() if name in _OWN_HEADERS)
    if status in (429, 503):
        answer["retry-after"] = _retry_after(error, answer)
    if status == 401:
        answer["www-authenticate"] = _WWW_AUTHENTICATE
    if headers is not None:
        answer.update(headers)
    response = web.Response(
        status=status, body=json.dumps(error.envelope()), headers=answer, content_type="application/json"
    )
    if status in (408, 413):
        response.force_close()
    return response


def _retry_after(error: MaestroError, headers: Mapping[str, str]) -> str:
    said = headers.get("retry-after")
    if said is not None and not _is_number(said):
        return said  # an HTTP date
    seconds = 0.0
    if said is not None:
        seconds = float(said)
    elif isinstance(error, UpstreamError) and error.retry_after is not None:
        seconds = error.retry_after
    elif _is_number(milliseconds := headers.get("retry-after-ms", "")):
        seconds = float(milliseconds) / 1000
    return str(max(1, math.ceil(seconds)))


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdecimal() and text.isascii()
