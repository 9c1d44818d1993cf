"""What stays of the daemon under hours of work, in minutes: ``python benchmarks/soak.py [--minutes 10]``.

Everything at once, against the same fake upstream as the benchmark: JSON and streams, native and translated,
long and short requests, clients that leave in the middle, connections that say nothing, unknown names and
wrong keys, a target that is dead, keys issued and revoked, reloads, and somebody who reads the metrics. Half
way, and at the end, the load pauses until idle connections have gone; the second half must add under 5 MiB
and no file descriptor. The exit status says whether it did. What the daemon remembers of answers is bounded
(`[server] memory`), and here to so little that it is full long before half way.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import os
import platform
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import uvloop
from load import WrongAnswer, ask, connect, http_request
from processes import Measured, NotServing, free_port, start_daemon, start_upstream
from scenarios import ANSWER, DELTA
from traffic import agent_request, small_request

from maestro_daemon.server.control_socket import tell

GROWTH: Final = 5.0  # MiB
SERVER: Final = """\
max_connections = 400
idle_timeout = "5s"
memory = "4MiB"
"""
TABLES: Final = """
[clients.bench]
key = "sk-benchmark"
requests_per_minute = 60000
tokens_per_day = 1000000000000

[providers.dead]
kind = "openai"
base_url = "http://127.0.0.1:9/v1"
api_key = "sk-dead"

[routes.moving]
targets = ["dead/x", "native/bench-burst-50"]
balance = "in_order"

[routes.both]
targets = ["native/bench-burst-100", "chat/bench-burst-100"]

