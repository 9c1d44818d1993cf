"""OpenAI as an upstream: what it is sent besides the body, and what it lists."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from maestro_daemon.plugin import ResponseRequest, Secret, UpstreamBroken
from maestro_openai.options import OpenAIOptions
from maestro_openai.provider import OpenAIProvider
from tests.support import native
from tests.support.fake_upstream import FakeUpstream, Reply

ANSWER = native.response(status="completed", output=[native.message("Hello")])


@asynccontextmanager
async def provider_at(url: str, **options: Any) -> AsyncIterator[OpenAIProvider]:
    provider = OpenAIProvider("openai", OpenAIOptions(base_url=url, api_key=Secret("sk-upstream"), **options))
    try:
        yield provider
    finally:
        await provider.aclose()


async def test_openai_gets_the_clients_headers_that_mean_something_to_it(upstream: FakeUpstream) -> None:
    upstream.play(Reply(ANSWER))
    meant = {
        "session-id": "s",
        "thread-id": "t",
        "openai-beta": "b",
        "traceparent": "p",
        "x-codex-turn-state": "c",
        "x-openai-subagent": "review",
        "originator": "codex_exec",
        "version": "0.169.0",
    }
    others = {"x-initiator": "user", "x-interaction-type": "conversation-user"}
    request = ResponseRequest(body={"model": "m"}, model="m", asked_model="m", headers={**meant, **others})
    async with provider_at(upstream.url) as provider:
        await provider.complete(request)
    sent = {name.lower(): value for name, value in upstream.requests[0].headers.items()}
    assert {name: sent.get(name) for name in meant} == meant
    assert sent.keys().isdisjoint(others)


async def test_the_accounts_own_headers_go_along(upstream: FakeUpstream) -> None:
    upstream.play(Reply(ANSWER))
    options = {"organization": "org-a", "project": "proj_b", "headers": {"x-more": "1"}}
    async with provider_at(upstream.url, **options) as provider:
        await provider.complete(ResponseRequest(body={"model": "m"}, model="m", asked_model="m"))
    sent = {name.lower(): value for name, value in upstream.requests[0].headers.items()}
    assert sent["authorization"] == "Bearer sk-upstream"
    assert (sent["openai-organization"], sent["openai-project"], sent["x-more"]) == ("org-a", "proj_b", "1")


async def test_a_malformed_entry_hides_no_other_model(upstream: FakeUpstream) -> None:
    entry = {"id": "gpt-test", "object": "model", "created": 7}
    upstream.models = {"object": "list", "data": [7, {"id": None}, entry, {}]}
    async with provider_at(upstream.url) as provider:
        (model,) = await provider.models()
    assert (model.id, model.details["created"]) == ("gpt-test", 7)


@pytest.mark.parametrize("listing", [{}, [], {"data": None}, {"data": {}}])
async def test_what_is_no_list_of_models_is_a_failure(upstream: FakeUpstream, listing: Any) -> None:
    upstream.models = listing
    async with provider_at(upstream.url) as provider:
        with pytest.raises(UpstreamBroken, match="something else than a list of models"):
            await provider.models()
