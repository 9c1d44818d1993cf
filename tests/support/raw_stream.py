"""A streamed answer byte by byte: read from the socket and judged whole."""

from __future__ import annotations

from typing import Any

import aiohttp

from maestro_daemon.events import ResponseEvent
from tests.support.oracle import check_stream


async def judged(base_url: str, **fields: Any) -> dict[str, Any]:
    """Ask for a stream, hold its frames and its events to the grammar; the terminal Response."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{base_url}/responses", json={"stream": True, **fields}) as answer,
    ):
        body = await answer.read()
        assert answer.status == 200, body
        assert answer.content_type == "text/event-stream"
    return check_stream(events_of(body))


def events_of(body: bytes) -> list[ResponseEvent]:
    """The events of a whole body, each one frame as OpenAI writes it; ``[DONE]`` is the last and left out."""
    body.decode()  # UTF-8 throughout
    assert b"\r" not in body
    assert body.endswith(b"\n\n")
    frames = [frame for frame in body[:-2].split(b"\n\n") if not frame.startswith(b":")]
    assert frames.pop() == b"data: [DONE]"
    events = []
    for frame in frames:
        name, data = frame.split(b"\n")
        assert name.startswith(b"event: ")
        assert data.startswith(b"data: ")
        events.append(ResponseEvent(name.removeprefix(b"event: ").decode(), data.removeprefix(b"data: ")))
    return events
