"""A stream folded into its Response: what a client gets that asked for plain JSON."""

from __future__ import annotations

from collections.abc import AsyncIterable
from typing import Any

from maestro_daemon.errors import UpstreamBroken
from maestro_daemon.events import TERMINAL, ResponseEvent
from maestro_daemon.protocol import json
from maestro_daemon.protocol.error_body import stream_failure


async def collect(events: AsyncIterable[ResponseEvent]) -> dict[str, Any]:
    """The Response that the terminal event holds; nothing is read after it.

    Raises what `error_body.stream_failure` makes of an ``error`` event, of ``response.failed`` and of any
    terminal event whose Response says ``failed`` (`UpstreamBroken`, or `UpstreamRefused` for a code that
    stands for a refusal), and `UpstreamBroken` for a stream without a terminal event.
    """
    async for event in events:
        if event.type in TERMINAL or event.type == "error":
            return _ended(event)
    raise UpstreamBroken("The upstream's stream ended without a terminal event.")


def _ended(event: ResponseEvent) -> dict[str, Any]:
    try:
        payload = json.loads(event.payload)
    except json.JSONInvalid:
        raise UpstreamBroken("The upstream's last event is not JSON.") from None
    response = payload.get("response") if isinstance(payload, dict) else None
    status = response.get("status") if isinstance(response, dict) else None
    if event.type in ("error", "response.failed") or status == "failed":
        raise stream_failure(payload, provider="The upstream")
    if not isinstance(response, dict):
        raise UpstreamBroken(f"The upstream ended its stream with {event.type} that holds no response.")
    return response
