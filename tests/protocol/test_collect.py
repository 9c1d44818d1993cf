"""A stream folded into its Response."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from maestro_daemon.deltas import Finish
from maestro_daemon.errors import UpstreamBroken, UpstreamError, UpstreamRefused
from maestro_daemon.events import Accepted, ResponseEvent
from maestro_daemon.protocol.collect import collect
from tests.support.playbook import play, texts


def event(kind: str, **fields: Any) -> ResponseEvent:
    return ResponseEvent(kind, json.dumps({"type": kind, **fields}).encode())


async def stream(*events: ResponseEvent) -> AsyncIterator[ResponseEvent]:
    for each in events:
        yield each


@pytest.mark.parametrize("reason", ["stop", "length"])
async def test_the_terminal_response_is_the_fold(reason: str) -> None:
    played = play([*texts("a"), Finish(reason)])
    assert await collect(stream(Accepted(), *played.events)) == played.response


async def test_nothing_is_read_after_the_terminal_event() -> None:
    async def endless() -> AsyncIterator[ResponseEvent]:
        yield event("response.completed", response={"id": "resp_1", "status": "completed"})
        raise AssertionError("read on")

    assert (await collect(endless()))["id"] == "resp_1"


@pytest.mark.parametrize("kind", ["response.done", "response.cancelled"])
async def test_other_terminal_names_are_read_by_their_status(kind: str) -> None:
    assert (await collect(stream(event(kind, response={"status": "completed"}))))["status"] == "completed"
    failed = {"status": "failed", "error": {"code": "server_error", "message": "boom"}}
    with pytest.raises(UpstreamBroken, match="boom"):
        await collect(stream(event(kind, response=failed)))


@pytest.mark.parametrize(
    "failure",
    [
        event("error", code="oom", message="out of memory", param=None),
        event("error", error={"type": "server_error", "code": "oom", "message": "out of memory"}),
        event("response.failed", response={"error": {"code": "oom", "message": "out of memory"}}),
    ],
)
async def test_a_failure_is_raised_with_its_code_and_message(failure: ResponseEvent) -> None:
    with pytest.raises(UpstreamBroken, match="out of memory") as caught:
        await collect(stream(event("response.output_item.added"), failure))
    assert caught.value.code == "oom"


async def test_a_failure_that_stands_for_a_refusal_has_its_status() -> None:
    error = {"code": "context_length_exceeded", "message": "too long"}
    with pytest.raises(UpstreamRefused) as caught:
        await collect(stream(event("response.failed", response={"status": "failed", "error": error})))
    assert (caught.value.status, caught.value.code) == (400, "context_length_exceeded")


@pytest.mark.parametrize("failure", [event("response.failed"), event("response.failed", response=None)])
async def test_a_failure_that_says_nothing_still_has_a_message(failure: ResponseEvent) -> None:
    with pytest.raises(UpstreamError) as caught:
        await collect(stream(failure))
    assert caught.value.message


@pytest.mark.parametrize(
    "events",
    [
        [],
        play([*texts("a"), Finish("stop")]).events[:-1],
        [event("response.completed")],
        [event("response.completed", response=[])],
        [ResponseEvent("response.completed", b"{half")],
        [ResponseEvent("response.completed", b"[]")],
    ],
)
async def test_a_stream_without_a_readable_end_is_broken(events: list[ResponseEvent]) -> None:
    with pytest.raises(UpstreamBroken):
        await collect(stream(*events))
