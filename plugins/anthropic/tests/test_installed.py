"""The distribution as a user installs it, beside the daemon; and the real Codex working through both."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from messages_api import KEY, MessagesAPI, model_entry
from scripted_answers import Answer, call, signature_of, text, thinking
from tests.support.codex import Codex, codex_program
from tests.support.environment import fetching
from tests.support.serving import INSTALLED, serving

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(900)]

DISTRIBUTION = Path(__file__).parent.parent
COMMAND = {"cmd": "printf 'edited\\n' > note.txt && echo it-was-written"}
PATCH = "*** Begin Patch\n*** Add File: note.txt\n+edited\n*** End Patch\n"
CONFIG = """
[server]
port = 0

[providers.claude]
kind = "anthropic"
base_url = "{url}"
api_key = "{key}"

[routes.claude-coder]
targets = ["claude/claude-test"]
"""


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the folder."""
    place = tmp_path_factory.mktemp("dist")
    source = place / "source"
    shutil.copytree(DISTRIBUTION, source, ignore=shutil.ignore_patterns("*.egg-info", "__pycache__", "build"))
    command: list[str | Path] = [sys.executable, "-m", "build", "--wheel", "--outdir", place, source]
    result = subprocess.run(command, env=fetching(), capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stdout + result.stderr
    (built,) = place.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def program(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A `maestro-daemon` that has the plugin installed, while the environment of these tests has not."""
    place = tmp_path_factory.mktemp("installed")
    command: list[str | Path] = [sys.executable, "-m", "pip", "install", "-qq", "--no-deps", "--no-input"]
    command += ["--target", place / "lib", wheel]
    result = subprocess.run(command, env=fetching(), capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stdout + result.stderr
    script = place / "maestro-daemon"
    script.write_text(f'#!/bin/sh\nPYTHONPATH="{place / "lib"}" exec "{INSTALLED}" "$@"\n')
    script.chmod(0o755)
    return script


@pytest.fixture
def codex(tmp_path: Path) -> Codex:
    for name in ("home", "work", "daemon"):
        (tmp_path / name).mkdir()
    return Codex(codex_program(), tmp_path / "home", tmp_path / "work")


@pytest_asyncio.fixture
async def base_url(codex: Codex, api: MessagesAPI, program: Path, tmp_path: Path) -> AsyncIterator[str]:
    """A daemon process with the installed plugin before the fake API."""
    daemon = serving(CONFIG.format(url=api.url, key=KEY), tmp_path / "daemon", program=program)
    url = await asyncio.to_thread(daemon.__enter__)
    try:
        yield url
    finally:
        await asyncio.to_thread(daemon.__exit__, None, None, None)


async def work(codex: Codex, base_url: str, **configured: bool) -> list[dict[str, Any]]:
    """Let Codex edit a file; what it did, by kind of item."""

    def run() -> Any:
        codex.configure(base_url, "claude-coder", **configured)
        ran = codex.exec("Write the note.")
        assert ran.status == 0, ran
        assert (codex.work / "note.txt").read_text() == "edited\n", ran
        assert ran.messages == ["The note is written."]
        return ran

    ran = await asyncio.to_thread(run)
    return [*ran.items("command_execution"), *ran.items("file_change")]


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    package = DISTRIBUTION / "maestro_anthropic"
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert held == {f"maestro_anthropic/{path.name}" for path in package.iterdir() if path.is_file()}


def test_the_installed_plugin_is_listed_by_its_name(program: Path, tmp_path: Path) -> None:
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
    result = subprocess.run(
        [program, "plugins", "--json"], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr
    rows = json.loads(result.stdout)
    rows = rows if isinstance(rows, list) else rows["plugins"]
    (row,) = [each for each in rows if each["name"] == "anthropic"]
    assert row["state"] == "loaded"
    assert "maestro-daemon-anthropic" in json.dumps(row)


async def test_codex_runs_a_command_and_its_thinking_makes_the_round(
    codex: Codex, base_url: str, api: MessagesAPI
) -> None:
    api.play(
        Answer(thinking("I write it."), call("exec_command", COMMAND)),
        Answer(thinking("It is done."), text("The note is written.")),
    )
    (done,) = await work(codex, base_url)
    assert done["exit_code"] == 0
    first, second = api.bodies
    assert first["system"][0]["text"]
    assert {tool["name"] for tool in first["tools"]} > {"exec_command"}
    called, answered = second["messages"][-2:]
    assert [block["type"] for block in called["content"]][-1] == "tool_use"
    assert answered["content"][0]["tool_use_id"] == "toolu_01"
    assert "it-was-written" in json.dumps(answered["content"][0]["content"])
    assert called["content"][0] == {
        "type": "thinking",
        "thinking": "I write it.",
        "signature": signature_of("I write it."),
    }


async def test_codex_knows_the_models_and_patches_a_file(
    codex: Codex, base_url: str, api: MessagesAPI
) -> None:
    api.models = [model_entry("claude-test")]
    api.play(Answer(call("apply_patch", {"input": PATCH}), pieces=5), Answer(text("The note is written.")))
    (done,) = await work(codex, base_url, key_command=True)
    assert done["status"] == "completed"
    called, answered = api.bodies[1]["messages"][-2:]
    assert called["content"][-1]["input"] == {"input": PATCH}
    assert "note.txt" in json.dumps(answered["content"][0]["content"])
