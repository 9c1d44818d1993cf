"""Commands about two Copilot accounts, at a terminal or in a pipe, with a real daemon or without one."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from maestro_daemon.plugin import write_private
from tests.support.command import PROGRAM, Daemon, Place
from tests.support.copilot.github import GitHubHalf
from tests.support.copilot.overheard import Overheard
from tests.support.terminal import Terminal, at_terminal


class Desk:
    """A place with a configuration of two accounts at the fake GitHub."""

    def __init__(self, folder: Path, url: str, heard: Overheard) -> None:
        self.place = Place(folder)
        self.heard = heard
        self._host = url.removeprefix("http://")
        # Nobody listens where Copilot's API is said to be: most tests ask for no model.
        self.config = "[server]\nport = 0\n" + "".join(
            f"""
[providers.{name}]
kind = "copilot"
github_url = "{url}"
github_api_url = "{url}"
base_url = "http://127.0.0.1:1"
mode = "exchange"
"""
            for name in ("work", "home")
        )

    def file(self, name: str = "work") -> Path:
        return self.place.folder / ".local" / "state" / "maestro-daemon" / "copilot" / f"{name}.json"

    async def log_in(self, github: GitHubHalf, name: str = "work") -> None:
        """Leave a login as the command would, without its waits."""
        document = {"host": self._host, "github_token": github.state.github_token()}
        await asyncio.to_thread(write_private, self.file(name), json.dumps(document).encode())

    @asynccontextmanager
    async def daemon(self, running: bool = True, config: str | None = None) -> AsyncIterator[Daemon | None]:
        """The daemon of the configuration, or none; its log is overheard, and it ends without a fault."""
        await asyncio.to_thread(self.place.write, self.config if config is None else config)
        if not running:
            yield None
            return
        serving = self.place.serve("--log-level", "debug")
        daemon = await asyncio.to_thread(serving.__enter__)
        try:
            await asyncio.to_thread(daemon.lines_until, "http://")
            yield daemon
            assert await asyncio.to_thread(daemon.end) == 0
            log = await asyncio.to_thread(lambda: daemon.log)
            assert "Traceback" not in log, log
            self.heard.text(log)
        finally:
            await asyncio.to_thread(serving.__exit__, None, None, None)

    @asynccontextmanager
    async def terminal(self, *arguments: str) -> AsyncIterator[Talk]:
        opened = at_terminal([PROGRAM, *arguments], cwd=self.place.folder, environ=self.place.environ)
        terminal = await asyncio.to_thread(opened.__enter__)
        try:
            yield Talk(terminal)
        finally:
            await asyncio.to_thread(opened.__exit__, None, None, None)
            self.heard.text(terminal.raw)

    async def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command in a pipe."""
        done = await asyncio.to_thread(self.place.run, *arguments)
        self.heard.text(done.stdout + done.stderr)
        return done


class Talk:
    """A terminal for tests whose servers live on the running loop."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal

    async def until(self, text: str) -> str:
        return await asyncio.to_thread(self._terminal.until, text)

    async def end(self) -> tuple[int, str]:
        status = await asyncio.to_thread(self._terminal.end)
        return status, self._terminal.shown

    async def type(self, keys: str) -> None:
        await asyncio.to_thread(self._terminal.type, keys)
