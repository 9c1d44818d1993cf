"""What the daemon costs, against a bare pass-through proxy in the same run: ``make bench``.

One fake upstream, one daemon, one bare proxy (`bare_proxy.py`), one load at a time, in turns: daemon, proxy,
proxy, daemon … Ratios are what counts; absolute figures belong to the machine. The table shows medians over
the rounds, and between which values the ratio of a single round lay. Turns are short and many, since the
speed of a shared machine changes within seconds. Nothing is asserted: a busy machine measures badly.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import pstats
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import uvloop
from disconnect import DISCONNECTS, delays
from load import WrongAnswer
from processes import Measured, NotServing, start_bare_proxy, start_daemon, start_upstream
from scenarios import Sample, Scenario, scenarios


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; `ok` says whether the target is met."""

    key: str
    what: str
    daemon: str
    bare: str
    ratio: str
    target: str
    ok: bool


def compared(scenario: Scenario) -> Row:
    """The daemon's and the proxy's medians over the rounds, and that of their ratios."""

    def figure(sample: Sample) -> float:
        return sample.rate if scenario.by_rate else sample.cost

    daemon = [figure(sample) for sample in scenario.daemon]
    bare = [figure(sample) for sample in scenario.bare]
    rounds = [ours / theirs for ours, theirs in zip(daemon, bare, strict=True)]
    ratio = statistics.median(rounds)
    return Row(
        scenario.key,
        scenario.title,
        f"{statistics.median(daemon):,.1f}",
        f"{statistics.median(bare):,.1f} {scenario.unit}",
        f"{ratio:.2f}  ({min(rounds):.2f}-{max(rounds):.2f})",
        f"{'>=' if scenario.by_rate else '<='} {scenario.target:g}",
        ratio >= scenario.target if scenario.by_rate else ratio <= scenario.target,
    )


@dataclass(frozen=True, slots=True)
class Footprint:
    """The daemon between two rounds, its idle connections gone: MiB resident, open descriptors."""

    rss: float
    descriptors: int


async def settled(daemon: Measured, at_start: int) -> Footprint:
    """Wait until pooled connections have gone, which aiohttp drops after 15 to 30 s idle, then look."""
    for _ in range(70):
        if daemon.descriptors() <= at_start:
            break
        await asyncio.sleep(0.5)
    return Footprint(daemon.rss(), daemon.descriptors())


def footprint_rows(peak: float, half: Footprint, end: Footprint) -> list[Row]:
    grown, opened = end.rss - half.rss, end.descriptors - half.descriptors
    return [
        Row("memory", "RSS at its peak", f"{peak:.1f} MiB", "", "", "< 75 MiB", peak < 75),
        Row("memory", "RSS added by the second half", f"{grown:+.1f} MiB", "", "", "< 5 MiB", grown < 5),
        Row("memory", "descriptors added by the second half", f"{opened:+d}", "", "", "none", opened <= 0),
    ]


async def start_row(folder: Path, upstream: Measured, times: int) -> Row:
    took = []
    for _ in range(times):
        daemon = await start_daemon(folder, upstream)
        took.append(daemon.to_serving)
        daemon.stop()
    median = statistics.median(took)
    return Row("start", "start to serving", f"{median:.2f} s", "", "", "< 1 s", median < 1)


async def disconnect_rows(daemon: Measured, upstream: Measured, times: int) -> list[Row]:
    rows = []
    for shape, what, stream in DISCONNECTS:
        took = [1e3 * each for each in await delays(daemon, upstream, shape, stream=stream, times=times)]
        figure = f"{statistics.median(took):.1f} ms, at most {max(took):.1f}"
        title = f"client gone, {what}: upstream sees it after"
        rows.append(Row("gone", title, figure, "", "", "< 100 ms", max(took) < 100))
    return rows


async def measure(options: argparse.Namespace, folder: Path) -> list[Row]:
    """Run everything; returns the table. Raises `NotServing` and `WrongAnswer`."""
    wanted = set(options.only or options.keys)
    chosen = [scenario for scenario in scenarios(quick=options.quick) if scenario.key in wanted]
    rounds = 6 if options.quick else 10
    upstream = await start_upstream(folder)
    servers = [upstream]
    try:
        start = None if options.profile else await start_row(folder, upstream, 2 if options.quick else 4)
        bare = await start_bare_proxy(folder, upstream)
        servers.append(bare)
        daemon = await start_daemon(folder, upstream, options.profile)
        servers.append(daemon)
        at_start = daemon.descriptors()
        say("warming up")
        for scenario in scenarios(quick=True):
            if scenario.key in wanted:
                await scenario.turn(daemon, bare, daemon_first=True)
        halves: list[Footprint] = []
        for number in range(rounds):
            for scenario in chosen:
                say(f"round {number + 1} of {rounds}: {scenario.title}")
                await scenario.turn(daemon, bare, daemon_first=number % 2 == 0)
            if start and number + 1 in (rounds // 2, rounds):
                say("waiting for idle connections to go")
                halves.append(await settled(daemon, at_start))
        rows = [compared(scenario) for scenario in chosen]
        if start:
            rows += [*footprint_rows(daemon.peak_rss(), *halves), start]
            say("clients that go away")
            rows += await disconnect_rows(daemon, upstream, 5 if options.quick else 20)
        return rows
    finally:
        for server in reversed(servers):
            server.stop()
        say("")


def say(text: str) -> None:
    """Progress on a terminal, in one line that is written over."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def show(rows: list[Row]) -> None:
    head = ["", "", "daemon", "bare proxy", "ratio (rounds)", "target", ""]
    lines = [head] + [
        [row.key, row.what, row.daemon, row.bare, row.ratio, row.target, "ok" if row.ok else "OVER"]
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def parsed(arguments: list[str]) -> argparse.Namespace:
    keys = [scenario.key for scenario in scenarios(quick=True)]
    parser = argparse.ArgumentParser(
        prog="overhead.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.set_defaults(keys=keys)
    parser.add_argument("--quick", action="store_true", help="six short rounds instead of ten longer ones")
    parser.add_argument("--only", nargs="+", choices=keys, metavar="KEY", help="only " + ", ".join(keys))
    parser.add_argument(
        "--profile",
        type=lambda name: Path(name).resolve(),
        metavar="FILE",
        help="the daemon under cProfile, its figures written to FILE and shown; the ratios then mean nothing",
    )
    return parser.parse_args(arguments)


def main() -> int:
    options = parsed(sys.argv[1:])
    load = os.getloadavg()[0]
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, load before the run {load:.1f}\n")
    with tempfile.TemporaryDirectory(prefix="maestro-benchmark-") as folder:
        try:
            show(uvloop.run(measure(options, Path(folder))))
        except (NotServing, WrongAnswer) as error:
            print(f"benchmark failed: {error}", file=sys.stderr)
            return 1
    if options.profile:
        pstats.Stats(str(options.profile)).sort_stats("tottime").print_stats(35)
    return 0


if __name__ == "__main__":
    sys.exit(main())
