"""A house with one Anthropic provider, and the official OpenAI client before it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from openai import AsyncOpenAI

from maestro_anthropic.options import AnthropicOptions
from maestro_anthropic.provider import AnthropicProvider
from maestro_daemon.events import ResponseEvent
from maestro_daemon.plugin import Secret
from messages_api import KEY, MessagesAPI
from tests.support.house import House, house
from tests.support.oracle import check_stream

MODEL = "claude/claude-test"


def options(**changes: Any) -> AnthropicOptions:
    """The options of a provider with the fake's key."""
    return AnthropicOptions(**{"api_key": Secret(KEY), **changes})


@asynccontextmanager
async def claude_house(api: MessagesAPI, **changes: Any) -> AsyncIterator[House]:
    """A whole house on a socket whose one provider is `api` behind the plugin, as ``claude``."""
    provider = AnthropicProvider("claude", options(base_url=api.url, **changes))
    async with house({"claude": provider}) as running:
        yield running


@asynccontextmanager
async def client_of(running: House) -> AsyncIterator[AsyncOpenAI]:
    """An SDK client; made beside the loop, since making one reads files."""
    made = await asyncio.to_thread(
        AsyncOpenAI, base_url=f"{running.url}/v1", api_key="none", max_retries=0, timeout=30
    )
    async with made as client:
        yield client


async def answer(running: House, **fields: Any) -> dict[str, Any]:
    """The Response of a streamed request, its events checked by the oracle."""
    events = await running.stream(**{"model": MODEL, **fields})
    return check_stream([ResponseEvent(event["type"], json.dumps(event).encode()) for event in events])


async def answer_of_json(running: House, **fields: Any) -> dict[str, Any]:
    """The Response of a request that is not streamed; it must be a 200."""
    status, _, body = await running.post({"model": MODEL, "input": "Hi", **fields})
    assert status == 200, body
    response: dict[str, Any] = json.loads(body)
    return response


def back(response: dict[str, Any]) -> list[dict[str, Any]]:
    """The output as the next request's input."""
    return list(response["output"])
