"""The real Codex CLI at Copilot: tool loops with reasoning that edit a file, across the end of a token."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.codex import Codex, Ran, codex_program
from tests.support.copilot.copilot import Fake, fake_copilot
from tests.support.copilot.overheard import nothing_in
from tests.support.copilot.turns import Call, Say, Think
from tests.support.serving import serving_beside

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(900)]

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

[routes.coder]
targets = ["work/{model}"]
"""


def command(text: str) -> str:
    return json.dumps({"cmd": text})


@pytest.fixture(scope="session")
def program() -> Path:
    return codex_program()


@pytest.fixture
def codex(program: Path, tmp_path: Path) -> Codex:
    for name in ("home", "work", "daemon"):
        (tmp_path / name).mkdir()
    return Codex(program, tmp_path / "home", tmp_path / "work")


@pytest.fixture
async def fake() -> AsyncIterator[Fake]:
    async with fake_copilot() as running:
        yield running


async def ask(codex: Codex, fake: Fake, tmp_path: Path, model: str, *, key_command: bool) -> tuple[Ran, str]:
    """Let Codex work on one prompt with a model of Copilot's; what it did, and what is in the file then."""
    config = CONFIG.format(url=fake.url, token=fake.state.github_token(), model=model)
    async with serving_beside(config, tmp_path / "daemon") as url:

        def work() -> tuple[Ran, str]:
            codex.configure(url, "coder", key_command=key_command)
            ran = codex.exec("Write the note.")
            assert ran.status == 0, ran
            return ran, (codex.work / "note.txt").read_text()

        done = await asyncio.to_thread(work)
    await asyncio.to_thread(nothing_in, tmp_path / "daemon" / "daemon.log")
    return done


@pytest.mark.parametrize("key_command", [False, True], ids=["unknown model", "known model"])
@pytest.mark.parametrize("model", ["gpt-native", "gpt-plain", "claude-chat", "gpt-5-mini", "o1-preview"])
async def test_a_tool_loop_with_reasoning_outlives_its_token(
    codex: Codex, fake: Fake, tmp_path: Path, model: str, key_command: bool
) -> None:
    """copilot.md §3 Tokens, §7 Replaying, §8."""
    fake.copilot.chat.signs = True
    fake.copilot.tokens_end_after = {1, 2}
    fake.copilot.play(
        (Think("A file."), Call("exec_command", command("printf 'half' > note.txt && echo begun"))),
        (
            Think("More."),
            Say("Half."),
            Call("exec_command", command("printf ' whole' >> note.txt && echo ended")),
        ),
        (Think("Good."), Say("The note ", "is written.")),
    )
    ran, note = await ask(codex, fake, tmp_path, model, key_command=key_command)
    assert ran.messages[-1] == "The note is written.", ran
    assert note == "half whole", ran
    assert [item["exit_code"] for item in ran.items("command_execution")] == [0, 0]
    asked = [each for each in fake.copilot.requests if each.body["model"] == model]
    assert [each.initiator for each in asked] == ["user", *["agent"] * 4]
    assert fake.github.exchanges == 3
    if model in ("gpt-native", "gpt-plain"):
        assert len(set(fake.copilot.native.ciphertexts_seen)) == 2
        assert "begun" in json.dumps(asked[-1].body["input"])
    else:
        assert [text for text, _ in fake.copilot.chat.replayed[-2:]] == ["A file.", "More."]
        assert len(set(fake.copilot.chat.signatures_seen)) == 2
