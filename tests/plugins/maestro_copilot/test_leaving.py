"""Clients that leave: nothing of the quota is burnt for them any longer."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.copilot.copilot import Stall
from tests.support.copilot.served import Served


@pytest.mark.parametrize("model", ["gpt-native", "claude-chat"])
async def test_a_client_that_leaves_takes_its_request_to_copilot_along(served: Served, model: str) -> None:
    served.copilot.faults = [Stall(5)]
    asked = {"model": f"work/{model}", "input": "Hi", "stream": True}
    async with served.house.session.post(f"{served.house.url}/v1/responses", json=asked) as answer:
        await answer.content.readline()
    async with asyncio.timeout(10):
        await served.copilot.left.get()
        outcome = await served.house.heard.outcomes.get()
    assert outcome.status == "disconnected"
