"""How an answer ends: finish reasons, usage, bounds, each row of the mapping by name."""

from __future__ import annotations

import json

import pytest

from maestro_daemon.deltas import (
    Delta,
    Finish,
    ReasoningDelta,
    TextDelta,
    Usage,
)
from maestro_daemon.errors import UpstreamBroken
from maestro_daemon.protocol import output_bounds
from maestro_daemon.protocol.reducer import ResponseReducer
from tests.support.playbook import (
    STOP,
    a_request,
    call,
    call_chunk,
    chunk,
    feed,
    play,
    play_chunks,
    shape,
    texts,
)

USAGE = {"prompt_tokens": 9, "completion_tokens": 4}


@pytest.mark.parametrize("reason", ["stop", "tool_calls", "function_call", "eos", "end_turn"])
def test_an_answer_that_ends_well_is_completed(reason: str) -> None:
    response = play_chunks([chunk(content="a"), chunk(reason)]).response
    assert (response["status"], response["incomplete_details"]) == ("completed", None)


def test_stop_with_tool_calls_is_judged_by_the_calls() -> None:
    played = play_chunks([call_chunk(index=0, id="a", name="f", arguments="{}"), chunk("stop")])
    assert shape(played) == [("function_call", "{}")]
    assert played.response["status"] == "completed"


@pytest.mark.parametrize("reason", ["length", "max_tokens"])
def test_length_is_incomplete_and_so_is_the_last_item(reason: str) -> None:
    played = play([ReasoningDelta("a"), *texts("b"), Finish(reason)])
    assert played.types[-1] == "incomplete"
    assert played.response["incomplete_details"] == {"reason": "max_output_tokens"}
    assert played.response["completed_at"] is None
    assert [item["status"] for item in played.output] == ["completed", "incomplete"]


@pytest.mark.parametrize("reason", ["content_filter", "refusal", "SAFETY"])
def test_content_filter_is_incomplete_and_so_is_the_last_item(reason: str) -> None:
    played = play([*texts("b"), Finish(reason)])
    assert played.response["incomplete_details"] == {"reason": "content_filter"}
    assert played.output[0]["status"] == "incomplete"


def test_length_without_any_output_is_incomplete_and_empty() -> None:
    played = play([Finish("length")])
    assert (played.response["status"], played.output) == ("incomplete", [])


def test_arguments_cut_by_length_make_the_call_incomplete() -> None:
    played = play([call(0, '{"x', id="a", name="f"), Finish("length")])
    assert (played.output[0]["arguments"], played.output[0]["status"]) == ('{"x', "incomplete")


def test_of_interleaved_calls_cut_by_length_each_half_one_is_incomplete() -> None:
    half, whole, last = call(0, '{"x', name="f"), call(1, "{}", name="g"), call(2, "{}", name="h")
    played = play([half, whole, last, *texts("  "), Finish("length")])
    assert [item["status"] for item in played.output] == ["incomplete", "completed", "incomplete"]


@pytest.mark.parametrize("deltas", [[], [call(0, '{"x', name="f")], texts("whole text")])
def test_no_finish_reason_is_a_failure_and_never_completed(deltas: list[Delta]) -> None:
    reducer = ResponseReducer(a_request())
    feed(reducer, *deltas, Usage(1, 1))
    with pytest.raises(UpstreamBroken, match="finish reason"):
        reducer.finish()


@pytest.mark.parametrize("reason", ["error", "abort", "insufficient_system_resource"])
def test_a_finish_reason_that_says_failure_is_one(reason: str) -> None:
    reducer = ResponseReducer(a_request())
    feed(reducer, *texts("a"), Finish(reason))
    with pytest.raises(UpstreamBroken, match=reason):
        reducer.finish()


def test_an_empty_answer_has_an_empty_output() -> None:
    played = play_chunks([chunk(role="assistant"), chunk(content=""), chunk("stop")])
    assert played.types == ["completed"]
    assert played.output == []


def test_the_finish_chunk_is_not_the_end() -> None:
    reducer = ResponseReducer(a_request())
    assert [event.type for event in feed(reducer, *texts("a"), STOP)][-1] == "response.output_text.delta"
    assert reducer.feed(Usage(9, 4)) == []
    terminal = json.loads(reducer.finish()[-1].payload)
    assert terminal["response"]["usage"]["total_tokens"] == 13


def test_usage_after_the_finish_chunk_counts() -> None:
    usage = {
        **USAGE,
        "prompt_tokens_details": {"cached_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    played = play_chunks([chunk(content="a"), chunk("stop"), {"choices": [], "usage": usage}])
    assert played.response["usage"] == {
        "input_tokens": 9,
        "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 0},
        "output_tokens": 4,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 13,
    }


def test_of_usage_in_every_chunk_the_last_one_counts() -> None:
    chunks = [
        {**chunk(content=letter), "usage": {**USAGE, "completion_tokens": n}}
        for n, letter in enumerate("abc")
    ]
    zeros = {"choices": [], "usage": {"prompt_tokens": 0, "completion_tokens": 0}}
    assert play_chunks([*chunks, chunk("stop"), zeros]).response["usage"]["total_tokens"] == 11


def test_usage_that_is_never_sent_is_estimated() -> None:
    deltas = [ReasoningDelta("r" * 8), *texts("t" * 40), call(0, '{"x":12}', name="fn"), STOP]
    usage = play(deltas, input_characters=401).response["usage"]
    assert usage["input_tokens"] == 101
    assert usage["output_tokens"] == (8 + 40 + 8 + 2 + 3) // 4
    assert usage["output_tokens_details"]["reasoning_tokens"] == 2


def test_usage_is_never_zero_or_null() -> None:
    usage = play([STOP], input_characters=0).response["usage"]
    assert (usage["input_tokens"], usage["output_tokens"]) == (1, 1)
    usage = play([*texts("a" * 8), STOP, Usage(0, 5)], input_characters=8).response["usage"]
    assert (usage["input_tokens"], usage["output_tokens"]) == (2, 5)
    usage = play([*texts("a" * 8), STOP, Usage(5, 0)]).response["usage"]
    assert (usage["input_tokens"], usage["output_tokens"]) == (5, 2)


def test_an_answer_that_never_ends_is_stopped() -> None:
    reducer = ResponseReducer(a_request())
    big = "x" * (1024 * 1024)
    with pytest.raises(UpstreamBroken, match="longer than"):
        feed(reducer, *texts(*[big] * 20))


def test_calls_that_wait_for_ever_are_stopped() -> None:
    reducer = ResponseReducer(a_request())
    reducer.feed(call(0, "{", name="f"))
    big = "x" * (1024 * 1024)
    with pytest.raises(UpstreamBroken, match="longer than"):
        feed(reducer, *(call(1 + number % 3, big, name="g") for number in range(20)))


def test_deltas_that_say_nothing_are_stopped() -> None:
    reducer = ResponseReducer(a_request())
    reducer.feed(TextDelta("a"))
    with pytest.raises(UpstreamBroken, match="say nothing"):
        feed(reducer, *texts(*[""] * (output_bounds.MOST_EMPTY_DELTAS + 1)))


def test_too_many_items_are_stopped() -> None:
    reducer = ResponseReducer(a_request())
    alternating = [TextDelta("a"), ReasoningDelta("b")] * output_bounds.MOST_ITEMS
    with pytest.raises(UpstreamBroken, match="items"):
        feed(reducer, *alternating)
