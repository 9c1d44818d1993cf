"""``maestro-daemon models``."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from maestro_daemon.cli import screen
from maestro_daemon.cli.options import config_option, json_option, log, log_level_option, socket_option
from maestro_daemon.errors import MaestroError

if TYPE_CHECKING:
    from maestro_daemon.config import Config
    from maestro_daemon.providers.registry import Registry


@click.command(short_help="List the models that can be asked for.")
@config_option()
@socket_option()
@json_option()
@log_level_option()
def command(config_path: Path | None, socket_path: Path | None, as_json: bool, log_level: str) -> None:
    """List the models of every provider, and say which provider cannot be asked and why.

    The running daemon is asked for what it knows. With --config, or when none is running, the providers
    of the configuration are asked directly.

    \b
    Example:
      maestro-daemon models --json | jq -r '.models[].id'
    """
    with log(log_level) as logs:
        document = None if config_path is not None else _ask(socket_path)
        if document is None:
            from maestro_daemon.config import load
            from maestro_daemon.discovery import find
            from maestro_daemon.providers.registry import Registry

            registry = Registry()
            config = load(config_path, registry, discover=lambda: asyncio.run(find(os.environ)).providers)
            logs.keep_out(config.secrets())
            document = asyncio.run(_read(config, registry))
    if as_json:
        screen.json(document)
    else:
        _show(document)


def _ask(socket_path: Path | None) -> dict[str, Any] | None:
    from maestro_daemon.server import control_socket

    path = socket_path or control_socket.find()
    if socket_path is None and not (control_socket.is_socket(path) and control_socket.is_live(path)):
        return None
    return control_socket.ask(path, "/models")


async def _read(config: Config, registry: Registry) -> dict[str, Any]:
    """Make the providers, ask each once, close them again."""
    from maestro_daemon.providers.catalog import Catalog, listing
    from maestro_daemon.providers.provider import Provider, Startable

    providers: dict[str, Provider] = {}
    problems: dict[str, str] = {}
    try:
        for name, wanted in config.providers.items():
            try:
                providers[name] = registry.build(name, wanted.kind, wanted.options)
            except MaestroError as error:
                problems[name] = error.message
        for name, provider in providers.items():
            if isinstance(provider, Startable):
                try:
                    await provider.start()
                except MaestroError as error:
                    problems[name] = error.message
        catalog = Catalog(providers)
        await catalog.refresh()
        document = listing(catalog, providers)
        document["problems"] = {**document["problems"], **problems}
        return document
    finally:
        await asyncio.gather(*(each.aclose() for each in providers.values()), return_exceptions=True)


def _show(document: dict[str, Any]) -> None:
    models = document.get("models", [])
    if models:
        screen.table(
            ("model", "context", "tools"),
            [(each["id"], each.get("context_window"), _yes_no(each.get("tools"))) for each in models],
        )
    for provider, problem in document.get("problems", {}).items():
        click.echo(f"{provider} lists nothing now: {screen.printable(problem)}", err=bool(models))
    if not models and not document.get("problems"):
        click.echo("no provider lists any model")


def _yes_no(able: bool | None) -> str | None:
    return None if able is None else "yes" if able else "no"
