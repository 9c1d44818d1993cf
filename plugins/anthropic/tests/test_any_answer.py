"""Any answer of the API, in any split of its bytes, says what Anthropic's own package makes of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import RawMessageStreamEvent
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from maestro_anthropic.facts import facts_of
from maestro_anthropic.message_request import message_call
from maestro_anthropic.stream_reader import MessageReader
from maestro_daemon.events import ResponseEvent
from maestro_daemon.plugin import ResponseRequest, retell
from maestro_daemon.protocol.sse import Decoder
from messages_api import model_entry
from request_rules import check_request
from scripted_answers import Answer, Block, call, events_of, redacted, signature_of, stream_of, text, thinking
from serving_claude import options
from tests.support.core import passed, wanted
from tests.support.oracle import check_stream

ENTRY = model_entry("claude-test")
TOOLS = [
    {"type": "function", "name": name, "parameters": {"type": "object", "properties": {}}}
    for name in ("weather", "news")
]
ASKED: dict[str, Any] = {
    "tools": TOOLS,
    "include": ["reasoning.encrypted_content"],
    "store": False,
    "reasoning": {"effort": "high"},
}
EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
THINKING = ("thinking", "redacted_thinking")

characters = st.characters(exclude_categories=["Cs"])
words = st.text(characters, min_size=1, max_size=30).filter(lambda said: not said.isspace())
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(characters, max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(characters, max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
blocks = st.one_of(
    st.builds(text, words),
    st.builds(thinking, words | st.just("")),
    st.builds(redacted),
    st.builds(
        call,
        st.sampled_from(["weather", "news"]),
        st.dictionaries(st.text(characters, max_size=5), values, max_size=3),
    ),
)


def with_ids(said: Sequence[Block]) -> tuple[Block, ...]:
    """The blocks with an id of its own for each call."""
    return tuple(
        {**block, "id": f"toolu_{number}"} if block["type"] == "tool_use" else block
        for number, block in enumerate(said)
    )


contents = st.lists(blocks, min_size=1, max_size=6).map(with_ids)


def cut(body: bytes, sizes: Iterable[int]) -> Iterator[bytes]:
    """The body in reads of these sizes, the rest in one."""
    at = 0
    for size in sizes:
        yield body[at : at + size]
        at += size
    yield body[at:]


def events_from(reads: Iterable[bytes], request: ResponseRequest) -> Iterator[ResponseEvent]:
    """The Responses events of the reads, without the house's preamble."""
    decoder, reader = Decoder(), MessageReader(provider="claude")
    reducer = retell(request, provider="claude").reducer()
    for read in reads:
        for name, data in decoder.feed(read):
            for delta in reader.feed(name, json.loads(data)):
                yield from reducer.feed(delta)
    assert reader.ended
    yield from reducer.finish()


def answered(answer: Answer, sizes: Iterable[int]) -> dict[str, Any]:
    """The Response that a client gets, its stream judged by the oracle."""
    request = wanted(**ASKED)
    return check_stream(passed(events_from(cut(stream_of(answer), sizes), request), request))


def accumulated(answer: Answer) -> list[dict[str, Any]]:
    """The content of the message as the official package adds it up."""
    message: Any = None
    buffers: dict[int, bytes] = {}
    for event in events_of(answer):
        if event["type"] != "ping":
            message = accumulate_event(
                event=EVENT.validate_python(event), current_snapshot=message, json_bufs=buffers
            )
    return [block.to_dict() for block in message.content]


def kind_of(block: dict[str, Any]) -> str:
    return "thinking" if block["type"] in THINKING else block["type"]


def merged(content: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Blocks that make one item: neighbours of one kind, but for calls."""
    runs: list[list[dict[str, Any]]] = []
    for kind, group in groupby(content, key=kind_of):
        run = list(group)
        runs += [[block] for block in run] if kind == "tool_use" else [run]
    return runs


@given(content=contents, pieces=st.integers(1, 9), sizes=st.lists(st.integers(0, 90), max_size=60))
def test_the_output_is_what_the_official_package_accumulates(
    content: tuple[Block, ...], pieces: int, sizes: list[int]
) -> None:
    answer = Answer(*content, pieces=pieces)
    output = answered(answer, sizes)["output"]
    runs = merged(accumulated(answer))
    assert len(output) == len(runs)
    for item, run in zip(output, runs, strict=True):
        match item["type"]:
            case "message":
                assert item["content"][0]["text"] == "".join(block["text"] for block in run)
            case "reasoning":
                said = "".join(block.get("thinking", "") for block in run)
                assert "".join(part["text"] for part in item.get("content", [])) == said
            case "function_call":
                assert json.loads(item["arguments"]) == run[0]["input"]
                assert (item["call_id"], item["name"]) == (run[0]["id"], run[0]["name"])
            case other:
                raise AssertionError(other)


@given(content=contents, pieces=st.integers(1, 5))
def test_what_comes_back_is_what_was_said(content: tuple[Block, ...], pieces: int) -> None:
    answer = Answer(*content, pieces=pieces)
    response = answered(answer, ())
    outputs = [
        {"type": "function_call_output", "call_id": item["call_id"], "output": "ok"}
        for item in response["output"]
        if item["type"] == "function_call"
    ]
    history = [
        {"role": "user", "content": "Hi"},
        *response["output"],
        *outputs,
        {"role": "user", "content": "?"},
    ]
    body = {"model": "claude-test", "input": history, **ASKED}
    request = ResponseRequest(body=body, model="claude-test", asked_model="claude-test")
    asked = message_call(retell(request, provider="claude"), facts_of(ENTRY), options(cache="off")).body
    check_request(asked, version="2026-10-21", facts=ENTRY, signature_of=signature_of)
    said = [message for message in asked["messages"] if message["role"] == "assistant"]
    expected = [
        {"type": "text", "text": "".join(block["text"] for block in run)}
        if run[0]["type"] == "text"
        else block
        for run in merged(accumulated(answer))
        for block in (run[:1] if run[0]["type"] == "text" else run)
    ]
    if all(block["type"] in THINKING for block in expected):
        assert said == []
    else:
        assert [message["content"] for message in said] == [expected]
