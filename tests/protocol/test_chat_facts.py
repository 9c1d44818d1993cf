"""Chat chunks to deltas: tokens, log probabilities, annotations, images, each row by name."""

from __future__ import annotations

from typing import Any

import pytest

from maestro_daemon.deltas import (
    AnnotationDelta,
    Finish,
    ImageDelta,
    ServedBy,
    TextDelta,
    Usage,
)
from tests.support.playbook import chunk, read


def test_url_citations_become_annotations() -> None:
    nested = {"url": "https://a", "title": "A", "start_index": 1, "end_index": 3, "content": "x"}
    sent = [{"type": "url_citation", "url_citation": nested}, {"type": "file", "file": {}}, None]
    expected = {"type": "url_citation", "url": "https://a", "title": "A", "start_index": 1, "end_index": 3}
    assert read([chunk(annotations=sent)]) == [AnnotationDelta(expected)]
    assert read([chunk(annotations=[expected])]) == [AnnotationDelta(expected)]


def test_a_citation_without_title_or_places_gets_neutral_ones() -> None:
    sent = [{"type": "url_citation", "url_citation": {"url": "https://a"}}]
    (delta,) = read([chunk(annotations=sent)])
    assert isinstance(delta, AnnotationDelta)
    assert delta.annotation == {
        "type": "url_citation",
        "url": "https://a",
        "title": "",
        "start_index": 0,
        "end_index": 0,
    }


def test_images_of_openrouter_become_images() -> None:
    urls = ["data:image/png;base64,aGk=", "https://elsewhere/x.png", "data:image/svg+xml;base64,PHN2Zz4="]
    images = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    assert read([chunk(images=[*images, {}, 3])]) == [
        ImageDelta("aGk=", "png"),
        ImageDelta("PHN2Zz4=", "svg+xml"),
    ]


def logprob(token: str, **fields: Any) -> dict[str, Any]:
    return {"token": token, "logprob": -0.5, "bytes": [1], "top_logprobs": [], **fields}


def with_logprobs(logprobs: Any, content: str) -> dict[str, Any]:
    one = chunk(content=content)
    one["choices"][0]["logprobs"] = {"content": logprobs}
    return one


def test_logprobs_come_with_their_text_in_the_shape_of_responses() -> None:
    top = [{"token": "b", "logprob": -2, "bytes": None}]
    chunks = [with_logprobs([logprob("a", bytes=None, top_logprobs=top)], content="a"), chunk(content="b")]
    like = {"token": "b", "logprob": -2, "bytes": []}
    assert read(chunks) == [
        TextDelta("a", ({"token": "a", "logprob": -0.5, "bytes": [], "top_logprobs": [like]},)),
        TextDelta("b"),
    ]


def test_logprobs_of_held_text_wait_for_it() -> None:
    chunks = [with_logprobs([logprob("<")], content="<"), with_logprobs([logprob("a")], content="a")]
    assert read(chunks) == [TextDelta("<a", (logprob("<"), logprob("a")))]


def test_odd_logprobs_are_left_out() -> None:
    assert read([with_logprobs("none", content="a")]) == [TextDelta("a")]
    odd: list[Any] = [None, {"token": 3}, {"token": "a", "logprob": None, "bytes": ["x"]}]
    (delta,) = read([with_logprobs(odd, content="a")])
    assert isinstance(delta, TextDelta)
    assert delta.logprobs == ({"token": "a", "logprob": -9999.0, "bytes": [], "top_logprobs": []},)


def test_finish_reason_is_passed_in_the_upstreams_word() -> None:
    assert read([chunk("stop", content="a"), chunk("")]) == [TextDelta("a"), Finish("stop")]


def test_usage_after_the_finish_chunk_is_read() -> None:
    usage = {
        "prompt_tokens": 9,
        "completion_tokens": 4,
        "total_tokens": 13,
        "prompt_tokens_details": {"cached_tokens": 5},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    assert read([chunk("stop"), {"choices": [], "usage": usage}]) == [
        Finish("stop"),
        Usage(9, 4, cached_tokens=5, reasoning_tokens=2),
    ]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"usage": {"prompt_tokens": 9, "completion_tokens": 4}}, Usage(9, 4)),
        ({"usage": {"input_tokens": 9, "output_tokens": 4}}, Usage(9, 4)),
        ({"usage": {"prompt_tokens": 9, "total_tokens": 13}}, Usage(9, 4)),
        ({"usage": {"completion_tokens": 4, "total_tokens": 13}}, Usage(9, 4)),
        ({"usage": {"prompt_tokens": 9.0, "completion_tokens": "4"}}, Usage(9, 0)),
        (
            {"usage": {"prompt_tokens": 9, "completion_tokens": 4, "prompt_cache_hit_tokens": 3}},
            Usage(9, 4, cached_tokens=3),
        ),
        (
            {"usage": {"prompt_tokens": 9, "completion_tokens": 4, "cached_tokens": 3}},
            Usage(9, 4, cached_tokens=3),
        ),
        (
            {"usage": {"prompt_tokens": 9, "completion_tokens": 4}, "timings": {"cache_n": 3}},
            Usage(9, 4, cached_tokens=3),
        ),
        (
            {
                "usage": {
                    "prompt_tokens": 9,
                    "completion_tokens": 4,
                    "prompt_tokens_details": {"cache_write_tokens": 3},
                }
            },
            Usage(9, 4, cache_write_tokens=3),
        ),
        (
            {"usage": {"prompt_tokens": 9, "completion_tokens": 4, "cache_creation_input_tokens": 3}},
            Usage(9, 4, cache_write_tokens=3),
        ),
        ({"timings": {"cache_n": 3, "prompt_n": 6, "predicted_n": 4}}, Usage(9, 4, cached_tokens=3)),
        ({"x_groq": {"usage": {"prompt_tokens": 9, "completion_tokens": 4}}}, Usage(9, 4)),
        ({"choices": [{"usage": {"prompt_tokens": 9, "completion_tokens": 4}}]}, Usage(9, 4)),
    ],
)
def test_usage_fields_of_each_server(fields: dict[str, Any], expected: Usage) -> None:
    assert read([fields]) == [expected]


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {},
        [],
        {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
        {"prompt_tokens": -4, "completion_tokens": True},
        {"prompt_tokens": None, "completion_tokens": 1e300},
    ],
)
def test_provisional_and_senseless_usage_is_not_there(usage: Any) -> None:
    assert read([{"choices": [], "usage": usage}]) == []


def test_the_service_tier_is_told_once() -> None:
    tier = {"service_tier": "flex"}
    assert read([{**chunk(content="a"), **tier}, {**chunk(content="b"), **tier}]) == [
        TextDelta("a"),
        ServedBy(tier),
        TextDelta("b"),
    ]
