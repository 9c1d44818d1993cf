"""The list of models: its pages, what it tells the house, and what of it is broken."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from maestro_anthropic.facts import NOTHING_KNOWN, facts_of
from maestro_anthropic.provider import AnthropicProvider
from maestro_daemon.plugin import CredentialsRefused, Secret, UpstreamBroken
from messages_api import KEY, MessagesAPI, model_entry, thinking_of
from serving_claude import options


@asynccontextmanager
async def provider_at(url: str, **changes: Any) -> AsyncIterator[AnthropicProvider]:
    provider = AnthropicProvider("claude", options(base_url=url, **changes))
    try:
        yield provider
    finally:
        await provider.aclose()


async def test_all_pages_are_read(api: MessagesAPI) -> None:
    api.models = [model_entry(f"claude-{number}") for number in range(7)]
    api.page = 3
    async with provider_at(api.url) as provider:
        models = await provider.models()
    assert [model.id for model in models] == [f"claude-{number}" for number in range(7)]
    assert len(api.questions) == 3


async def test_each_model_is_listed_with_its_limits_and_abilities(api: MessagesAPI) -> None:
    always = thinking_of(adaptive=True, enabled=False, disabled=False)
    budget = {**thinking_of(adaptive=False, enabled=True, disabled=True), "effort": {"supported": False}}
    blind = {"image_input": {"supported": False}}
    api.models = [
        model_entry("claude-a"),
        model_entry("claude-b", **always),
        model_entry("claude-c", **budget, **blind),
        {"id": "claude-d", "type": "model"},
        {"type": "model"},
        "nonsense",
    ]
    async with provider_at(api.url) as provider:
        models = {model.id: model for model in await provider.models()}
    assert list(models) == ["claude-a", "claude-b", "claude-c", "claude-d"]
    first = models["claude-a"]
    assert (first.name, first.context_window, first.max_output_tokens) == (
        "Claude claude-a",
        1_000_000,
        64_000,
    )
    assert first.vision is True
    assert first.reasoning_efforts == ("none", "low", "medium", "high", "max")
    assert models["claude-b"].reasoning_efforts == ("low", "medium", "high", "max")
    assert models["claude-c"].reasoning_efforts == ("none", "low", "medium", "high")
    assert models["claude-c"].vision is False
    assert models["claude-d"].context_window is None
    assert models["claude-d"].reasoning_efforts == ()


async def test_a_wrong_key_is_the_providers_fault(api: MessagesAPI) -> None:
    async with provider_at(api.url, api_key=Secret("sk-wrong")) as provider:
        with pytest.raises(CredentialsRefused):
            await provider.models()


@pytest.mark.parametrize("said", [{"data": None}, {"object": "list"}, "models", None])
async def test_something_else_than_a_list_is_told(api: MessagesAPI, said: Any) -> None:
    api.models = said
    async with provider_at(api.url) as provider:
        with pytest.raises(UpstreamBroken, match="list of models"):
            await provider.models()


@pytest.mark.parametrize(
    "entry", [{}, {"capabilities": None}, {"capabilities": {"thinking": 1, "effort": []}, "max_tokens": "1"}]
)
def test_nothing_is_taken_from_an_entry_that_says_nothing(entry: dict[str, Any]) -> None:
    assert facts_of(entry) == NOTHING_KNOWN


async def test_providers_with_one_key_at_one_address_are_one_account(api: MessagesAPI) -> None:
    async with (
        provider_at(api.url) as one,
        provider_at(api.url, cache="off") as same,
        provider_at(api.url, api_key=Secret("sk-other-key")) as other,
    ):
        assert one.account() == same.account()
        assert one.account() != other.account()
        assert KEY not in one.account()
