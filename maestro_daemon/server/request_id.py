"""The id of one call, on every answer and in every log line about it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from aiohttp import web

from maestro_daemon.ids import new_id

HEADER = "x-request-id"
REQUEST_ID = web.RequestKey("request_id", str)

_SANE = re.compile(r"[A-Za-z0-9._-]{1,128}")


def new_request_id() -> str:
    """``req_`` and 32 hex digits."""
    return new_id("req", 16)


def request_id_for(headers: Mapping[str, str]) -> str:
    """The client's own ``x-request-id`` when it is sane (1 to 128 of ``A-Za-z0-9._-``), else a new one."""
    said = headers.get(HEADER)
    return said if said is not None and _SANE.fullmatch(said) else new_request_id()


def request_id_of(request: web.BaseRequest) -> str:
    """The id of this call; the same at every asking."""
    found = request.get(REQUEST_ID)
    if found is None:
        found = request[REQUEST_ID] = request_id_for(request.headers)
    return found