[metrics]
listen = "127.0.0.1:{metrics}"
"""


@dataclass
class Soak:
    """One run; `done` counts what was done by name, `took` holds seconds of whole answers."""

    daemon: Measured
    upstream: Measured
    folder: Path
    metrics: int
    done: Counter[str] = field(default_factory=Counter)
    took: list[float] = field(default_factory=list)
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    async def answers(self, body: bytes, marker: bytes, times: int) -> None:
        """One request whose answer must hold `marker` so many times."""
        client = await connect(self.daemon.port)
        began = time.monotonic()
        try:
            for _ in range(3):
                await client.send(http_request(self.daemon.port, "/v1/responses", body))
                if client.status() != 200 or client.body().count(marker) < times:
                    raise WrongAnswer(f"status {client.status()}: {client.body()[:300]!r}")
        finally:
            client.drop()
        self.took.append((time.monotonic() - began) / 3)

    async def json(self) -> None:
        await self.answers(small_request("native/bench-json", stream=False), ANSWER, 1)

    async def native(self) -> None:
        await self.answers(small_request("native/bench-burst-200", stream=True), DELTA, 200)

    async def translated(self) -> None:
        await self.answers(small_request("chat/bench-burst-200", stream=True), DELTA, 200)

    async def whole_translated(self) -> None:
        await self.answers(small_request("chat/bench-burst-20", stream=False), b'"output_text"', 1)

    async def paced(self) -> None:
        await self.answers(small_request("native/bench-paced-100", stream=True), DELTA, 100)

    async def agent(self) -> None:
        await self.answers(agent_request("native/bench-burst-50"), DELTA, 50)

    async def route(self) -> None:
        await self.answers(small_request("both", stream=True), DELTA, 100)

    async def fallback(self) -> None:
        await self.answers(small_request("moving", stream=True), DELTA, 50)

    async def leaves(self) -> None:
        """A client that goes while its answer is on its way."""
        client = await connect(self.daemon.port)
        body = small_request(f"native/bench-silent-0-soak{next(self.numbers)}", stream=True)
        await client.first_bytes(http_request(self.daemon.port, "/v1/responses", body))
        client.drop()

    async def refused(self) -> None:
        """What is answered with an error."""
        wrong = http_request(self.daemon.port, "/v1/responses", small_request("native/x", stream=False))
        for request, status in (
            (wrong.replace(b"sk-benchmark", b"sk-nobodys"), 401),
            (http_request(self.daemon.port, "/v1/responses", b"{"), 400),
            (http_request(self.daemon.port, "/v1/responses", small_request(self.any(), stream=True)), 503),
            (b"nonsense\r\n\r\n", 400),
        ):
            client = await connect(self.daemon.port)
            await client.send(request)
            client.drop()
            if client.status() != status:
                raise WrongAnswer(f"{client.status()} instead of {status}: {client.body()[:300]!r}")

    async def silent(self) -> None:
        """Connections that say nothing, or not much."""
        clients = [await connect(self.daemon.port) for _ in range(20)]
        for client in clients[::2]:
            client.transport.write(b"POST /v1/responses HTTP/1.1\r\nhost: 127.0.0.1\r\nx-slow: ")
        await asyncio.sleep(1)
        for client in clients:
            client.drop()

    async def looks(self) -> None:
        """Somebody reads the metrics."""
        await ask(self.metrics, "/metrics")

    async def keys(self) -> None:
        """A key that is issued, used and revoked."""
        name = f"guest{next(self.numbers)}"
        key = (await asyncio.to_thread(self._tell, "/keys/add", {"name": name}))["key"]
        client = await connect(self.daemon.port)
        body = small_request("native/bench-json", stream=False)
        request = http_request(self.daemon.port, "/v1/responses", body)
        await client.send(request.replace(b"sk-benchmark", key.encode()))
        client.drop()
        if client.status() != 200:
            raise WrongAnswer(f"a new key: status {client.status()}")
        await asyncio.to_thread(self._tell, "/keys/revoke", {"name": name})

    async def reload(self) -> None:
        """Another configuration, and the same one by signal."""
        config = self.folder / f"maestro-{self.daemon.port}.toml"
        text = await asyncio.to_thread(config.read_text)
        keepalive = f'keepalive = "{10 + next(self.numbers) % 50}s"'
        lines = [line for line in text.split("\n") if not line.startswith("keepalive")]
        lines.insert(lines.index("[server]") + 1, keepalive)
        await asyncio.to_thread(config.write_text, "\n".join(lines))
        await asyncio.to_thread(self._tell, "/reload", {})
        self.daemon.process.send_signal(signal.SIGHUP)

    def any(self) -> str:
        """A name that is new, and that the dead provider may list for all that is known."""
        return f"nobody{next(self.numbers)}/model"

    def _tell(self, what: str, fields: dict[str, str]) -> dict[str, str]:
        socket = self.folder / f"runtime-{self.daemon.port}" / "maestro-daemon" / "control.sock"
        return tell(socket, what, fields, timeout=60)

    async def again(self, work: Callable[[], Awaitable[None]], pause: float, until: float) -> None:
        """Do `work` again and again, with a pause between."""
        while time.monotonic() < until:
            await work()
            self.done[work.__name__] += 1
            await asyncio.sleep(pause)

    async def load(self, seconds: float, workers: int, only: Collection[str]) -> None:
        """Everything at once for so long, or `only` what is named."""
        until = time.monotonic() + seconds
        often = (self.json, self.native, self.translated, self.agent, self.route, self.whole_translated)
        seldom = ((self.paced, 0.0), (self.fallback, 0.2), (self.leaves, 0.1), (self.refused, 0.2))
        rarely = ((self.silent, 1.0), (self.looks, 5.0), (self.keys, 2.0), (self.reload, 10.0))
        many = [(*each, workers) for each in (*((work, 0.05) for work in often), *seldom)]
        async with asyncio.TaskGroup() as group:
            for work, pause, count in (*many, *((*each, 1) for each in rarely)):
                for _ in range(count if not only or work.__name__ in only else 0):
                    group.create_task(self.again(work, pause, until))


@dataclass(frozen=True, slots=True)
class Half:
    """The daemon after a half, at rest: MiB resident, open descriptors, threads of CPU seconds so far."""

    rss: float
    descriptors: int
    cpu: float


async def at_rest(daemon: Measured, least: int) -> Half:
    """Wait until no more than `least` descriptors are open, or a minute is over, then look."""
    for _ in range(120):
        if daemon.descriptors() <= least:
            break
        await asyncio.sleep(0.5)
    return Half(daemon.rss(), daemon.descriptors(), daemon.cpu())


async def watched(daemon: Measured, rows: list[tuple[float, int]]) -> None:
    """Note memory and descriptors every five seconds, under load."""
    while True:
        rows.append((daemon.rss(), daemon.descriptors()))
        await asyncio.sleep(5)


async def run(minutes: float, workers: int, only: Collection[str], folder: Path) -> bool:
    upstream = await start_upstream(folder)
    metrics = free_port()
    daemon = None
    try:
        tables = TABLES.format(metrics=metrics)
        daemon = await start_daemon(folder, upstream, server=SERVER, more=tables)
        soak = Soak(daemon, upstream, folder, metrics)
        at_start = daemon.descriptors()
        halves = []
        print("half  requests  median answer  RSS under load (MiB)  descriptors  at rest: RSS  descriptors")
        for number in (1, 2):
            answered, soak.took = sum(soak.done.values()), []
            rows: list[tuple[float, int]] = []
            watching = asyncio.create_task(watched(daemon, rows))
            try:
                await soak.load(minutes * 60 / 2, workers, only)
            finally:
                watching.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await watching
            half = await at_rest(daemon, at_start)
            halves.append(half)
            rss, opened = [each for each, _ in rows], [each for _, each in rows]
            count, median = sum(soak.done.values()) - answered, 1e3 * statistics.median(soak.took or [0.0])
            print(
                f"{number:>4}  {count:>8}  {median:>10.1f} ms  {min(rss):>9.1f} to {max(rss):<6.1f}  "
                f"{max(opened):>12}  {half.rss:>12.1f}  {half.descriptors:>11}",
                flush=True,
            )
        first, second = halves
        grown, opened_more = second.rss - first.rss, second.descriptors - first.descriptors
        print(f"\nthe second half added {grown:+.1f} MiB and {opened_more:+d} descriptors")
        print(
            f"{second.cpu:.0f} s of CPU; done: " + ", ".join(f"{n} {name}" for name, n in soak.done.items())
        )
        return grown < GROWTH and opened_more <= 0
    finally:
        if daemon is not None:
            daemon.stop()
        upstream.stop()


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="soak.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="how long in all (10)")
    parser.add_argument("--workers", type=int, default=2, help="clients of each kind (2)")
    parser.add_argument(
        "--only", nargs="+", default=(), metavar="NAME", help="a part of it, to find who leaks"
    )
    options = parser.parse_args()
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
    with tempfile.TemporaryDirectory(prefix="maestro-soak-") as folder:
        try:
            return 0 if uvloop.run(run(options.minutes, options.workers, options.only, Path(folder))) else 1
        except ExceptionGroup as group:
            reason: BaseException = group.exceptions[0]
        except (NotServing, WrongAnswer) as error:
            reason = error
        print(f"soak failed: {type(reason).__name__}: {reason}", file=sys.stderr)
        for log in Path(folder).glob("daemon-*.log"):
            print(log.read_text()[-3000:], file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
