"""``maestro-daemon config``."""

from __future__ import annotations

from pathlib import Path

import click

from maestro_daemon.cli import screen
from maestro_daemon.cli.options import config_option, log
from maestro_daemon.cli.plugins import loaded


@click.group(short_help="What a configuration can say.")
def command() -> None:
    """What a configuration can say: as JSON Schema, or as an example file with every key."""


@command.command(short_help="Print the JSON Schema of the TOML file.")
@config_option()
def schema(config_path: Path | None) -> None:
    """Print the JSON Schema of the TOML file, with the options of every provider kind installed here.

    \b
    Example:
      maestro-daemon config schema > maestro.schema.json
      (and in the TOML file, for editors:  #:schema ./maestro.schema.json)
    """
    from maestro_daemon.config.schema import json_schema

    with log("error"):
        screen.json(json_schema(loaded(config_path).kinds))


@command.command(short_help="Print an example file with every key.")
@config_option()
def example(config_path: Path | None) -> None:
    """Print an example file: every key once, commented out, with its default and what it means.

    \b
    Example:
      maestro-daemon config example | less
    """
    from maestro_daemon.config.example import example as text

    with log("error"):
        click.echo(text(loaded(config_path).kinds), nl=False)
