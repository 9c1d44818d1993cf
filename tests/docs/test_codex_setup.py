"""The real Codex CLI with the config.toml of the README, against a daemon with the README's configuration."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from tests.support import native
from tests.support.codex import Codex, Ran, codex_program
from tests.support.documents import BASE_URL, README, block, blocks
from tests.support.fake_upstream import FakeUpstream, Stream
from tests.support.serving import serving_beside

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(900)]

CONFIG: Final = block(README, "toml", holding="[routes.coder]")
CODEX: Final = {
    "env_key" if "env_key" in text else "auth.command": text
    for text in blocks(README, "toml", holding="model_providers")
}


@pytest.fixture(scope="session")
def program() -> Path:
    return codex_program()


@pytest.fixture
def codex(program: Path, tmp_path: Path) -> Codex:
    for name in ("home", "work", "daemon"):
        (tmp_path / name).mkdir()
    return Codex(program, tmp_path / "home", tmp_path / "work")


@pytest.fixture
async def base_url(codex: Codex, upstream: FakeUpstream, tmp_path: Path) -> AsyncIterator[str]:
    """A daemon with the README's configuration, its upstreams being the fake one."""
    upstream.models = {"object": "list", "data": [{"id": "gpt-5.5"}, {"id": "qwen3-coder"}]}
    here = CONFIG.replace("http://127.0.0.1:11434/v1", upstream.url)
    here = re.sub(r"api_key = .*", f'api_key = "sk-upstream"\nbase_url = "{upstream.url}"', here, count=1)
    async with serving_beside(f"[server]\nport = 0\n\n{here}", tmp_path / "daemon") as url:
        yield url


async def ran(codex: Codex, base_url: str, setup: str) -> Ran:
    def work() -> Ran:
        (codex.home / "config.toml").write_text(
            CODEX[setup].replace(BASE_URL, base_url).replace("MAESTRO_KEY", "GW_KEY")
        )
        return codex.exec("Say hello.")

    return await asyncio.to_thread(work)


async def test_codex_answers_with_a_key_from_the_environment(
    codex: Codex, base_url: str, upstream: FakeUpstream
) -> None:
    upstream.play(Stream(*native.text("Hel", "lo.")))
    finished = await ran(codex, base_url, "env_key")
    assert finished.status == 0, finished
    assert finished.messages == ["Hello."]
    assert upstream.requests[0].body["model"] == "gpt-5.5"


async def test_codex_answers_with_a_command_for_the_key_and_knows_the_model(
    codex: Codex, base_url: str, upstream: FakeUpstream
) -> None:
    upstream.play(Stream(*native.text("Hel", "lo.")))
    finished = await ran(codex, base_url, "auth.command")
    assert finished.status == 0, finished
    assert finished.messages == ["Hello."]
    tools = {tool.get("name") for tool in upstream.requests[0].body["tools"]}
    assert "apply_patch" in tools
    assert "Model metadata" not in finished.log
