"""The real Vercel AI SDK through a daemon: it checks every event, and refers to items by their ids."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support import chat, native
from tests.support.fake_upstream import FakeUpstream, Stream
from tests.support.npm import npm_packages
from tests.support.serving import serving_beside
from tests.support.upstream_kinds import NATIVE, TRANSLATED, Call, Kind, both

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(900)]

PACKAGES = ("ai@7.0.173", "@ai-sdk/openai@4.0.118", "zod@4")
CONFIG = """
[server]
port = 0

[providers.native]
kind = "openai"
base_url = "{url}"
api_key = "sk-upstream"

[providers.home]
kind = "local"
base_url = "{url}"
"""
OSLO = Call("weather", '{"city": "Oslo"}', "call_oslo")
ROME = Call("weather", '{"city": "Rome"}', "call_rome")


def calls_after_a_thought(kind: Kind) -> list[bytes]:
    if kind is NATIVE:
        thought = native.thought_events("Hm.")
        events = [
            native.call_events(each.name, each.pieces, index, id=f"fc_{index}", call_id=each.call_id)
            for index, each in enumerate((OSLO, ROME), 1)
        ]
        return native.frames(native.events(thought, *events))
    deltas = [chat.call(each.name, each.pieces, i, each.call_id) for i, each in enumerate((OSLO, ROME))]
    return chat.chunks({"reasoning_content": "Hm."}, *deltas[0], *deltas[1], finish="tool_calls")


async def converse(base_url: str, model: str, folder: Path) -> dict[str, Any]:
    """Run the script; what it printed."""

    def run() -> dict[str, Any]:
        packages = npm_packages("ai-sdk-7.0.173", *PACKAGES)
        (folder / "node_modules").symlink_to(packages / "node_modules")
        script = shutil.copy(Path(__file__).with_name("ai_sdk.mjs"), folder)
        ran = subprocess.run(
            ["node", script, base_url, model], capture_output=True, text=True, timeout=60, check=False
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        printed: dict[str, Any] = json.loads(ran.stdout)
        return printed

    return await asyncio.to_thread(run)


@both
async def test_an_agent_with_default_settings_goes_through_steps_and_turns(
    upstream: FakeUpstream, tmp_path: Path, kind: Kind
) -> None:
    upstream.play(
        Stream(*calls_after_a_thought(kind)),
        Stream(*kind.text("It is ", "sunny.")),
        kind.whole("Yes."),
        kind.whole('{"city": "Oslo"}'),
    )
    async with serving_beside(CONFIG.format(url=upstream.url), tmp_path) as url:
        said = await converse(url, kind.model, tmp_path)
    assert said["errors"] == []
    assert said["texts"] == ["It is sunny.", "Yes."]
    assert said["finished"] == ["stop", "stop"]
    assert said["steps"] == 2
    assert said["tokens"] == 36
    assert said["object"] == {"city": "Oslo"}
    assert said["parts"].count("tool-result") == 2
    assert said["parts"].count("reasoning-start") == 1
    _, second, third, _ = (request.body for request in upstream.requests)
    outputs = {"call_oslo": "Oslo: sunny", "call_rome": "Rome: sunny"}
    if kind is TRANSLATED:
        assert [roles(each) for each in (second, third)] == [
            ["user", "assistant", "tool", "tool"],
            ["user", "assistant", "tool", "tool", "assistant", "user"],
        ]
        # These came as references to items by their ids.
        assert third["messages"][1]["reasoning_content"] == "Hm."
        assert third["messages"][4]["content"] == "It is sunny."
        told = {each["tool_call_id"]: each["content"] for each in third["messages"] if each["role"] == "tool"}
    else:
        assert [item["id"] for item in third["input"] if item.get("type") == "item_reference"] == [
            "rs_upstream",
            "msg_upstream",
        ]
        told = {each["call_id"]: each["output"] for each in third["input"] if "output" in each}
    assert told == outputs


def roles(body: dict[str, Any]) -> list[str]:
    """Who speaks, in order."""
    return [message["role"] for message in body["messages"]]
