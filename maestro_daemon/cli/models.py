"""``maestro-daemon models``."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from maestro_daemon.cli import screen
from maestro_daemon.cli.options import config_option, json_option, log, log_level_option, socket_option
from maestro_daemon.errors import MaestroError

if TYPE_CHECKING:
    from maestro_daemon.config import Config
    from maestro_daemon.providers.registry import Registry

_COLUMNS: Final = ("model", "context", "output", "tools", "vision", "efforts", "endpoints")
_ALWAYS: Final = ("model", "context", "tools")


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
        rows = [_row(each) for each in models]
        columns = [name for name in _COLUMNS if name in _ALWAYS or any(row[name] is not None for row in rows)]
        screen.table(columns, [[row[name] for name in columns] for row in rows])
    for provider, problem in document.get("problems", {}).items():
        known = any(each.get("provider") == provider for each in models)
        how_it_stands = "is listed as it was before" if known else "lists nothing now"
        click.echo(f"{provider} {how_it_stands}: {screen.printable(problem)}", err=bool(models))
    if not models and not document.get("problems"):
        click.echo("no provider lists any model")


def _row(model: dict[str, Any]) -> dict[str, Any]:
    endpoints = (model.get("details") or {}).get("endpoints")
    return {
        "model": model["id"],
        "context": model.get("context_window"),
        "output": model.get("max_output_tokens"),
        "tools": _yes_no(model.get("tools")),
        "vision": _yes_no(model.get("vision")),
        "efforts": _words(model.get("reasoning_efforts")),
        "endpoints": _words(endpoints),
    }


def _words(listed: Any) -> str | None:
    return " ".join(map(str, listed)) if isinstance(listed, list) and listed else None


def _yes_no(able: bool | None) -> str | None:
    return None if able is None else "yes" if able else "no"
