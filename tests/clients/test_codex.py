"""The real Codex CLI against the daemon: tool loops that edit a file, and the system prompt that it uses."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from tests.support import native
from tests.support.codex import Codex, Ran, codex_program
from tests.support.codex_upstream import CALL_ID, chat_call, chat_text, native_call, native_custom_call
from tests.support.fake_upstream import FakeUpstream, Stream
from tests.support.serving import serving_beside

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(900)]

COMMAND = {"cmd": "printf 'edited\\n' > note.txt && echo it-was-written"}
PATCH = "*** Begin Patch\n*** Add File: note.txt\n+edited\n*** End Patch\n"
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

[routes.native-coder]
targets = ["native/gpt-test"]

[routes.home-coder]
targets = ["home/gpt-test"]
"""


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
    """A daemon with the fake upstream as a native and as a translated target."""
    async with serving_beside(CONFIG.format(url=upstream.url), tmp_path / "daemon") as url:
        yield url


async def ask(codex: Codex, base_url: str, model: str, **configured: bool) -> Ran:
    """Let Codex work on one prompt; it must end well, having edited the file and said so."""

    def work() -> Ran:
        codex.configure(base_url, model, **configured)
        ran = codex.exec("Write the note.")
        assert ran.status == 0, ran
        assert (codex.work / "note.txt").read_text() == "edited\n", ran
        return ran

    ran = await asyncio.to_thread(work)
    assert ran.messages == ["The note is written."]
    return ran


def asked(upstream: FakeUpstream, path: str) -> list[dict[str, Any]]:
    """The bodies of the two requests of a tool loop."""
    assert [request.path for request in upstream.requests] == [path, path]
    return [request.body for request in upstream.requests]


@pytest.fixture(scope="module")
def our_prompt() -> str:
    text = resources.files("maestro_daemon.server").joinpath("prompts/coding_agent.md").read_text("utf-8")
    return text.strip()


async def test_a_native_upstream_edits_a_file_by_a_command(
    codex: Codex, base_url: str, upstream: FakeUpstream
) -> None:
    upstream.play(
        Stream(*native_call("exec_command", COMMAND)), Stream(*native.text("The note ", "is written."))
    )
    ran = await ask(codex, base_url, "native-coder")
    assert [item["exit_code"] for item in ran.items("command_execution")] == [0]
    first, second = asked(upstream, "/v1/responses")
    assert first["model"] == second["model"] == "gpt-test"
    assert first["stream"] is True
    call, output = second["input"][-2:]
    assert (call["type"], call["name"], call["call_id"]) == ("function_call", "exec_command", CALL_ID)
    assert (output["type"], output["call_id"]) == ("function_call_output", CALL_ID)
    assert "it-was-written" in output["output"]


async def test_a_translated_upstream_edits_a_file_by_a_command(
    codex: Codex, base_url: str, upstream: FakeUpstream
) -> None:
    upstream.play(Stream(*chat_call("exec_command", COMMAND)), Stream(*chat_text("The note ", "is written.")))
    ran = await ask(codex, base_url, "home-coder")
    assert [item["exit_code"] for item in ran.items("command_execution")] == [0]
    first, second = asked(upstream, "/v1/chat/completions")
    names = [tool["function"]["name"] for tool in first["tools"]]
    assert len(set(names)) == len(names) > 1
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name) for name in names)
    roles = [message["role"] for message in second["messages"]]
    assert roles[0] == "system"
    assert roles.count("system") == 1
    call, output = second["messages"][-2:]
    assert call["tool_calls"][0]["id"] == CALL_ID
    assert call["tool_calls"][0]["function"]["name"] == "exec_command"
    assert (output["role"], output["tool_call_id"]) == ("tool", CALL_ID)
    assert "it-was-written" in output["content"]


async def test_a_native_upstream_edits_a_file_by_a_patch_under_our_prompt(
    codex: Codex, base_url: str, upstream: FakeUpstream, our_prompt: str
) -> None:
    upstream.play(
        Stream(*native_custom_call("apply_patch", PATCH)), Stream(*native.text("The note ", "is written."))
    )
    ran = await ask(codex, base_url, "native-coder", key_command=True)
    assert [item["status"] for item in ran.items("file_change")] == ["completed"]
    first, second = asked(upstream, "/v1/responses")
    assert [tool["type"] for tool in first["tools"] if tool.get("name") == "apply_patch"] == ["custom"]
    assert said_first(first) == our_prompt
    call, output = second["input"][-2:]
    assert (call["type"], call["input"]) == ("custom_tool_call", PATCH)
    assert (output["type"], output["call_id"]) == ("custom_tool_call_output", CALL_ID)


async def test_a_translated_upstream_edits_a_file_by_a_patch_under_our_prompt(
    codex: Codex, base_url: str, upstream: FakeUpstream, our_prompt: str
) -> None:
    upstream.play(
        Stream(*chat_call("apply_patch", {"input": PATCH})), Stream(*chat_text("The note ", "is written."))
    )
    ran = await ask(codex, base_url, "home-coder", key_command=True)
    assert [item["status"] for item in ran.items("file_change")] == ["completed"]
    first, second = asked(upstream, "/v1/chat/completions")
    system = first["messages"][0]
    assert system["role"] == "system"
    assert system["content"].startswith(our_prompt)
    call, output = second["messages"][-2:]
    assert call["tool_calls"][0]["function"]["name"] == "apply_patch"
    assert (output["role"], output["tool_call_id"]) == ("tool", CALL_ID)
    assert "note.txt" in output["content"]


def said_first(body: dict[str, Any]) -> str:
    """The system prompt of a native request: Codex puts it into the first developer message."""
    first = body["input"][0]
    assert first["role"] == "developer"
    text: str = first["content"][0]["text"]
    return text.strip()


async def test_codex_takes_every_entry_of_our_models_list(
    codex: Codex, base_url: str, upstream: FakeUpstream
) -> None:
    upstream.play(
        Stream(*native_call("exec_command", COMMAND)), Stream(*native.text("The note ", "is written."))
    )
    ran = await ask(codex, base_url, "native-coder", key_command=True)
    assert ran.items("error") == []
    assert "failed to decode" not in ran.log


async def test_a_translated_upstream_compacts_the_conversation(
    codex: Codex, base_url: str, upstream: FakeUpstream
) -> None:
    upstream.play(
        Stream(*chat_call("exec_command", COMMAND)),
        Stream(*chat_text("The note ", "was written.")),
        Stream(*chat_text("The note ", "is written.")),
    )
    await ask(codex, base_url, "home-coder", compacts_remotely=True)
    called, compacting, after = [request.body["messages"] for request in upstream.requests]
    assert compacting[:-3] == called
    assert [message["role"] for message in compacting[-3:]] == ["assistant", "tool", "user"]
    assert "tools" not in upstream.requests[1].body
    assert after[-1] == {
        "role": "user",
        "content": "Summary of the conversation up to here:\n\nThe note was written.",
    }
