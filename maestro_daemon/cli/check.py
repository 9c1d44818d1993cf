"""``maestro-daemon check``."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from maestro_daemon.cli import EX_CONFIG, screen
from maestro_daemon.cli.options import config_option, json_option, log, log_level_option
from maestro_daemon.cli.plan import (
    TIMEOUTS,
    affinity_of,
    affinity_text,
    base_url,
    breaker_text,
    plan_text,
    reach_text,
    timeouts_of,
)
from maestro_daemon.errors import ConfigInvalid
from maestro_daemon.providers.options import duration_text

if TYPE_CHECKING:
    from maestro_daemon.config import Config


@click.command(short_help="Check the configuration and show what it will do.")
@config_option()
@json_option()
@log_level_option()
@click.pass_context
def command(ctx: click.Context, config_path: Path | None, as_json: bool, log_level: str) -> None:
    """Check the configuration and print the effective plan of every route. Nothing is started.

    Everything that is wrong is said at once, a line each: file, line, column, key, and what to do. The
    exit status is then 78. A route that can never fire is wrong, too. Credentials of systemd's, which the
    service alone can read, are taken on trust and named.

    \b
    Example:
      maestro-daemon check --config maestro.toml && systemctl restart maestro-daemon
    """
    from maestro_daemon.config import load
    from maestro_daemon.discovery import find
    from maestro_daemon.providers.registry import Registry

    unread: list[str] = []
    with log(log_level):
        try:
            config = load(
                config_path,
                Registry(),
                discover=lambda: asyncio.run(find(os.environ)).providers,
                unread=unread,
            )
        except ConfigInvalid as error:
            if not as_json:
                raise
            screen.json({"valid": False, "faults": error.message.split("\n")})
            ctx.exit(EX_CONFIG)
    unread = list(dict.fromkeys(unread))
    if as_json:
        screen.json(_document(config, unread))
    else:
        _show(config, unread)


def _document(config: Config, unread: Sequence[str]) -> dict[str, Any]:
    return {
        "valid": True,
        "unread_credentials": unread,
        "config": str(config.source) if config.source else None,
        "url": base_url(config),
        "clients": list(config.clients),
        "providers": {
            name: {"kind": provider.kind, "found": name in config.found}
            for name, provider in config.providers.items()
        },
        "routes": {
            name: {
                "balance": route.balance,
                "weights": {target: route.weights.get(target, 1) for target in route.targets}
                if route.balance == "weighted"
                else {},
                "affinity": affinity_of(route, config),
                "targets": route.targets,
                "fallbacks": route.fallbacks,
                "max_wait": duration_text(route.max_wait),
                "hedge": route.hedge,
                "timeouts": {
                    target: timeouts_of(route, target, config)
                    for target in (*route.targets, *route.fallbacks)
                },
            }
            for name, route in config.routes.items()
        },
        "breaker": config.breaker.model_dump(mode="json"),
    }


def _show(config: Config, unread: Sequence[str]) -> None:
    from maestro_daemon.providers.state_directory import default_path
    from maestro_daemon.server.issued_keys import were_issued

    click.echo(f"{config.source}: right" if config.source else "no configuration file: serving what is found")
    if unread:
        click.echo(f"not looked at, since the service alone can read credentials: {', '.join(unread)}")
    click.echo(f"serves on {base_url(config)}")
    click.echo(reach_text(config, issued=were_issued(default_path())))
    if config.providers:
        click.echo()
        rows = [
            (name, provider.kind, "found on this machine" if name in config.found else "configured")
            for name, provider in config.providers.items()
        ]
        screen.table(("provider", "kind", "from"), rows)
    else:
        click.echo("no providers: nothing can be served")
    if config.routes:
        click.echo()
        plans = [
            (name, route.balance, affinity_text(route, config), plan_text(route))
            for name, route in config.routes.items()
        ]
        screen.table(("route", "balance", "affinity", "plan"), plans)
        click.echo()
        bounds = [
            (name, target, *timeouts_of(route, target, config).values())
            for name, route in config.routes.items()
            for target in (*route.targets, *route.fallbacks)
        ]
        names = (name.replace("_", " ") for name in TIMEOUTS)
        screen.table(("within", "target", *names), bounds)
    if config.providers:
        click.echo()
        click.echo(breaker_text(config))
