"""The contract, kept by the provider kind ``copilot`` in both dialects."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import maestro_copilot
from maestro_daemon.testing import SECRET, ChatWire, ProviderContract, ResponsesWire, Stage
from maestro_daemon.testing.bench import Author
from tests.support.copilot.catalogues import CHAT, NATIVE, entry
from tests.support.copilot.stage import copilot_stage, exchanging


class NativeWire(ResponsesWire):
    """A Copilot whose models are all served natively."""

    def listing(self, ids: Sequence[str]) -> Any:
        return {"object": "list", "data": [entry(id, NATIVE) for id in ids]}


class TranslatedWire(ChatWire):
    """A Copilot whose models are all served by chat completions."""

    reasoning_field = "reasoning_text"

    def listing(self, ids: Sequence[str]) -> Any:
        return {"object": "list", "data": [entry(id, CHAT) for id in ids]}


class OfCopilot(ProviderContract):
    plugin = maestro_copilot

    def table(self, url: str) -> dict[str, Any]:
        return {"base_url": url, "github_url": url, "github_api_url": url, "token": SECRET}


class TestCopilotNative(OfCopilot):
    wire = NativeWire()


class TestCopilotChat(OfCopilot):
    wire = TranslatedWire()


class AtTheFake(ProviderContract):
    """The same with exchanged tokens, at the fake that refuses what Copilot refuses."""

    plugin = maestro_copilot

    @asynccontextmanager
    async def stage(self) -> AsyncIterator[Stage]:
        async with copilot_stage(self.model) as stage:
            yield stage

    def author(self, stage: Stage) -> Author:
        return replace(super().author(stage), table=exchanging(stage))


class TestCopilotNativeAtTheFake(AtTheFake):
    model = "gpt-native"


class TestCopilotChatAtTheFake(AtTheFake):
    model = "claude-chat"
