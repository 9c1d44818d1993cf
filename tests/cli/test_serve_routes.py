"""The daemon balances as its file says, and stays with conversations as long as their provider says."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.answering_upstream import answering_upstreams
from tests.support.serving import serving_beside

CONFIG = """
[server]
port = 0
[providers.big]
kind = "openai"
api_key = "sk-big"
base_url = "{big}"
[providers.small]
kind = "openai"
api_key = "sk-small"
base_url = "{small}"
affinity = "0s"
[routes.coder]
targets = ["big/m", "small/m"]
balance = "weighted"
weights = {{ "big/m" = 3 }}
"""


async def test_weights_and_affinity_of_the_file_hold(tmp_path: Path) -> None:
    async with answering_upstreams("big", "small") as upstreams:
        config = CONFIG.format(big=upstreams["big"].url, small=upstreams["small"].url)
        async with serving_beside(config, tmp_path) as url, aiohttp.ClientSession() as session:

            async def target(**fields: Any) -> str:
                asked = {"model": "coder", "input": "Hi", **fields}
                async with session.post(f"{url}/responses", json=asked) as answer:
                    assert answer.status == 200, await answer.text()
                    return answer.headers["x-maestro-target"]

            shares = Counter([await target() for _ in range(40)])
            assert shares == {"big/m": 30, "small/m": 10}
            keys = [f"k{number}" for number in range(4)]
            first = {key: await target(prompt_cache_key=key) for key in keys}
            assert Counter(first.values()) == {"big/m": 3, "small/m": 1}
            for key in keys:
                if first[key] == "big/m":
                    assert {await target(prompt_cache_key=key) for _ in range(4)} == {"big/m"}
            (loose,) = (key for key in keys if first[key] == "small/m")
            assert "big/m" in [await target(prompt_cache_key=loose) for _ in range(4)]
    log = await asyncio.to_thread((tmp_path / "daemon.log").read_text)
    lines = [line for line in map(json.loads, log.splitlines()) if line["event"] == "response"]
    assert {(line["input_tokens"], line["cached_tokens"]) for line in lines} == {(11, 3)}
