"""``maestro-daemon plugins``, and the commands that plugins bring."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from maestro_daemon.cli import screen
from maestro_daemon.cli.new_plugin import new
from maestro_daemon.cli.options import config_option, json_option, log, log_level_option, socket_option
from maestro_daemon.errors import ConfigInvalid
from maestro_daemon.providers.registry import Registry


@click.group(short_help="List the plugins, broken ones too; write a new one.", invoke_without_command=True)
@config_option()
@socket_option()
@json_option()
@log_level_option()
@click.pass_context
def command(
    ctx: click.Context, config_path: Path | None, socket_path: Path | None, as_json: bool, log_level: str
) -> None:
    """List the installed plugins: what they bring, which are disabled, and why one is broken.

    The running daemon is asked for its own; it also tells how often their providers raised what no provider
    may raise, and how often they held the event loop up. With --config, or when none is running, the plugins
    are loaded here.

    A plugin is any installed package with an entry point in the group "maestro_daemon".

    \b
    Example:
      maestro-daemon plugins --json | jq '.plugins[] | select(.state == "broken")'
    """
    if ctx.invoked_subcommand is not None:
        return
    with log(log_level):
        document = None if config_path is not None else _ask(socket_path)
        running = document is not None
        if document is None:
            from maestro_daemon.providers.plugin_report import report

            document = report(loaded(config_path))
    if as_json:
        screen.json({"running": running, **document})
    else:
        _show(document, running)


command.add_command(new)


def loaded(config_path: Path | None) -> Registry:
    """The plugins that the configuration wants; all of them where it cannot be read."""
    from maestro_daemon.config import load

    registry = Registry()
    try:
        load(config_path, registry)
    except ConfigInvalid as error:
        if config_path is not None:
            first, *others = error.message.split("\n")
            more = f" (and {len(others)} more; see maestro-daemon check)" if others else ""
            click.echo(f"The configuration is wrong: {first}{more}", err=True)
        registry.load()
    return registry


def register_commands(cli: click.Group) -> None:
    """Let every plugin add its commands."""
    with log("error"):
        loaded(None).register_commands(cli)


def _ask(socket_path: Path | None) -> dict[str, Any] | None:
    """What the running daemon says; None if none is running and none was named."""
    from maestro_daemon.server import control_socket

    path = socket_path or control_socket.find()
    if socket_path is None and not (control_socket.is_socket(path) and control_socket.is_live(path)):
        return None
    return control_socket.ask(path, "/plugins")


def _show(document: dict[str, Any], running: bool) -> None:
    rows = document.get("plugins", [])
    columns = ["plugin", "package", "version", "state", "provider kinds", "loaded in"]
    if running:
        columns += ["providers", "raised", "blocked"]
    screen.table(columns, [_row(row, running) for row in rows])
    for row in rows:
        if row.get("error"):
            click.echo(f"{row['name']} is broken: {screen.printable(row['error'])}")
        if row.get("last_fault"):
            click.echo(f"{row['name']} lately: {screen.printable(row['last_fault'])}")


def _row(row: dict[str, Any], running: bool) -> tuple[Any, ...]:
    cells = (
        row.get("name"),
        row.get("distribution") or None,
        row.get("version") or None,
        row.get("state"),
        ", ".join(row.get("kinds", ())) or None,
        None if row.get("state") == "disabled" else f"{row.get('load_seconds', 0.0) * 1000:.0f} ms",
    )
    if not running:
        return cells
    return (*cells, ", ".join(row.get("providers", ())) or None, row.get("raised"), row.get("blocked"))
