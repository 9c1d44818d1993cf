"""``maestro-daemon quota``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from maestro_daemon.cli import screen
from maestro_daemon.cli.accounts import desk
from maestro_daemon.cli.options import config_option, json_option, log_level_option, socket_option


@click.command(short_help="Show what is left of each provider's plan.")
@click.argument("provider", required=False)
@config_option()
@socket_option()
@json_option()
@log_level_option()
@click.pass_context
def command(
    ctx: click.Context,
    provider: str | None,
    config_path: Path | None,
    socket_path: Path | None,
    as_json: bool,
    log_level: str,
) -> None:
    """Show the plan, the premium requests that are left and when they are new again.

    The running daemon is asked, whose answers' own reports are counted in. With --config, or when none is
    running, the providers are asked directly. Of PROVIDER, or of all that have a plan; the exit status is 1
    if none could be asked.

    \b
    Example:
      maestro-daemon quota --json | jq '.quotas[].allowances[0].remaining'
    """
    with desk(config_path, socket_path, log_level) as asked:
        told = asked.quotas(provider)
    quotas, problems = told.get("quotas", {}), told.get("problems", {})
    if as_json:
        screen.json({"quotas": quotas, "problems": problems})
    else:
        _show(quotas, problems)
    ctx.exit(1 if problems and not quotas else 0)


def _show(quotas: Mapping[str, Any], problems: Mapping[str, Any]) -> None:
    if not quotas and not problems:
        click.echo("no provider has a plan that could be asked for")
        return
    rows = [row for name, report in quotas.items() for row in _rows(name, report)]
    if rows:
        screen.table(("provider", "account", "plan", "counted", "left", "resets"), rows)
    for name, report in quotas.items():
        if report.get("note"):
            click.echo(f"{name}: {screen.printable(report['note'])}")
    for name, problem in problems.items():
        click.echo(f"{name}: {screen.printable(problem)}", err=True)


def _rows(name: str, report: Mapping[str, Any]) -> list[tuple[str | None, ...]]:
    account, plan = report.get("account") or None, report.get("plan") or None
    allowances = report.get("allowances") or []
    if not allowances:
        return [(name, account, plan, None, None, report.get("resets"))]
    return [
        (
            name,
            account,
            plan,
            str(each.get("name")).replace("_", " "),
            left(each),
            each.get("resets") or report.get("resets"),
        )
        for each in allowances
    ]


def left(allowance: Mapping[str, Any]) -> str | None:
    """What is left, as people write it."""
    if allowance.get("unlimited"):
        return "unlimited"
    remaining, entitlement, percent = (allowance.get(key) for key in ("remaining", "entitlement", "percent"))
    share = f"{percent:g} %" if percent is not None else ""
    said = share or None
    if remaining is not None:
        said = f"{remaining:g}" + (f" of {entitlement:g}" if entitlement is not None else "")
        said += f" ({share})" if share else ""
    if overage := allowance.get("overage"):
        said = f"{said or 'none'}, {overage:g} beyond the plan"
    return said
