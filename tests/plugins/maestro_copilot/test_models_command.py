"""``maestro-daemon models`` shows what a subscription offers, by a running daemon and without one."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from tests.support.command import Place
from tests.support.copilot.catalogues import CHAT, DISABLED, EMBEDDINGS, MALFORMED, entry
from tests.support.copilot.copilot import Fake

CONFIG = """
[server]
port = 0

[providers.work]
kind = "copilot"
token = "{token}"
base_url = "{url}"
github_url = "{url}"
github_api_url = "{url}"
mode = "exchange"
"""


async def test_limits_abilities_and_endpoints_of_every_usable_model_are_shown(
    fake: Fake, tmp_path: Path
) -> None:
    """copilot.md §6 GET /models."""
    offer = [entry("gpt-native"), *MALFORMED, DISABLED, EMBEDDINGS, entry("claude-chat", CHAT, vision=False)]
    fake.copilot.catalogue = {"object": "list", "data": offer}
    place = Place(tmp_path)

    def run() -> tuple[Any, str, Any]:
        place.write(CONFIG.format(url=fake.url, token=fake.state.github_token()))
        with place.serve() as daemon:
            daemon.lines_until("provider work ")
            asked = json.loads(place.run("models", "--json").stdout)
            shown = place.run("models").stdout
        return asked, shown, json.loads(place.run("models", "--json").stdout)

    asked, shown, direct = await asyncio.to_thread(run)
    assert direct == asked
    assert asked["problems"] == {}
    assert [model["id"] for model in asked["models"]] == ["work/gpt-native", "work/claude-chat"]
    head, native, chat = shown.splitlines()
    assert head.split() == ["MODEL", "CONTEXT", "OUTPUT", "TOOLS", "VISION", "EFFORTS", "ENDPOINTS"]
    told = "work/gpt-native 400000 64000 yes yes low medium high /chat/completions /responses ws:/responses"
    assert native.split() == told.split()
    told = "work/claude-chat 400000 64000 yes no low medium high /chat/completions"
    assert chat.split() == told.split()
