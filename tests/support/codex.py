"""The real Codex CLI: installed once from npm into `.cache`, run with a home of its own."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.support.npm import npm_packages

VERSION: Final = "0.169.0"


def codex_program() -> Path:
    """The `codex` command in the pinned version, installed if it is not yet there."""
    place = npm_packages(f"codex-{VERSION}", f"@openai/codex@{VERSION}")
    return place / "node_modules" / ".bin" / "codex"


@dataclass(frozen=True)
class Ran:
    """One finished `codex exec --json`: its exit status, the events that it printed, and its log."""

    status: int
    events: list[dict[str, Any]]
    log: str

    @property
    def messages(self) -> list[str]:
        """What the assistant said, in order."""
        return [item["text"] for item in self.items("agent_message")]

    def items(self, kind: str) -> list[dict[str, Any]]:
        """The completed items of one kind."""
        return [
            event["item"]
            for event in self.events
            if event["type"] == "item.completed" and event["item"]["type"] == kind
        ]


@dataclass(frozen=True)
class Codex:
    """A user's Codex: `home` is its CODEX_HOME, `work` the folder that it works in."""

    program: Path
    home: Path
    work: Path

    def configure(
        self, base_url: str, model: str, *, key_command: bool = False, compacts_remotely: bool = False
    ) -> None:
        """Write config.toml for a provider at `base_url`, with a dummy key.

        With `key_command` the key comes from a command, which makes Codex ask for ``/models``. With
        `compacts_remotely` the upstream is to compact the conversation, as soon as an answer tells of usage.
        """
        key = '[model_providers.gw.auth]\ncommand = "/bin/echo"\nargs = ["dummy"]\n'
        name = "OpenAI" if compacts_remotely else "gw"  # Codex goes by nothing but the name
        limit = "model_auto_compact_token_limit = 1" if compacts_remotely else ""
        text = f"""
{limit}
model = "{model}"
model_provider = "gw"

[model_providers.gw]
name = "{name}"
base_url = "{base_url}"
wire_api = "responses"
{key if key_command else 'env_key = "GW_KEY"'}
"""
        (self.home / "config.toml").write_text(text)

    def exec(self, prompt: str) -> Ran:
        """Run one prompt to its end, in at most two minutes. Blocks: call it in a thread."""
        result = subprocess.run(
            [
                self.program,
                "exec",
                "--skip-git-repo-check",
                "--json",
                # The commands are scripted by the test, and a test machine need not offer a sandbox.
                "--dangerously-bypass-approvals-and-sandbox",
                prompt,
            ],
            cwd=self.work,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.home),
                "CODEX_HOME": str(self.home),
                "GW_KEY": "dummy",
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        events = [json.loads(line) for line in result.stdout.splitlines()]
        return Ran(result.returncode, events, result.stderr)
