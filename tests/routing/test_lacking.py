"""Targets that are known to lack what a request needs are never asked, over real sockets."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest

from maestro_daemon.plugin import Model
from tests.support.answering_upstream import AnsweringUpstream, answering_upstreams
from tests.support.house import House, NativeProvider, house

MODELS: Final = {
    "blind": [Model("gpt-test", vision=False, tools=True, context_window=100_000)],
    "idle": [Model("gpt-test", vision=True, tools=False, context_window=100_000)],
    "short": [Model("gpt-test", vision=True, tools=True, context_window=1000)],
}
PICTURE: Final = {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "auto"}
SEEN: Final[list[Any]] = [
    {"role": "user", "content": "Look."},
    {"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "c", "output": [PICTURE]},
]
TOOLS: Final = [{"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}]
LONG: Final = "word " * 2000


@asynccontextmanager
async def three_that_lack() -> AsyncIterator[tuple[House, dict[str, AnsweringUpstream]]]:
    async with answering_upstreams(*MODELS) as upstreams:
        providers = {name: NativeProvider(name, each.url) for name, each in upstreams.items()}
        targets = [f"{name}/gpt-test" for name in MODELS]
        routes = {"coder": (targets[:2], targets[2:])}
        async with house(providers, routes, models=MODELS) as one:
            yield one, upstreams


@pytest.mark.parametrize("stream", [False, True], ids=["JSON", "streamed"])
@pytest.mark.parametrize(
    ("fields", "target"),
    [
        ({"input": "Hi"}, "blind"),
        ({"input": SEEN}, "idle"),
        ({"input": "Hi", "tools": TOOLS}, "blind"),
        ({"input": SEEN, "tools": TOOLS}, "short"),
        ({"input": SEEN, "tools": TOOLS, "tool_choice": "none"}, "idle"),
        ({"input": LONG, "tools": TOOLS}, "blind"),
    ],
)
async def test_the_first_target_that_has_it_all_is_asked(fields: Any, target: str, stream: bool) -> None:
    async with three_that_lack() as (one, upstreams):
        status, headers, _ = await one.post({"model": "coder", "stream": stream, **fields})
        assert (status, headers["x-maestro-target"]) == (200, f"{target}/gpt-test")
        assert {name: len(each.asked) for name, each in upstreams.items() if each.asked} == {target: 1}


@pytest.mark.parametrize("stream", [False, True], ids=["JSON", "streamed"])
async def test_if_none_is_left_the_client_is_told_why_for_each_and_nobody_is_asked(stream: bool) -> None:
    async with three_that_lack() as (one, upstreams):
        items = [*SEEN, {"role": "user", "content": LONG}]
        status, headers, body = await one.post(
            {"model": "coder", "input": items, "tools": TOOLS, "stream": stream}
        )
        assert status == 400
        assert json.loads(body)["error"] == {
            "message": "No target of 'coder' can serve this request: blind/gpt-test cannot see images; "
            "idle/gpt-test cannot call tools; "
            "short/gpt-test has a context of 1000 tokens, and the input needs 2000 at least.",
            "type": "invalid_request_error",
            "param": "input",
            "code": "context_length_exceeded",
        }
        assert "x-maestro-target" not in headers
        assert not any(each.asked for each in upstreams.values())
