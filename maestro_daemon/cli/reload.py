"""``maestro-daemon reload``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

from maestro_daemon.cli import EX_CONFIG, screen
from maestro_daemon.cli.options import json_option, socket_option
from maestro_daemon.errors import ConfigInvalid

_PATIENCE: Final = 60.0  # seconds; new providers are given a few to read their models
_SAID: Final = {
    "added": "added",
    "removed": "removed",
    "changed": "changed",
    "restart": "as before until the daemon is restarted",
}


@click.command(short_help="Let the running daemon read its configuration anew.")
@socket_option()
@json_option()
@click.pass_context
def command(ctx: click.Context, socket_path: Path | None, as_json: bool) -> None:
    """Let the running daemon read its configuration anew, and say what changed.

    A right configuration takes over at once; requests under way end as they began. With a wrong one all
    stays as it was: everything that is wrong is said as by check, and the exit status is 78. SIGHUP does the
    same, and only the log tells what became of it.

    \b
    Example:
      maestro-daemon check && maestro-daemon reload
    """
    from maestro_daemon.server import control_socket

    try:
        told = control_socket.tell(socket_path or control_socket.find(), "/reload", {}, timeout=_PATIENCE)
    except ConfigInvalid as error:
        if not as_json:
            raise
        screen.json({"reloaded": False, "faults": error.message.split("\n")})
        ctx.exit(EX_CONFIG)
    if as_json:
        screen.json({"reloaded": True, **told})
    else:
        _show(told)


def _show(told: dict[str, Any]) -> None:
    click.echo(f"{screen.printable(str(told.get('config') or 'what is found here'))}: taken over")
    changes = {said: told.get(name) for name, said in _SAID.items()}
    for said, keys in changes.items():
        if keys:
            click.echo(screen.printable(f"{said}: {', '.join(keys)}"))
    if not any(changes.values()):
        click.echo("nothing changed")
    for name, problem in (told.get("problems") or {}).items():
        click.echo(screen.printable(f"{name} cannot be used: {problem}"))
