"""``maestro-daemon logout``."""

from __future__ import annotations

from pathlib import Path

import click

from maestro_daemon.cli import screen
from maestro_daemon.cli.accounts import desk
from maestro_daemon.cli.options import config_option, json_option, log_level_option, socket_option


@click.command(short_help="Forget the login of a provider.")
@click.argument("provider")
@config_option()
@socket_option()
@json_option()
@log_level_option()
def command(
    provider: str, config_path: Path | None, socket_path: Path | None, as_json: bool, log_level: str
) -> None:
    """Forget the login of a provider, in the running daemon and on disk.

    \b
    Example:
      maestro-daemon logout copilot
    """
    with desk(config_path, socket_path, log_level) as asked:
        told = asked.logout(provider)
    if as_json:
        screen.json(told)
    else:
        click.echo(screen.printable(str(told.get("message"))))
