"""The processes that are measured: starting them, and what the kernel says of them. Linux only."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from load import WrongAnswer, ask

HERE = Path(__file__).parent


class NotServing(Exception):
    """A process ended or stayed silent instead of serving; the message holds what it wrote."""


def free_port() -> int:
    """A TCP port of the loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True, slots=True)
class Measured:
    """A running server on `port` of the loopback; `to_serving` is in seconds, from exec to its answer."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    to_serving: float

    def cpu(self) -> float:
        """Seconds of CPU that the process has taken so far, all its threads together."""
        # The kernel's clock id of another process' CPU time: nanoseconds, where /proc counts 10 ms ticks.
        return time.clock_gettime((~self.process.pid << 3) | 2)

    def rss(self) -> float:
        """Resident memory in MiB."""
        return self._status("VmRSS:")

    def peak_rss(self) -> float:
        """The most memory that was ever resident, in MiB."""
        return self._status("VmHWM:")

    def _status(self, name: str) -> float:
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) / 1024
        raise NotServing(f"{self.name} is gone")

    def descriptors(self) -> int:
        """How many file descriptors are open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


async def start(
    name: str,
    command: Sequence[str | Path],
    port: int,
    probe: str,
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
) -> Measured:
    """Start `command`, which is to serve on `port`, and wait until GET `probe` answers 200.

    What it writes goes to the file `log`. Raises `NotServing` when it ends, or after 30 s.
    """
    with log.open("wb") as output:
        began = time.perf_counter()
        process = subprocess.Popen(  # noqa: ASYNC220  (nothing else runs while a server starts)
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=env, cwd=log.parent
        )
    try:
        while True:
            try:
                await ask(port, probe)
            except (OSError, WrongAnswer) as error:
                if process.poll() is not None or time.perf_counter() - began > 30:
                    said = log.read_text()[-3000:]
                    raise NotServing(f"{name} does not serve ({error}):\n{said}") from None
                await asyncio.sleep(0.005)
            else:
                return Measured(name, port, process, time.perf_counter() - began)
    except BaseException:
        process.kill()
        process.wait()
        raise


async def start_upstream(folder: Path) -> Measured:
    port = free_port()
    command: list[str | Path] = [sys.executable, HERE / "upstream.py", str(port)]
    return await start("upstream", command, port, "/v1/models", log=folder / "upstream.log")


async def start_bare_proxy(folder: Path, upstream: Measured) -> Measured:
    port = free_port()
    target = f"http://127.0.0.1:{upstream.port}"
    command: list[str | Path] = [sys.executable, HERE / "bare_proxy.py", str(port), target]
    return await start("bare proxy", command, port, "/v1/models", log=folder / "bare_proxy.log")


async def start_daemon(
    folder: Path, upstream: Measured, profile: Path | None = None, *, server: str = "", more: str = ""
) -> Measured:
    """The daemon as a user runs it, with a native and a translated provider; under cProfile if asked.

    `server` are more keys of ``[server]`` and `more` further tables of its configuration, which is
    ``maestro-PORT.toml`` in `folder`; its control socket is in
    ``runtime-PORT/maestro-daemon``.
    """
    port = free_port()
    config = folder / f"maestro-{port}.toml"
    config.touch(mode=0o600)
    config.write_text(
        f"""
[server]
port = {port}
{server}
[providers.native]
kind = "openai"
base_url = "http://127.0.0.1:{upstream.port}/v1"
api_key = "sk-benchmark"

[providers.chat]
kind = "local"
base_url = "http://127.0.0.1:{upstream.port}/v1"
{more}"""
    )
    script = Path(sys.executable).with_name("maestro-daemon")
    measuring: list[str | Path] = [sys.executable, "-m", "cProfile", "-o", profile] if profile else []
    runtime = folder / f"runtime-{port}"
    runtime.mkdir(mode=0o700)
    # Nothing of the user's own configuration, keys or proxies.
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "XDG_RUNTIME_DIR": str(runtime)}
    return await start(
        "daemon",
        [*measuring, script, "serve", "--config", config],
        port,
        "/healthz",
        log=folder / f"daemon-{port}.log",
        env=env,
    )
