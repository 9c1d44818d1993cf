"""A request with every digit, for those who write its body anew."""

from __future__ import annotations

from dataclasses import replace

from maestro_daemon.protocol import json
from maestro_daemon.request import ResponseRequest


def exact(request: ResponseRequest) -> ResponseRequest:
    """The same request; integers of 2**64 and more stand in its `body` as they were sent."""
    if request.text is None or not json.holds_long_integer(request.text):
        return request
    return replace(request, body={**json.loads(request.text), "model": request.model})
