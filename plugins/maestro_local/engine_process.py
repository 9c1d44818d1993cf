"""One child process that runs the embedded engine: launched, listening, ended."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import secrets
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from maestro_local.socket_place import new_socket_path, remove_socket

_CHILD: Final = Path(__file__).with_name("engine_child.py")
_KEPT_LOG: Final = 16 * 1024
_GRACE: Final = 5.0
_LONGEST_REASON: Final = 300
_LOG_MARK: Final = re.compile(r"^\d[\d.]+ [A-Z] +(?:\S+ +)?(?:\w+: +)?(?:error loading model: +)?")


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What a child runs: a GGUF as model id `alias`, with `context` tokens in each of `parallel` slots."""

    model: Path
    alias: str
    context: int
    parallel: int
    threads: int


class EngineFailed(Exception):
    """The child could not load its model or start; the message is the reason, in the engine's own words."""


@dataclass(frozen=True, slots=True)
class Listening:
    """Where a loaded child answers HTTP: `unix_socket` is a path, or None for the TCP address `base_url`."""

    base_url: str
    unix_socket: str | None
    api_key: str

    def __repr__(self) -> str:
        return f"Listening(base_url={self.base_url!r}, unix_socket={self.unix_socket!r})"


class EngineProcess:
    """A child that listens. Made by `run`; `ended` waits for its end."""

    def __init__(self, process: asyncio.subprocess.Process, listening: Listening, log: _Log) -> None:
        self.listening = listening
        self.pid = process.pid
        self._process = process
        self._log = log

    async def ended(self) -> str:
        """Wait until the process is gone; return how it ended, as a phrase."""
        status = await self._process.wait()
        await self._log.complete()
        how = f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
        cry = self._log.cry()
        return f"{how}: {cry}" if cry else how


@asynccontextmanager
async def run(settings: EngineSettings, *, load_timeout: float) -> AsyncGenerator[EngineProcess, None]:
    """Start a child, wait until its model is loaded (seconds), give it, and end it with the block.

    Raises `EngineFailed`. However the block ends, the process, its pipes and its socket are gone after it.
    """
    socket = await asyncio.to_thread(new_socket_path)
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # no folder of this file on the child's path: its neighbours are no top-level modules
            str(_CHILD),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # a terminal's Ctrl-C and hang-up are for the daemon, which drains first
        )
    except OSError as error:
        raise EngineFailed(f"{sys.executable} cannot be started ({error.strerror})") from error
    log = _Log(process)
    try:
        try:
            listening = await _load(process, settings, socket, load_timeout, log)
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                process.kill()  # one that is loading would not look at its stdin
            raise
        yield EngineProcess(process, listening, log)
    finally:
        await _end(process, log)
        if socket is not None:
            await asyncio.to_thread(remove_socket, socket)


async def _load(
    process: asyncio.subprocess.Process,
    settings: EngineSettings,
    socket: str | None,
    load_timeout: float,
    log: _Log,
) -> Listening:
    api_key = secrets.token_urlsafe(32)
    told = {
        "model": str(settings.model),
        "alias": settings.alias,
        "api_key": api_key,
        "socket": socket,
        "context": settings.context,
        "parallel": settings.parallel,
        "threads": settings.threads,
    }
    try:
        async with asyncio.timeout(load_timeout):
            with contextlib.suppress(ConnectionError):  # a child that is gone already says why on stderr
                stdin = cast("asyncio.StreamWriter", process.stdin)
                stdin.write(json.dumps(told).encode() + b"\n")
                await stdin.drain()
            line = await cast("asyncio.StreamReader", process.stdout).readline()
    except TimeoutError:
        raise EngineFailed(f"it was not loaded after {load_timeout:g} s") from None
    answer = json.loads(line) if line.endswith(b"\n") else {}
    address = answer.get("address")
    if address is None:
        await _end(process, log)
        status = process.returncode
        raise EngineFailed(log.reason() or answer.get("error") or f"its process ended with status {status}")
    if socket is not None:
        return Listening("http://localhost/v1", socket, api_key)
    return Listening(f"{address}/v1", None, api_key)


async def _end(process: asyncio.subprocess.Process, log: _Log) -> None:
    """Close the child's stdin, which ends it; kill it if that takes too long. Never leaves it behind."""
    cast("asyncio.StreamWriter", process.stdin).close()
    try:
        async with asyncio.timeout(_GRACE):
            await process.wait()
    except BaseException as error:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        if not isinstance(error, TimeoutError):
            raise
    finally:
        await log.complete()


class _Log:
    """The last of what the child wrote to stderr."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._tail = bytearray()
        self._reading = asyncio.create_task(self._read(process))

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        stderr = cast("asyncio.StreamReader", process.stderr)
        while chunk := await stderr.read(4096):
            self._tail += chunk
            del self._tail[:-_KEPT_LOG]

    async def complete(self) -> None:
        """Wait for the end of stderr, which comes with the end of the process."""
        await asyncio.wait({self._reading})

    def reason(self) -> str:
        """Why loading failed: the first error of llama.cpp without its marks, else the last line, or ""."""
        errors = [line for line in self._lines() if _LOG_MARK.match(line)]
        line = errors[0] if errors else ["", *self._lines()][-1]
        return _LOG_MARK.sub("", line).rstrip(".")[:_LONGEST_REASON]

    def cry(self) -> str:
        """What a crash left beside the log: a failed assertion, an uncaught exception; "" if nothing."""
        plain = [line for line in self._lines() if not _LOG_MARK.match(line)]
        return plain[0][:_LONGEST_REASON] if plain else ""

    def _lines(self) -> list[str]:
        text = self._tail.decode("utf-8", "replace")
        return [line.strip() for line in text.splitlines() if line.strip()]
