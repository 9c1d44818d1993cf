"""What a provider answers, as the daemon takes it."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from maestro_daemon.errors import MaestroError
from maestro_daemon.events import TERMINAL, ResponseEvent, is_preamble
from maestro_daemon.protocol.guard import Guard
from maestro_daemon.protocol.splice import Splice
from maestro_daemon.providers.provider import Provider
from maestro_daemon.request import ResponseRequest
from maestro_daemon.routing.answer import read_reply
from maestro_daemon.testing.bounded import soon
from maestro_daemon.testing.breach import Breach
from maestro_daemon.testing.oracle import check_stream

_ENDS = "that a stream goes on until its terminal event, or raises"


@dataclass
class Heard:
    """One streamed answer: the provider's `events`, and what it raised instead of going on."""

    request: ResponseRequest
    events: list[ResponseEvent] = field(default_factory=list)
    raised: BaseException | None = None

    @property
    def output(self) -> list[ResponseEvent]:
        """The events that are more than a preamble."""
        return [event for event in self.events if not is_preamble(event.type)]

    @property
    def text(self) -> str:
        """All text deltas together."""
        deltas = [event for event in self.events if event.type == "response.output_text.delta"]
        return "".join(json.loads(event.payload)["delta"] for event in deltas)

    def failure(self) -> BaseException | None:
        """What the daemon takes the failure for; None for an answer."""
        if self.raised is not None:
            return self.raised
        splice = Splice()
        splice.attempt("the provider")
        try:
            for event in self.events:
                splice.take(event)
            splice.end()
        except MaestroError as error:
            return error
        return None

    def told(self) -> list[ResponseEvent]:
        """The stream that a client gets of it."""
        sent: list[ResponseEvent] = []
        guard = Guard(
            self.request, lambda type, payload: sent.append(ResponseEvent(type, payload)), store=True
        )
        splice = Splice()
        splice.attempt("the provider")
        guard.preamble()
        try:
            for event in self.events:
                if splice.take(event):
                    guard.take(event)
            if self.raised is not None:
                raise self.raised
            splice.end()
        except MaestroError as error:
            guard.fail(error)
        return sent


async def hear(provider: Provider, request: ResponseRequest) -> Heard:
    """Take a streamed answer to its end. Raises `Breach` for one that hangs or gives something else."""
    heard = Heard(request)
    events = opened(provider, request)
    async with aclosing(events):
        await soon(_take_all(events, heard), _ENDS, "streams")
    return heard


def opened(provider: Provider, request: ResponseRequest) -> AsyncGenerator[ResponseEvent, None]:
    """The generator of a streamed answer. Raises `Breach` if it is none."""
    events: Any = provider.stream(request)
    if not isinstance(events, AsyncGenerator):
        wants = "that stream() is an async generator function, so that the daemon can close it"
        if hasattr(events, "close"):
            events.close()
        raise Breach(wants, f"it returned a {type(events).__name__}", "streams")
    return events


async def _take_all(events: AsyncGenerator[ResponseEvent, None], heard: Heard) -> None:
    try:
        async for event in events:
            refuse_foreign(event)
            heard.events.extend(event.each())
    except Breach:
        raise
    except Exception as error:
        heard.raised = error


def refuse_foreign(event: object) -> None:
    """Raise `Breach` for what is no event."""
    if not isinstance(event, ResponseEvent):
        found = f"it yielded a {type(event).__name__}"
        raise Breach("that stream() yields ResponseEvents", found, "streams")


def judged(heard: Heard) -> dict[str, Any]:
    """The final Response of an answer that must be one. Raises `Breach` for a stream that is ill-formed."""
    if heard.raised is not None:
        raise Breach(
            "that an upstream's good answer is told to its end", f"{heard.raised!r} was raised", "streams"
        ) from heard.raised
    _refuse_disorder(heard.events)
    failure = heard.failure()
    if failure is not None:
        raise Breach("that an upstream's good answer is told to its end", repr(failure), "streams")
    told = heard.told()
    given, made = [event.type for event in heard.output], [event.type for event in told[2:]]
    if given != made:
        raise Breach(
            "well-formed streams: whatever is opened is closed by its own events, and told by them first",
            f"the daemon had to make of {_listed(given)} the stream {_listed(made)}",
            "streams",
        )
    try:
        return check_stream(_by_one_model(told))
    except AssertionError as error:
        raise Breach(
            "well-formed streams, as the openai package's types and accumulator read them",
            str(error),
            "streams",
        ) from error


async def completed(provider: Provider, request: ResponseRequest) -> dict[str, Any]:
    """The Response of an answer that is not streamed, read as the daemon reads it.

    Raises what the daemon takes a failure for, and `Breach` if it hangs.
    """
    wants = "that complete() returns, or raises"
    reply = await soon(provider.complete(request), wants, "whole-answers")
    return read_reply(reply, provider.name).response


async def failure_of(provider: Provider, request: ResponseRequest) -> BaseException | None:
    """What an answer that is not streamed raises; None if it raises nothing."""
    try:
        await completed(provider, request)
    except Breach:
        raise
    except Exception as error:
        return error
    return None


def _refuse_disorder(events: Sequence[ResponseEvent]) -> None:
    wants = "that exactly one terminal event comes, as the last"
    ends = [place for place, event in enumerate(events) if event.type in TERMINAL]
    if ends != [len(events) - 1]:
        raise Breach(wants, f"the events are {_listed([each.type for each in events])}", "streams")
    for event in events:
        if not is_preamble(event.type) and _type_said(event) != event.type:
            wants = "that an event's type is the type that its payload says, and its payload a JSON object"
            raise Breach(wants, f"{event.type} holds {event.payload[:200]!r}", "streams")


def _type_said(event: ResponseEvent) -> Any:
    try:
        payload = json.loads(event.payload)
    except ValueError:
        return None
    return payload.get("type") if isinstance(payload, dict) else None


def _by_one_model(told: Sequence[ResponseEvent]) -> list[ResponseEvent]:
    """The stream with the model's name as asked in its end, where an upstream may say which one it was."""
    payload = json.loads(told[-1].payload)
    payload["response"]["model"] = json.loads(told[0].payload)["response"]["model"]
    return [*told[:-1], ResponseEvent(told[-1].type, json.dumps(payload).encode())]


def _listed(types: Sequence[str]) -> str:
    return ", ".join(types) or "nothing"
