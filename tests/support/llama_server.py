"""A real llama.cpp server, from the xllamacpp wheel, as a process of its own on a free port.

Shares nothing with the code of the embedded engine: it is an upstream like one that a user runs.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp

_PROGRAM: Final = """
import json, signal, sys
import xllamacpp
settings = json.loads(sys.argv[1])
params = xllamacpp.CommonParams()
params.model.path = settings["model"]
params.model_alias = [settings["alias"]]
params.port = settings["port"]
params.n_ctx = settings["context"]
params.n_parallel = settings["parallel"]
params.kv_unified = True
params.n_batch = params.n_ubatch = settings["batch"]
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
params.verbosity = -1
params.ui = False
if settings["key"]:
    params.api_keys = [settings["key"]]
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
signal.pause()
"""


@dataclass(frozen=True)
class LlamaServer:
    """A running server. `url` is its root, without a slash at the end; `api_key` is "" if it wants none."""

    url: str
    api_key: str
    process: asyncio.subprocess.Process

    @property
    def base_url(self) -> str:
        """What a client is configured with."""
        return f"{self.url}/v1"

    async def get(self, path: str) -> Any:
        """The JSON of a GET."""
        headers = {"authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        async with aiohttp.ClientSession(headers=headers) as session, session.get(self.url + path) as answer:
            return await answer.json()

    async def busy_slots(self) -> int:
        """How many of its slots work on something now."""
        return sum(slot["is_processing"] for slot in await self.get("/slots"))

    async def until_idle(self) -> None:
        """Return once no slot works any more; the test's own timeout bounds it."""
        while await self.busy_slots():
            pass

    async def until_busy(self) -> None:
        """Return once a slot works."""
        while not await self.busy_slots():
            pass

    async def stop(self) -> None:
        """End it, as SIGTERM does."""
        if self.process.returncode is None:
            self.process.terminate()
        await self.process.communicate()


@asynccontextmanager
async def llama_server(
    model: Path,
    *,
    alias: str = "tiny",
    port: int = 0,
    context: int = 2048,
    parallel: int = 2,
    batch: int = 64,
    api_key: str = "",
) -> AsyncIterator[LlamaServer]:
    """Serve the GGUF at `model` as model `alias`; one batch is `batch` tokens of a prompt."""
    settings = {
        "model": str(model),
        "alias": alias,
        "port": port,
        "context": context,
        "parallel": parallel,
        "batch": batch,
        "key": api_key,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _PROGRAM, json.dumps(settings), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    server = LlamaServer((await process.stdout.readline()).decode().strip(), api_key, process)
    try:
        yield server
    finally:
        await server.stop()
