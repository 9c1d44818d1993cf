"""Events of Copilot's, one by one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_copilot.ciphertext import bound
from maestro_copilot.native_answer import NativeAnswer
from maestro_daemon.plugin import DeltaBurst, ResponseEvent


def event(type: str, **fields: Any) -> ResponseEvent:
    return ResponseEvent(type, json.dumps({"type": type, **fields}, separators=(",", ":")).encode())


def told(answer: NativeAnswer, type: str, **fields: Any) -> dict[str, Any]:
    taken = answer.take(event(type, **fields))
    assert taken is not None
    read: dict[str, Any] = json.loads(taken.payload)
    return read


def begun(*indexes: int) -> tuple[NativeAnswer, dict[int, str]]:
    """An answer with messages at these places, and their ids."""
    answer = NativeAnswer()
    ids = {}
    for index in indexes:
        item = {"id": "raw" * 100, "type": "message", "content": []}
        ids[index] = told(answer, "response.output_item.added", output_index=index, item=item)["item"]["id"]
    return answer, ids


TEXT = st.text() | st.sampled_from(['"item_id":"x"', '"output_index":7,', '\\"item_id\\":\\"', "{}", '"'])


@given(st.text(), TEXT, st.integers(0, 12), st.booleans())
def test_a_delta_gets_the_id_of_its_item_and_nothing_else_changes(
    raw: str, text: str, index: int, last: bool
) -> None:
    """copilot.md §7 Ids that rotate: key by output_index."""
    answer, ids = begun(index)
    type = "response.output_text.delta"
    fields = {"item_id": raw, "delta": text, "output_index": index}
    if not last:
        fields = {"item_id": raw, "output_index": index, "content_index": 0, "delta": text}
    got = told(answer, type, **fields)
    assert got in ({"type": type, **fields, "item_id": ids[index]}, {"type": type, **fields})
    if index < 10 and not {*raw} & {'"', "\\"} and raw.isprintable():
        assert got["item_id"] == ids[index]


def test_deltas_that_come_together_stay_together() -> None:
    """copilot.md §7 Ids that rotate."""
    answer, ids = begun(0)
    type = "response.output_text.delta"
    payloads = [event(type, item_id=f"raw{n}", output_index=0, delta=str(n)).payload for n in range(3)]
    burst = answer.take(DeltaBurst(type, payloads))
    assert isinstance(burst, DeltaBurst)
    read = [json.loads(payload) for payload in burst.payloads]
    assert [(each["item_id"], each["delta"]) for each in read] == [(ids[0], str(n)) for n in range(3)]


@pytest.mark.parametrize("type", ["copilot_usage", "response.copilot_usage", "ping", "codex.rate_limits"])
def test_foreign_events_are_kept_from_clients(type: str) -> None:
    """copilot.md §7 Reading the stream: an SSE event copilot_usage must not reach clients."""
    assert NativeAnswer().take(event(type)) is None


@pytest.mark.parametrize("type", ["response.new_thing", "response.output_text.done", "keepalive"])
def test_other_events_pass_as_they_are(type: str) -> None:
    same = event(type, x=1)
    assert NativeAnswer().take(same) is same


def test_ciphertext_is_bound_to_the_id_of_the_done_event() -> None:
    """copilot.md §7 Replaying: the one of output_item.done."""
    answer = NativeAnswer()
    place = {"output_index": 0}
    thought = {"type": "reasoning", "summary": []}
    added = {**thought, "id": "at-first", "encrypted_content": "unfinished"}
    begun = told(answer, "response.output_item.added", **place, item=added)["item"]
    assert "encrypted_content" not in begun
    done = {**thought, "id": "at-done", "encrypted_content": "cipher"}
    ended = told(answer, "response.output_item.done", **place, item=done)["item"]
    assert ended == {**thought, "id": begun["id"], "encrypted_content": bound("cipher", "at-done")}
    final = {"id": "r", "output": [{**thought, "id": "at-last", "encrypted_content": "cipher"}]}
    assert told(answer, "response.completed", response=final)["response"]["output"] == [ended]


def test_ciphertext_that_only_the_final_response_holds_is_bound_to_its_id_there() -> None:
    """copilot.md §7 Replaying."""
    item = {"type": "compaction", "id": "at-last", "encrypted_content": "cipher"}
    (got,) = told(NativeAnswer(), "response.done", response={"output": [item]})["response"]["output"]
    assert got["encrypted_content"] == bound("cipher", "at-last")
    assert got["id"].startswith("cmp_")


@pytest.mark.parametrize(
    ("code", "house"),
    [
        ("user_model_rate_limited:gpt", "rate_limit_exceeded"),
        ("free_quota_exceeded", "insufficient_quota"),
        ("service_unavailable", "server_is_overloaded"),
        ("something_else", "something_else"),
    ],
)
def test_codes_of_failures_are_told_in_the_houses_words(code: str, house: str) -> None:
    """copilot.md §7 Reading the stream: error {code, message} is flat in SSE; §7 WebSocket: nested."""
    assert told(NativeAnswer(), "error", code=code, message="No.")["code"] == house
    nested = told(NativeAnswer(), "error", error={"code": code}, copilot_quota_snapshots={})
    assert nested == {"type": "error", "error": {"code": house}}
    failed = {"status": "failed", "output": [], "error": {"code": code, "message": "No."}}
    assert told(NativeAnswer(), "response.failed", response=failed)["response"]["error"]["code"] == house


def test_the_quota_in_the_last_event_is_kept_and_not_passed_on() -> None:
    """copilot.md §7 Reading the stream: response.completed may carry copilot_quota_snapshots."""
    answer = NativeAnswer()
    quota = {"chat": {"unlimited": True}}
    got = told(answer, "response.completed", response={"output": []}, copilot_quota_snapshots=quota)
    assert (got, answer.snapshots) == ({"type": "response.completed", "response": {"output": []}}, quota)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.sampled_from(
        ["response.output_item.added", "response.output_item.done", "response.completed", "error", "x"]
    ),
    JSON
    | st.fixed_dictionaries(
        {},
        optional={
            "item": JSON,
            "output_index": JSON,
            "response": JSON | st.fixed_dictionaries({"output": JSON, "error": JSON}),
            "error": JSON,
        },
    ),
)
def test_any_payload_is_left_to_the_guard(type: str, payload: Any) -> None:
    NativeAnswer().take(ResponseEvent(type, json.dumps(payload).encode()))
    NativeAnswer().whole(json.dumps(payload).encode(), "resp_1")


@pytest.mark.parametrize("body", [b"", b"{", b"null", b"[" * 100_000, b"\xff"])
def test_what_is_no_response_passes_as_it_is(body: bytes) -> None:
    assert NativeAnswer().whole(body, "resp_1") == body
    broken = ResponseEvent("response.completed", body)
    assert NativeAnswer().take(broken) is broken
