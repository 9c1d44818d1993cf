"""``maestro-daemon login``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click
import orjson

from maestro_daemon.cli import screen
from maestro_daemon.cli.accounts import desk
from maestro_daemon.cli.options import config_option, json_option, log_level_option, socket_option

_STATUS: Final = {"expired": 3, "denied": 4, "refused": 5}
_FAILED: Final = 1
_GIVEN_UP: Final = 130


@click.command(short_help="Log in to a provider, or see how logins stand.")
@click.argument("provider", required=False)
@click.option("--status", "status_only", is_flag=True, help="Show how every provider's login stands.")
@config_option()
@socket_option()
@json_option()
@log_level_option()
@click.pass_context
def command(
    ctx: click.Context,
    provider: str | None,
    status_only: bool,
    config_path: Path | None,
    socket_path: Path | None,
    as_json: bool,
    log_level: str,
) -> None:
    """Log in to a provider that takes a login, like GitHub Copilot: open a page, enter a code.

    The running daemon does it and serves the provider at once. With --config, or when none is running, this
    command does it itself; a daemon that starts later finds the login. Ctrl-C gives up.

    \b
    Exit status: 0 logged in, 3 the code expired, 4 denied, 5 refused by the provider (no subscription, say),
    130 given up with Ctrl-C, 1 for all else. With --status PROVIDER: 1 if it is not logged in.

    \b
    Example:
      maestro-daemon login copilot
      maestro-daemon login --status
    """
    if not status_only:
        if provider is None:
            raise click.UsageError("Name the provider to log in to, or see all of them with --status.", ctx)
        shown = _Shown(provider, as_json)
        try:
            with desk(config_path, socket_path, log_level) as asked:
                asked.login(provider, shown.step)
        except KeyboardInterrupt:
            click.echo("\nGiven up; nothing has changed.", err=True)
            ctx.exit(_GIVEN_UP)
        ctx.exit(shown.status)
    with desk(config_path, socket_path, log_level) as asked:
        logins = asked.states(provider)["logins"]
    if as_json:
        screen.json({"logins": logins})
    else:
        _show_states(logins)
    ctx.exit(0 if provider is None or logins[provider]["logged_in"] else 1)


class _Shown:
    """What a login has shown so far; `status` is the exit status."""

    def __init__(self, provider: str, as_json: bool) -> None:
        self.status = _FAILED
        self._provider = provider
        self._as_json = as_json
        self._problem: str | None = None

    def step(self, step: Mapping[str, Any]) -> None:
        """Show one step, as people or scripts want it."""
        kind = step.get("step")
        if kind == "done":
            self.status = 0
        elif kind == "failed":
            self.status = _STATUS.get(str(step.get("reason")), _FAILED)
        if self._as_json:
            click.echo(orjson.dumps(dict(step)).decode())
            return
        match kind:
            case "code":
                self._code(step)
            case "waiting":
                self._waiting(step.get("problem"))
            case "done":
                self._done(step)
            case "failed":
                click.echo(f"Error: {screen.printable(str(step.get('message')))}", err=True)
            case _:
                pass

    def _code(self, step: Mapping[str, Any]) -> None:
        minutes = max(1, round(float(step.get("expires_in") or 0) / 60))
        click.echo(f"Open   {click.style(screen.printable(str(step['url'])), underline=True)}")
        click.echo(f"enter  {click.style(screen.printable(str(step['code'])), bold=True)}")
        click.echo(f"Waiting for it; the code is good for {minutes} min, and Ctrl-C gives up.")

    def _waiting(self, problem: str | None) -> None:
        if problem and problem != self._problem:
            click.echo(f"Still waiting: {screen.printable(problem)}", err=True)
        self._problem = problem

    def _done(self, step: Mapping[str, Any]) -> None:
        who = f" as {screen.printable(str(step['account']))}" if step.get("account") else ""
        click.echo(f"Logged in to {self._provider}{who}.")
        if step.get("kept"):
            click.echo(f"The login is kept in {screen.printable(str(step['kept']))}.")
        if step.get("note"):
            click.echo(screen.printable(str(step["note"])), err=True)


def _show_states(logins: Mapping[str, Mapping[str, Any]]) -> None:
    if not logins:
        click.echo("no provider is configured")
        return
    rows = [
        (
            name,
            each.get("kind"),
            each.get("account") or None,
            each.get("source") or None,
            _state(each),
        )
        for name, each in logins.items()
    ]
    screen.table(("provider", "kind", "account", "token from", "state"), rows)


def _state(each: Mapping[str, Any]) -> str:
    if not each.get("login"):
        return each.get("problem") or "needs no login"
    if not each.get("logged_in"):
        return str(each.get("problem") or "not logged in")
    return f"logged in; {each['problem']}" if each.get("problem") else "logged in"
