"""``maestro-daemon plugins``, and the commands that plugins bring."""

from __future__ import annotations

from pathlib import Path

import click

from maestro_daemon.cli import screen
from maestro_daemon.cli.options import config_option, json_option, log, log_level_option
from maestro_daemon.errors import ConfigInvalid
from maestro_daemon.providers.registry import Registry


@click.command(short_help="List the plugins, broken ones too.")
@config_option()
@json_option()
@log_level_option()
def command(config_path: Path | None, as_json: bool, log_level: str) -> None:
    """List the installed plugins: what they bring, which are disabled, and why one is broken.

    A plugin is any installed package with an entry point in the group "maestro_daemon".

    \b
    Example:
      maestro-daemon plugins --json | jq '.plugins[] | select(.state == "broken")'
    """
    with log(log_level):
        registry = loaded(config_path)
    rows = registry.rows
    if as_json:
        names = ("name", "distribution", "version", "state", "kinds", "error", "load_seconds")
        screen.json({"plugins": [{name: getattr(row, name) for name in names} for row in rows]})
        return
    screen.table(
        ("plugin", "package", "version", "state", "provider kinds", "loaded in"),
        [
            (
                row.name,
                row.distribution or None,
                row.version or None,
                row.state,
                ", ".join(row.kinds) or None,
                f"{row.load_seconds * 1000:.0f} ms" if row.state == "loaded" else None,
            )
            for row in rows
        ],
    )
    for row in rows:
        if row.error:
            click.echo(f"{row.name} is broken: {screen.printable(row.error)}")


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
