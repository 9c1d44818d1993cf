"""``maestro-daemon status``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from maestro_daemon.cli import screen
from maestro_daemon.cli.options import json_option, socket_option


@click.command(short_help="Ask the running daemon how it is.")
@socket_option()
@json_option()
@click.option("--watch", is_flag=True, help="Ask again and again, until Ctrl-C.")
@click.option(
    "--interval",
    type=click.FloatRange(0.1, 3600),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="How often --watch asks.",
)
def command(socket_path: Path | None, as_json: bool, watch: bool, interval: float) -> None:
    """Ask the running daemon, over its control socket, what it serves and how it is.

    The targets of routes, and all others that were asked lately, are shown with the state of their circuit
    breakers, the requests under way, the seconds until they are asked again, the share of attempts that
    succeeded, the seconds to the first output (of half and of 95 % of the answers), and the share of input
    tokens that came from a prompt cache.

    With --watch --json each answer is one line. Only root and the user that the daemon runs as are
    answered. Without a daemon the exit status is 1.

    \b
    Example:
      maestro-daemon status --watch
      maestro-daemon status --json | jq .targets
    """
    from maestro_daemon.server import control_socket

    socket = socket_path or control_socket.find()

    def asked() -> dict[str, Any]:
        return control_socket.ask(socket, "/status")

    if not watch:
        status = asked()
        screen.json(status) if as_json else screen.show(list(_page(status)))
        return
    try:
        if as_json:
            while True:
                screen.json_line(asked())
                time.sleep(interval)
        screen.watch(lambda: list(_page(asked())), interval)
    except KeyboardInterrupt:
        pass  # that is how one stops watching


def _page(status: dict[str, Any]) -> Iterator[str | screen.Grid]:
    yield (
        f"maestro-daemon {status.get('version')}, {status.get('status')}, process {status.get('pid')}, "
        f"up {_span(status.get('uptime', 0))}"
    )
    places = [*status.get("urls", []), *status.get("unix_sockets", [])]
    yield f"serves on {', '.join(places) or 'nothing'}"
    yield f"configuration: {status.get('config') or 'none'}"
    yield f"requests: {status.get('in_flight')} running, {_answered(status.get('answered'))}"
    if providers := status.get("providers"):
        yield ""
        yield screen.Grid(
            ("provider", "kind", "models", "state"),
            [
                (name, each.get("kind"), each.get("models"), each.get("problem") or "ready")
                for name, each in providers.items()
            ],
        )
    if routes := status.get("routes"):
        yield ""
        yield screen.Grid(
            ("route", "balance", "targets", "fallbacks", "state"),
            [
                (
                    name,
                    each.get("balance"),
                    ", ".join(each.get("targets", [])),
                    ", ".join(each.get("fallbacks", [])) or None,
                    each.get("problem") or "ready",
                )
                for name, each in routes.items()
            ],
        )
    if targets := status.get("targets"):
        yield ""
        yield screen.Grid(
            ("target", "breaker", "running", "asked in", "succeeded", "p50", "p95", "cached", "because"),
            [_target(each) for each in targets],
        )


def _target(row: dict[str, Any]) -> tuple[Any, ...]:
    left = row.get("cooldown_left")
    because = row.get("cause") if row.get("state") != "closed" else None
    return (
        row.get("target"),
        row.get("state"),
        row.get("in_flight"),
        _span(left) if left else None,
        _share(row.get("success_ratio")),
        _seconds(row.get("first_output_p50")),
        _seconds(row.get("first_output_p95")),
        _share(row.get("cached_share")),
        f"{because}: {row.get('reason')}" if because else None,
    )


def _share(ratio: float | None) -> str | None:
    return None if ratio is None else f"{ratio:.1%}"


def _seconds(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _answered(answered: Any) -> str:
    if isinstance(answered, dict):
        return ", ".join(f"{count} {name}" for name, count in answered.items()) or "none answered yet"
    return f"{answered} answered"


def _span(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")]
    shown = [f"{amount} {unit}" for amount, unit in parts if amount]
    return " ".join(shown[:2]) or "0 s"
