"""The commit point: what counts as preamble, what fails the attempt, and what binds the stream to it."""

from __future__ import annotations

import pytest

from maestro_daemon.errors import UpstreamBroken, UpstreamError, UpstreamRefused
from maestro_daemon.events import Accepted, ResponseEvent
from maestro_daemon.protocol.splice import Splice
from tests.support import native
from tests.support.core import named

HELLO = native.events(native.message_events(["Hello"]))


def begun() -> Splice:
    splice = Splice()
    splice.attempt("first")
    return splice


@pytest.mark.parametrize(
    "event",
    [
        Accepted(),
        named(HELLO[0]),
        named({"type": "response.queued", "response": {}}),
        named(HELLO[1]),
        named({"type": "keepalive", "sequence_number": 2}),
        named({"type": "codex.rate_limits"}),
        ResponseEvent("response.created", b"not read"),
        named(HELLO[1], "response.output_text.delta"),
    ],
    ids=lambda event: event.type,
)
def test_preamble_commits_nothing_and_is_swallowed(event: ResponseEvent) -> None:
    splice = begun()
    assert not splice.take(event)
    assert not splice.committed
    splice.attempt("second")


@pytest.mark.parametrize(
    "event",
    [
        named(HELLO[2]),
        named(HELLO[4]),
        named({"type": "response.something.new"}),
        named(HELLO[-1]),
        named(HELLO[4], "response.x"),
    ],
    ids=lambda event: event.type,
)
def test_any_other_event_commits(event: ResponseEvent) -> None:
    splice = begun()
    assert splice.take(event)
    assert splice.committed
    with pytest.raises(RuntimeError, match="committed"):
        splice.attempt("second")


FAILED = native.response(status="failed", error={"code": "server_error", "message": "No."})


@pytest.mark.parametrize(
    ("event", "kind", "message"),
    [
        (named({"type": "error", "code": "server_error", "message": "No."}), UpstreamBroken, "No."),
        (named({"type": "error", "error": {"code": None, "message": "No."}}), UpstreamBroken, "No."),
        (ResponseEvent("error", b'{"message":"No."}'), UpstreamBroken, "No."),
        (named({"type": "error", "code": "rate_limit_exceeded", "message": "No."}), UpstreamRefused, "No."),
        (named({"type": "response.failed", "response": FAILED}), UpstreamBroken, "No."),
        (named({"type": "response.completed", "response": FAILED}), UpstreamBroken, "No."),
        (
            named({"type": "response.failed", "response": {"status": "failed"}}),
            UpstreamBroken,
            "without saying",
        ),
        (
            named({"type": "response.cancelled", "response": {"status": "cancelled"}}),
            UpstreamBroken,
            "without saying",
        ),
        (named({"type": "response.failed", "response": FAILED}, "response.x"), UpstreamBroken, "No."),
        (named({"type": "response.completed"}), UpstreamBroken, "holds no response"),
        (named({"type": "response.completed", "response": []}), UpstreamBroken, "holds no response"),
        (ResponseEvent("response.output_item.added", b"{"), UpstreamBroken, "not JSON"),
        (ResponseEvent("response.output_item.added", b"[1]"), UpstreamBroken, "not a JSON object"),
        (ResponseEvent("error", b"oops"), UpstreamBroken, "not JSON"),
    ],
    ids=lambda value: getattr(value, "type", ""),
)
def test_a_failure_before_the_commit_is_the_attempts_own(
    event: ResponseEvent, kind: type[UpstreamError], message: str
) -> None:
    splice = begun()
    splice.take(named(HELLO[0]))
    with pytest.raises(kind, match=message):
        splice.take(event)
    assert not splice.committed
    splice.attempt("second")
    assert splice.take(named(HELLO[2]))


def test_after_the_commit_failures_belong_to_the_answer() -> None:
    splice = begun()
    splice.take(named(HELLO[2]))
    assert splice.take(named({"type": "error", "message": "No."}))
    assert splice.take(named({"type": "response.failed", "response": FAILED}))
    assert splice.ended
    splice.end()


def test_after_the_end_nothing_counts() -> None:
    splice = begun()
    splice.take(named(HELLO[-1]))
    assert not splice.take(named(HELLO[-1]))
    assert not splice.take(named(HELLO[4]))


def test_a_stream_that_stops_early_is_broken() -> None:
    for events in ([], HELLO[:2], HELLO[:4]):
        splice = begun()
        for event in events:
            splice.take(named(event))
        with pytest.raises(UpstreamBroken, match="first ended its stream before the answer was complete"):
            splice.end()


def test_a_stream_that_stops_behind_an_error_event_failed_by_that_error() -> None:
    splice = begun()
    splice.take(named(HELLO[2]))
    splice.take(named({"type": "error", "code": "server_is_overloaded", "message": "Full."}))
    with pytest.raises(UpstreamRefused, match="Full") as failed:
        splice.end()
    assert (failed.value.status, failed.value.code) == (503, "server_is_overloaded")
