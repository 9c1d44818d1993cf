"""How long an upstream keeps working for a client that has gone."""

from __future__ import annotations

import asyncio
import itertools
import json
import time

from load import WrongAnswer, ask, connect, http_request
from processes import Measured
from traffic import small_request

# shape of the answer, what the client was waiting for when it went, whether it asked for a stream
DISCONNECTS = (
    ("silent", "streaming", True),
    ("mute", "no headers yet", True),
    ("mute", "JSON", False),
)
PATIENCE = 10.0
numbers = itertools.count()


async def delays(
    daemon: Measured, upstream: Measured, shape: str, *, stream: bool, times: int
) -> list[float]:
    """Seconds between a client's disconnect and the upstream's seeing the connection closed, `times` times.

    A connection that the upstream still holds after `PATIENCE` seconds counts for infinity.
    """
    took = []
    for _ in range(times):
        tag = f"gone{next(numbers)}"
        body = small_request(f"native/bench-{shape}-0-{tag}", stream=stream)
        client = await connect(daemon.port)
        request = http_request(daemon.port, "/v1/responses", body)
        if shape == "silent":
            await client.first_bytes(request)
        else:
            # Nobody looks at the answer: there is none.
            client.send(request)
        seen = json.loads(await asyncio.wait_for(ask(upstream.port, f"/seen/{tag}"), PATIENCE))
        if "at" not in seen:
            raise WrongAnswer(f"the upstream never saw the request {tag}")
        went = time.monotonic()
        client.drop()
        try:
            closed = await asyncio.wait_for(ask(upstream.port, f"/closed/{tag}"), PATIENCE)
        except TimeoutError:
            took.append(float("inf"))
        else:
            took.append(json.loads(closed)["at"] - went)
    return took
