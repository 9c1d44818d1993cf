"""``maestro-daemon status``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from maestro_daemon.cli import screen
from maestro_daemon.cli.options import json_option, socket_option


@click.command(short_help="Ask the running daemon how it is.")
@socket_option()
@json_option()
def command(socket_path: Path | None, as_json: bool) -> None:
    """Ask the running daemon, over its control socket, what it serves and how it is.

    Only root and the user that the daemon runs as are answered. Without a daemon the exit status is 1.

    \b
    Example:
      maestro-daemon status --json | jq .providers
    """
    from maestro_daemon.server import control_socket

    status = control_socket.ask(socket_path or control_socket.find(), "/status")
    if as_json:
        screen.json(status)
    else:
        _show(status)


def _show(status: dict[str, Any]) -> None:
    click.echo(
        f"maestro-daemon {status.get('version')}, {status.get('status')}, process {status.get('pid')}, "
        f"up {_span(status.get('uptime', 0))}"
    )
    click.echo(f"serves on {', '.join(status.get('urls', [])) or 'nothing'}")
    click.echo(f"configuration: {status.get('config') or 'none'}")
    click.echo(f"requests: {status.get('in_flight')} running, {_answered(status.get('answered'))}")
    if providers := status.get("providers"):
        click.echo()
        rows = [
            (name, each.get("kind"), each.get("models"), each.get("problem") or "ready")
            for name, each in providers.items()
        ]
        screen.table(("provider", "kind", "models", "state"), rows)
    if routes := status.get("routes"):
        click.echo()
        plans = [
            (
                name,
                each.get("balance"),
                ", ".join(each.get("targets", [])),
                ", ".join(each.get("fallbacks", [])) or None,
                each.get("problem") or "ready",
            )
            for name, each in routes.items()
        ]
        screen.table(("route", "balance", "targets", "fallbacks", "state"), plans)


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
