"""A daemon in this process, from a configuration file; it has no signals and no control socket."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping, MutableMapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp

from maestro_daemon.config import Config, load
from maestro_daemon.daemon import Daemon
from maestro_daemon.generation import Generation, Lasting
from maestro_daemon.providers.registry import Registry
from maestro_daemon.routing.health import Health
from maestro_daemon.routing.tracing import Tracing
from maestro_daemon.server.allowances import Allowances
from maestro_daemon.server.issued_keys import IssuedKeys
from maestro_daemon.succession import Succession

SERVER: Final = "[server]\nport = 0\n"


def provider(name: str, url: str, *lines: str) -> str:
    """``[providers.NAME]`` of kind ``openai`` with the key ``sk-up``; `lines` are further keys."""
    own = [f"[providers.{name}]", 'kind = "openai"', 'api_key = "sk-up"', f'base_url = "{url}"']
    return "\n".join([*own, *lines, ""])


def route(name: str, *targets: str) -> str:
    """``[routes.NAME]``."""
    return f"[routes.{name}]\ntargets = {json.dumps(targets)}\n"


def told(logged: Sequence[MutableMapping[str, Any]], event: str) -> list[MutableMapping[str, Any]]:
    """The log lines of that event."""
    return [line for line in logged if line["event"] == event]


@dataclass
class Standing:
    """A running daemon. `file` is what it reads; `environ` is where secrets come from."""

    file: Path
    environ: dict[str, str]
    registry: Registry
    daemon: Daemon
    session: aiohttp.ClientSession

    @property
    def url(self) -> str:
        """The base URL, which ends in ``/v1``."""
        return self.daemon.listening.urls[0]

    @property
    def current(self) -> Generation:
        """The generation that serves what comes now."""
        return self.daemon.succession.current

    async def write(self, text: str) -> None:
        """Other contents of the configuration file."""
        await asyncio.to_thread(self.file.write_text, text)

    async def reload(self, text: str | None = None) -> dict[str, Any]:
        """Read the configuration anew, `text` having been written before; what became of it."""
        if text is not None:
            await self.write(text)
        return await self.daemon.reloading.asked({})

    async def post(
        self, model: str, *, headers: Mapping[str, str] | None = None, **body: Any
    ) -> tuple[int, Any]:
        """Status and JSON of ``POST /responses``."""
        sent = {"model": model, "input": "Hi", **body}
        async with self.session.post(f"{self.url}/responses", json=sent, headers=headers) as answer:
            return answer.status, await answer.json()

    async def get(self, path: str) -> tuple[int, Any]:
        """Status and JSON of a ``GET``; `path` begins with a slash."""
        async with self.session.get(self.url.removesuffix("/v1") + path) as answer:
            return answer.status, await answer.json()

    async def only_current(self) -> None:
        """Wait until no generation before this one serves anybody."""
        await until(lambda: self.daemon.succession.lingering == 0)


async def until(happened: Callable[[], bool]) -> None:
    """Let everything else go on until it happened; the test's own timeout bounds it."""
    while not happened():  # noqa: ASYNC110  (nothing in there is made to be waited for)
        await asyncio.sleep(0)


def read(file: Path, registry: Registry, environ: Mapping[str, str]) -> Config:
    """The configuration of the file; blocks."""
    return load(file, registry, environ=environ)


@asynccontextmanager
async def standing(
    folder: Path,
    text: str,
    *,
    plugins: Mapping[str, object] | None = None,
    health: type[Health] = Health,
    wall: Callable[[], float] = time.time,
    tracing: Tracing | None = None,
    **environ: str,
) -> AsyncIterator[Standing]:
    """Serve the TOML `text` from a private file in `folder`; `plugins` are loaded beside those installed."""
    file = folder / "maestro.toml"
    registry = Registry()
    for name, plugin in (plugins or {}).items():
        registry.add(plugin, name)

    def config() -> Config:
        return read(file, registry, environ)

    def begin() -> Config:
        file.touch(mode=0o600)
        file.write_text(text)
        return config()

    first = await asyncio.to_thread(begin)
    issued = await asyncio.to_thread(IssuedKeys.read, folder / "state")
    allowances = Allowances(folder / "state", wall=wall)
    lasting = Lasting(
        registry,
        first,
        health=health(first.breaker.rules()),
        issued=issued,
        allowances=allowances,
        tracing=tracing,
    )
    async with allowances, Succession(first, lasting) as succession:
        daemon = Daemon(succession, lasting, lambda path: read(path or file, registry, environ))
        async with (
            daemon.opened(),
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False)) as session,
        ):
            try:
                yield Standing(file, dict(environ), registry, daemon, session)
            finally:
                await daemon.reloading.close()
                await daemon.handler.under_way.none()
