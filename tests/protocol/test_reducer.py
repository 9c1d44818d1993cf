"""Deltas and chunks to Responses events: the sequences, items and odd text; the oracle judges each stream."""

from __future__ import annotations

import json
from typing import Any

import pytest

from maestro_daemon.deltas import (
    AnnotationDelta,
    Finish,
    ImageDelta,
    ReasoningDelta,
    RefusalDelta,
    ServedBy,
    TextDelta,
)
from maestro_daemon.protocol.reducer import ResponseReducer
from maestro_daemon.protocol.sealed_reasoning import Sealed, unseal
from tests.support.playbook import (
    CITATION,
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


def test_a_message_has_the_whole_event_sequence() -> None:
    played = play([*texts("Hel", "lo"), STOP])
    assert played.types == [
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert shape(played) == [("message", "Hello")]
    assert played.response["status"] == "completed"


def test_a_function_call_has_the_whole_event_sequence() -> None:
    played = play([call(0, '{"x"', id="c1", name="f"), call(0, ":1}"), Finish("tool_calls")])
    assert played.types == [
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    (done,) = played.payloads("function_call_arguments.done")
    assert (done["name"], done["arguments"]) == ("f", '{"x":1}')
    assert played.output[0]["call_id"] == "c1"


def test_reasoning_has_the_whole_event_sequence_and_an_empty_summary() -> None:
    played = play([ReasoningDelta("h"), ReasoningDelta("m"), STOP])
    assert played.types == [
        "output_item.added",
        "content_part.added",
        "reasoning_text.delta",
        "reasoning_text.delta",
        "reasoning_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert played.output[0]["summary"] == []
    assert "encrypted_content" not in played.output[0]


def test_a_refusal_has_the_whole_event_sequence() -> None:
    played = play([RefusalDelta("N"), RefusalDelta("o"), STOP])
    assert played.types == [
        "output_item.added",
        "content_part.added",
        "refusal.delta",
        "refusal.delta",
        "refusal.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert played.output[0]["content"] == [{"type": "refusal", "refusal": "No"}]


def test_an_image_has_the_whole_event_sequence() -> None:
    played = play([*texts("see"), ImageDelta("aGk=", "png"), *texts("above"), STOP])
    assert played.types[6:11] == [
        "output_item.added",
        "image_generation_call.in_progress",
        "image_generation_call.generating",
        "image_generation_call.completed",
        "output_item.done",
    ]
    assert shape(played) == [("message", "see"), ("image_generation_call", "aGk="), ("message", "above")]


def test_payloads_begin_with_type_and_number_and_are_compact() -> None:
    played = play([ReasoningDelta("a"), *texts("b"), call(0, "{}", id="c", name="f"), STOP])
    for number, event in enumerate(played.events[2:], 2):
        head = f'{{"type":"{event.type}","sequence_number":{number},'
        assert event.payload.startswith(head.encode())
        assert event.payload == json.dumps(json.loads(event.payload), separators=(",", ":")).encode()


def test_deltas_pass_as_they_come() -> None:
    reducer = ResponseReducer(a_request())
    feed(reducer, TextDelta("first"))
    for text in ("a", " ", "b\n"):
        (event,) = reducer.feed(TextDelta(text))
        assert json.loads(event.payload)["delta"] == text
    feed(reducer, call(0, id="c", name="f"))
    for piece in ('{"x"', ":", "1"):
        (event,) = reducer.feed(call(0, piece))
        assert json.loads(event.payload)["delta"] == piece


def test_ids_are_unguessable_and_prefixed() -> None:
    deltas = [ReasoningDelta("a"), *texts("b"), call(0, "{}", name="f"), STOP]
    first, second = play(deltas), play(deltas)
    ids = [item["id"] for item in first.output + second.output]
    assert len(set(ids)) == len(ids)
    for id in ids:
        assert len(id.partition("_")[2]) >= 24
        assert int(id.partition("_")[2], 16)


def test_the_response_is_the_clients_in_identity_and_echo() -> None:
    request = a_request(temperature=0.5, metadata={"a": "b"}, store=True)
    response = play([*texts("a"), STOP], request=request).response
    assert response["id"] == request.response_id
    assert response["created_at"] == request.created_at
    assert response["model"] == "m"
    assert (response["temperature"], response["metadata"]) == (0.5, {"a": "b"})
    assert response["store"] is False


def test_completed_at_is_the_callers_clock() -> None:
    reducer = ResponseReducer(a_request(), now=lambda: 1234.9)
    events = feed(reducer, *texts("a"), STOP) + reducer.finish()
    assert json.loads(events[-1].payload)["response"]["completed_at"] == 1234


def test_what_only_the_upstream_knows_is_in_the_response() -> None:
    played = play_chunks([{**chunk("stop", content="a"), "service_tier": "flex"}])
    assert played.response["service_tier"] == "flex"
    assert play([ServedBy({"service_tier": "priority"}), STOP]).response["service_tier"] == "priority"


def test_content_becomes_a_message() -> None:
    assert shape(play_chunks([chunk(content="a"), chunk("stop")])) == [("message", "a")]


@pytest.mark.parametrize(
    "field",
    [
        {"reasoning_content": "hm"},
        {"reasoning": "hm"},
        {"reasoning_details": [{"type": "reasoning.text", "text": "hm"}]},
    ],
)
def test_reasoning_becomes_an_item_before_the_message(field: dict[str, Any]) -> None:
    played = play_chunks([chunk(**field), chunk(content="so"), chunk("stop")])
    assert shape(played) == [("reasoning", "hm"), ("message", "so")]


def test_tool_calls_become_items_after_the_message() -> None:
    played = play_chunks(
        [
            chunk(content="so"),
            call_chunk(index=0, id="a", name="f", arguments="{}"),
            call_chunk(index=1, id="b", name="g", arguments='{"x":1}'),
            chunk("tool_calls"),
        ]
    )
    assert shape(played) == [("message", "so"), ("function_call", "{}"), ("function_call", '{"x":1}')]


def test_refusal_becomes_a_part_of_the_message() -> None:
    played = play_chunks([chunk(content="Well"), chunk(refusal="no"), chunk("stop", content="but")])
    assert shape(played) == [("message", "Well|no|but")]
    assert [part["type"] for part in played.output[0]["content"]] == ["output_text", "refusal", "output_text"]


def test_url_citations_become_annotations_of_the_text() -> None:
    played = play_chunks(
        [chunk(content="ab"), chunk("stop", annotations=[{"type": "url_citation", "url_citation": CITATION}])]
    )
    assert played.output[0]["content"][0]["annotations"] == [CITATION]
    (added,) = played.payloads("output_text.annotation.added")
    assert (added["annotation"], added["annotation_index"]) == (CITATION, 0)


def test_annotations_before_the_text_wait_for_it_and_after_it_are_void() -> None:
    played = play([AnnotationDelta(CITATION), *texts("ab"), STOP])
    assert played.output[0]["content"][0]["annotations"] == [CITATION]
    late = [*texts("ab"), call(0, "{}", name="f"), AnnotationDelta(CITATION), *texts("cd"), STOP]
    assert [each["content"][0]["annotations"] for each in play(late).output if "content" in each] == [[], []]
    assert play([AnnotationDelta(CITATION), STOP]).output == []


def test_images_of_openrouter_become_image_generation_calls() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
    played = play_chunks([chunk(content="see"), chunk("stop", images=[image])])
    assert shape(played) == [("message", "see"), ("image_generation_call", "aGk=")]


def test_text_after_a_call_is_a_new_message_with_its_own_text() -> None:
    played = play([*texts("one"), call(0, "{}", name="f"), *texts("two"), STOP])
    assert shape(played) == [("message", "one"), ("function_call", "{}"), ("message", "two")]


def test_reasoning_between_texts_is_an_item_of_its_own() -> None:
    played = play([ReasoningDelta("a"), *texts("b"), ReasoningDelta("c"), *texts("d"), STOP])
    assert shape(played) == [("reasoning", "a"), ("message", "b"), ("reasoning", "c"), ("message", "d")]


def test_white_space_before_calls_makes_no_message() -> None:
    played = play([*texts("\n", "\n"), call(0, "{}", name="f"), *texts("\n"), call(1, "{}", name="g"), STOP])
    assert shape(played) == [("function_call", "{}"), ("function_call", "{}")]


def test_white_space_before_text_belongs_to_it() -> None:
    assert shape(play([*texts("\n", "  a"), STOP])) == [("message", "\n  a")]


def test_white_space_within_text_is_kept() -> None:
    assert shape(play([*texts("a", "\n\n"), call(0, "{}", name="f"), STOP]))[0] == ("message", "a\n\n")


def test_white_space_of_the_other_kind_does_not_split_an_item() -> None:
    reasoning = [ReasoningDelta("a"), *texts("\n"), ReasoningDelta("b"), STOP]
    assert shape(play(reasoning)) == [("reasoning", "ab")]
    message = [*texts("a"), ReasoningDelta("\n"), *texts("b"), STOP]
    assert shape(play(message)) == [("message", "ab")]


def test_only_white_space_is_an_empty_answer_until_it_runs_away() -> None:
    assert play([*texts(" ", "\n"), ReasoningDelta("\n"), STOP]).output == []
    assert shape(play([*texts(*"\n" * 1500), STOP])) == [("message", "\n" * 1500)]


def test_logprobs_are_in_delta_done_and_part() -> None:
    one = {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}
    first = chunk(content="a")
    first["choices"][0]["logprobs"] = {"content": [one]}
    played = play_chunks([first, chunk(content="b"), chunk("stop")])
    assert [payload["logprobs"] for payload in played.payloads("output_text.delta")] == [[one], []]
    assert played.payloads("output_text.done")[0]["logprobs"] == [one]
    assert played.output[0]["content"][0]["logprobs"] == [one]


def test_lone_surrogates_never_reach_the_wire() -> None:
    deltas = [
        *texts("a\ud83d", "\ude00b"),
        ReasoningDelta("\udc00"),
        RefusalDelta("\ud800"),
        call(0, '{"x":"\ud83d"}', id="\ud800", name="f"),
        STOP,
    ]
    played = play(deltas)
    assert shape(played)[0] == ("message", "a\ufffd\ufffdb")


def test_line_breaks_and_separators_stay_within_one_line() -> None:
    text = "a\r\n\u2028\x85\x00\x1b"
    assert shape(play([*texts(text), STOP])) == [("message", text)]


@pytest.mark.parametrize("body", [{"include": ["reasoning.encrypted_content"]}, {"store": False}])
def test_reasoning_is_sealed_when_asked_for(body: dict[str, Any]) -> None:
    deltas = [ReasoningDelta("hm", "key"), *texts("so"), STOP]
    item = play(deltas, request=a_request(**body), provider="home").output[0]
    assert unseal(item["encrypted_content"], provider="home") == Sealed("hm", "key")
    assert unseal(item["encrypted_content"], provider="other") is None


def test_reasoning_without_text_is_kept_only_for_its_seal() -> None:
    deltas = [ReasoningDelta("", "key"), *texts("so"), STOP]
    sealed = play(deltas, request=a_request(store=False)).output
    assert [item["type"] for item in sealed] == ["reasoning", "message"]
    assert "content" not in sealed[0]
    assert [item["type"] for item in play(deltas).output] == ["message"]


def test_a_think_block_becomes_a_reasoning_item() -> None:
    played = play_chunks([chunk(content="<think>\nhm"), chunk(content="</think>\n\nso"), chunk("stop")])
    assert shape(played) == [("reasoning", "hm"), ("message", "so")]
