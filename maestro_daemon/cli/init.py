"""``maestro-daemon init``."""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from maestro_daemon.cli.options import log, log_level_option
from maestro_daemon.errors import MaestroError

if TYPE_CHECKING:
    from maestro_daemon.discovery import Found

_HEAD = """\
# The configuration of maestro-daemon, written by 'maestro-daemon init' from what it found.
# 'maestro-daemon config example' shows every key there is; 'maestro-daemon check' what this file does.

[server]
host = "127.0.0.1"
port = 8787

"""
_TAIL = """\
# A model name of your own, tried at several targets in turn:
#[routes.coder]
#targets = ["{first}/MODEL", "openai/gpt-5.5"]
#fallbacks = ["{last}/MODEL"]
"""


class FileInTheWay(MaestroError):
    """There is a file already, or none can be written; the message says what to do."""


@click.command(short_help="Write a maestro.toml from what is found here.")
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    default=Path("maestro.toml"),
    show_default=True,
    metavar="FILE",
    help="The file to write.",
)
@click.option("--force", is_flag=True, help="Replace the file if there is one.")
@log_level_option()
def command(output: Path, force: bool, log_level: str) -> None:
    """Write a configuration from what is found on this machine. Only its owner can read the file.

    Looked for are Ollama (port 11434), llama.cpp's server (9931, 8080), OPENAI_API_KEY and the embedded
    engine. Keys are not copied into the file; it says where they are.

    \b
    Example:
      maestro-daemon init && maestro-daemon serve
    """
    from maestro_daemon.discovery import find

    if not force and os.path.lexists(output):
        raise _in_the_way(output)
    with log(log_level):
        found = asyncio.run(find(os.environ))
    _write(output, _text(found), force=force)
    click.echo(f"wrote {output}")
    for name, note in found.notes.items():
        click.echo(f"  provider {name}: {note}")
    click.echo(f"next: maestro-daemon serve{'' if output == Path('maestro.toml') else f' --config {output}'}")


def _text(found: Found) -> str:
    from maestro_daemon.config import toml_text

    tables = [
        f"# {found.notes[name][0].upper()}{found.notes[name][1:]}.\n"
        + toml_text.table(("providers", name), table)
        for name, table in found.providers.items()
    ]
    names = list(found.providers)
    return _HEAD + "\n".join([*tables, _TAIL.format(first=names[0], last=names[-1])])


def _write(output: Path, text: str, *, force: bool) -> None:
    """Write the file with mode 0600; what was there before is replaced in one step or not at all."""
    try:
        if force:
            descriptor, written = tempfile.mkstemp(dir=output.parent, prefix=f".{output.name}.")
        else:
            descriptor, written = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), str(output)
        try:
            with open(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            if force:
                os.replace(written, output)
        except BaseException:
            Path(written).unlink(missing_ok=True)
            raise
    except FileExistsError:
        raise _in_the_way(output) from None
    except OSError as error:
        raise FileInTheWay(f"{output} cannot be written: {error.strerror}.") from None


def _in_the_way(output: Path) -> FileInTheWay:
    return FileInTheWay(f"{output} is there already and is left as it is; --force replaces it.")
