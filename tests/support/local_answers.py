"""What a provider streams, judged as a whole."""

from __future__ import annotations

import json
from contextlib import aclosing
from typing import Any

from maestro_daemon.plugin import Accepted, Provider, Reply, ResponseEvent, ResponseRequest
from tests.support.oracle import check_stream
from tests.support.playbook import preamble


async def events_of(provider: Provider, request: ResponseRequest) -> list[ResponseEvent]:
    """All events of a stream, `Accepted` first."""
    async with aclosing(provider.stream(request)) as events:
        return [event async for event in events]


async def answer_of(provider: Provider, request: ResponseRequest) -> dict[str, Any]:
    """Stream an answer of a translated upstream, judge every event, return the terminal Response."""
    accepted, *events = await events_of(provider, request)
    assert isinstance(accepted, Accepted)
    return check_stream([*preamble(request), *events])


async def whole_answer(provider: Provider, request: ResponseRequest) -> dict[str, Any]:
    """The Response that `provider` gives to a client that wants no stream."""
    reply = await provider.complete(request)
    assert isinstance(reply, Reply)
    response: dict[str, Any] = json.loads(reply.body)
    return response
