"""The headers that every request to Copilot bears."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.support.copilot.catalogues import CHAT, entry
from tests.support.copilot.copilot import Fake
from tests.support.copilot.served import Served, serving_copilot

IMAGE = {"type": "input_image", "image_url": "data:image/png;base64,aGk="}
TEXT = {"type": "input_text", "text": "Look."}
CALL = {"type": "function_call", "call_id": "call_1", "name": "view", "arguments": "{}"}


@pytest.mark.parametrize("model", ["gpt-native", "claude-chat"])
async def test_who_asks_is_said_as_configured(fake: Fake, tmp_path: Path, model: str) -> None:
    """copilot.md §4 Request headers."""
    async with serving_copilot(
        fake,
        tmp_path,
        integration_id="my-tool",
        editor_version="mine/1.0",
        intent="",
        headers={"x-team": "blue"},
    ) as served:
        await served.final(model)
    (asked,) = fake.copilot.requests
    assert asked.headers["copilot-integration-id"] == "my-tool"
    assert asked.headers["editor-version"] == "mine/1.0"
    assert asked.headers["editor-plugin-version"] == "copilot-chat/0.26.7"
    assert asked.headers["user-agent"] == "GitHubCopilotChat/0.26.7"
    assert asked.headers["x-github-api-version"] == "2025-04-01"
    assert asked.headers["x-team"] == "blue"
    assert "openai-intent" not in asked.headers


async def test_without_an_exchange_the_github_token_itself_is_the_bearer(fake: Fake, tmp_path: Path) -> None:
    """copilot.md §3 Tokens: direct mode, without exchange."""
    token = fake.state.github_token()
    async with serving_copilot(fake, tmp_path, mode="direct", token=token) as served:
        await served.final()
        await served.ask("claude-chat")
    assert {request.headers["authorization"] for request in fake.copilot.requests} == {f"Bearer {token}"}
    assert fake.github.exchanges == 0


async def test_an_image_that_a_model_cannot_see_is_not_announced(served: Served) -> None:
    """copilot.md §4 Request headers: Copilot-Vision-Request when any image is present."""
    served.copilot.catalogue = {"data": [entry("blind", CHAT, vision=False)]}
    await served.ask("blind", input=[{"role": "user", "content": [TEXT, IMAGE]}])
    (asked,) = served.copilot.requests
    assert "copilot-vision-request" not in asked.headers
    assert "base64" not in str(asked.body)


async def test_nothing_of_the_clients_own_goes_along(served: Served) -> None:
    """copilot.md §1 The policy-risk rule: strict in what is sent."""
    said = {
        "x-codex-turn-metadata": "{}",
        "x-openai-internal-codex-responses-lite": "true",
        "originator": "codex_exec",
        "session-id": "s",
        "openai-beta": "x",
        "x-interaction-id": "i",
    }
    await served.ask(headers=said)
    await served.ask("claude-chat", headers=said)
    for request in served.copilot.requests:
        assert not said.keys() & request.headers.keys()


@pytest.mark.parametrize("model", ["gpt-native", "claude-chat"])
async def test_every_attempt_has_a_request_id_of_its_own(served: Served, model: str) -> None:
    """copilot.md §4 Request headers: X-Request-Id, uuid4 per request."""
    await served.ask(model)
    served.fake.state.revoke_copilot_tokens()
    await served.ask(model)
    ids = [request.headers["x-request-id"] for request in served.copilot.requests]
    assert len(set(ids)) == 3
    assert {uuid.UUID(id).version for id in ids} == {4}


@pytest.mark.parametrize("model", ["gpt-native", "claude-chat"])
@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("Hi", False),
        ([{"role": "user", "content": [TEXT]}], False),
        ([{"role": "user", "content": [TEXT, IMAGE]}], True),
        (
            [
                {"role": "user", "content": "Look."},
                CALL,
                {"type": "function_call_output", "call_id": "call_1", "output": [TEXT, IMAGE]},
            ],
            True,
        ),
        (
            [
                {"role": "user", "content": [TEXT, IMAGE]},
                {"role": "assistant", "content": "Nice."},
                {"role": "user", "content": 'An "input_image" is a part.'},
            ],
            True,
        ),
        ([{"role": "user", "content": 'An "input_image" is a part.'}], False),
    ],
)
async def test_an_image_anywhere_is_announced(served: Served, model: str, given: Any, shown: bool) -> None:
    """copilot.md §4 Request headers: Copilot-Vision-Request, also nested in tool results."""
    await served.ask(model, input=given)
    (asked,) = served.copilot.requests
    assert asked.headers.get("copilot-vision-request") == ("true" if shown else None)


async def test_what_a_schema_describes_is_no_image(served: Served) -> None:
    """copilot.md §4 Request headers: Copilot-Vision-Request when any image is present."""
    found = {
        "type": "tool_search_output",
        "call_id": "c",
        "status": "completed",
        "execution": "client",
        "tools": [
            {
                "type": "function",
                "name": "f",
                "parameters": {"type": "object", "properties": {"x": {"type": ["input_image", "null"]}}},
            }
        ],
    }
    await served.ask(input=[{"role": "user", "content": "Hi"}, found])
    assert "copilot-vision-request" not in served.copilot.requests[0].headers


async def test_the_clients_session_never_decides_where_requests_go(served: Served) -> None:
    """copilot.md §1 The policy-risk rule: a request never chooses the base URL."""
    await served.ask(base_url="https://evil.example", metadata={"base_url": "https://evil.example"})
    assert len(served.copilot.requests) == 1
