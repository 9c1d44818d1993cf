"""Conversations that move between Copilot accounts: each gets its own ciphertext back, none another's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from maestro_copilot.provider import CopilotProvider
from tests.support.conversation import Conversation
from tests.support.copilot.copilot import Fake, fake_copilot
from tests.support.copilot.refusing import Refused
from tests.support.copilot.served import copilot_options
from tests.support.copilot.turns import Say, Think
from tests.support.house import house

modes = pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
ROUTES = {"coder": (["work/gpt-native", "spare/gpt-native"], [])}


@asynccontextmanager
async def served(
    work: Fake, spare: Fake, state: Path, history: list[Any], stream: bool
) -> AsyncIterator[Any]:
    """A client of two accounts, each at a GitHub of its own, logged in anew."""
    providers = {}
    for name, fake in (("work", work), ("spare", spare)):
        provider = CopilotProvider(name, copilot_options(fake), state)
        await provider.start()
        await provider.models()
        providers[name] = provider
    async with house(providers, ROUTES) as running:
        yield Conversation(running, stream, history=history)


@modes
async def test_a_conversation_moves_between_accounts_and_back(stream: bool, tmp_path: Path) -> None:
    async with fake_copilot() as work, fake_copilot() as spare:
        for fake in (work, spare):
            fake.copilot.play((Think(), Say("Hi")))
        history: list[Any] = []
        async with served(work, spare, tmp_path, history, stream) as client:
            await client.turn("one")
            await client.turn("two")
            assert (client.target, client.degraded) == ("work/gpt-native", None)
            minted = list(work.copilot.native.ids_of_ciphertexts)
            assert work.copilot.native.ciphertexts_seen == minted[:1]

            work.copilot.faults = [Refused(503, "down")] * 4
            await client.turn("three")
            assert (client.target, client.degraded) == ("spare/gpt-native", "sealed_reasoning")
            sent = spare.copilot.requests[-1].body["input"]
            assert [item["type"] for item in sent] == ["message"] * 5
            assert len(spare.copilot.requests) == 1, "nothing that it would refuse was sent"

            work.copilot.faults = []
            await client.turn("four")
            assert client.target == "spare/gpt-native"
            assert spare.copilot.native.ciphertexts_seen == list(spare.copilot.native.ids_of_ciphertexts)[:1]

        # After a restart and with new logins the accounts are still the same.
        async with served(work, spare, tmp_path, history, stream) as client:
            spare.copilot.faults = [Refused(503, "down")] * 4
            work.copilot.native.ciphertexts_seen.clear()
            await client.turn("five")
            assert (client.target, client.degraded) == ("work/gpt-native", "sealed_reasoning")
            assert work.copilot.native.ciphertexts_seen == minted[:2]


@modes
async def test_ciphertext_without_its_mark_is_left_out_where_it_is_refused(
    stream: bool, tmp_path: Path
) -> None:
    async with fake_copilot() as work, fake_copilot() as spare:
        for fake in (work, spare):
            fake.copilot.play((Think(), Say("Hi")))
        async with served(work, spare, tmp_path, [], stream) as client:
            await client.turn("one")
            for item in client.history:
                if "encrypted_content" in item:
                    item["encrypted_content"] = item["encrypted_content"].split(".", 2)[2]
            client.model = "spare/gpt-native"
            await client.turn("two")
            assert (client.target, client.degraded) == ("spare/gpt-native", "sealed_reasoning")
            assert client.headers["x-maestro-attempts"] == "2"
