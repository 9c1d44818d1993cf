"""The sans-IO core as the router and the server drive it: one upstream's events in, a client's stream out."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from typing import Any

from maestro_daemon.errors import MaestroError, UpstreamBroken
from maestro_daemon.events import TERMINAL, ResponseEvent
from maestro_daemon.protocol.guard import Guard
from maestro_daemon.protocol.splice import Splice
from maestro_daemon.request import ResponseRequest
from tests.support.native import Event

MODEL = "gpt-test-2026-01-01"
"""What the Responses of `tests.support.native` bear: asked for by the same name, it does not change."""


def wanted(**body: Any) -> ResponseRequest:
    """A request for a stream of `MODEL`."""
    return ResponseRequest(
        body={"model": MODEL, "input": "Hi", "stream": True, **body},
        model=MODEL,
        asked_model=MODEL,
        stream=True,
    )


def compact(event: Event) -> bytes:
    """An event's payload as OpenAI writes it."""
    return json.dumps(event, separators=(",", ":")).encode()


def named(event: Event, name: str | None = None) -> ResponseEvent:
    """The event as the upstream classes hand it out; `name` where the record's differs from its type."""
    return ResponseEvent(event["type"] if name is None else name, compact(event))


def passed(
    events: Iterable[ResponseEvent],
    request: ResponseRequest | None = None,
    *,
    silences: Collection[int] = (),
    failure: MaestroError | None = None,
) -> list[ResponseEvent]:
    """What a client gets of `events`. A keepalive comes before each event whose place is in `silences`.

    `failure` is raised where the events end, as a connection that breaks would.
    """
    sent: list[ResponseEvent] = []
    request = request or wanted()
    guard = Guard(request, lambda type, payload: sent.append(ResponseEvent(type, payload)), store=True)
    splice = Splice()
    splice.attempt("first")
    guard.preamble()
    try:
        for place, event in enumerate(events):
            if place in silences:
                guard.keepalive()
            if splice.take(event):
                guard.take(event)
            if guard.ended or splice.ended:
                break
        else:
            if failure is not None:
                raise failure
        splice.end()
        if not guard.ended:
            raise UpstreamBroken("The last event did not end the answer.")
    except MaestroError as error:
        guard.fail(error)
    guard.keepalive()
    return sent


def check_ending(events: Iterable[ResponseEvent]) -> dict[str, Any]:
    """Whatever the upstream sent: a numbered stream with one preamble and one terminal event, the last.

    Returns the terminal Response.
    """
    events = list(events)
    payloads = [json.loads(event.payload) for event in events]
    for number, (event, payload) in enumerate(zip(events, payloads, strict=True)):
        assert payload["type"] == event.type
        assert type(payload["sequence_number"]) is int
        assert payload["sequence_number"] == number
        assert b"\n" not in event.payload
        assert b"\r" not in event.payload
    types = [event.type for event in events]
    assert types[:2] == ["response.created", "response.in_progress"]
    assert not {"response.created", "response.queued", "response.in_progress"} & {*types[2:]}
    assert [type for type in types if type in TERMINAL] == types[-1:]
    assert types[-1] in ("response.completed", "response.incomplete", "response.failed")
    assert "error" not in types or types.index("error") == len(types) - 2
    last: dict[str, Any] = payloads[-1]["response"]
    created = payloads[0]["response"]
    assert types[-1] == f"response.{last['status']}"
    for field in ("id", "created_at", "previous_response_id"):
        assert last[field] == created[field]
    assert isinstance(last["output"], list)
    if last["status"] == "failed":
        assert isinstance(last["error"]["code"], str)
        assert last["error"]["message"]
    return last
