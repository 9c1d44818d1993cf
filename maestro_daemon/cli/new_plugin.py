"""``maestro-daemon plugins new``: a distribution to begin a plugin from."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import click

from maestro_daemon import __version__
from maestro_daemon.errors import MaestroError
from maestro_daemon.providers.needed_api import API_VERSION

DIALECTS: Final = ("chat", "responses", "own")
_NAME: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LONGEST_NAME: Final = 40
_TEMPLATES: Final = "plugin_templates"


class NotWritten(MaestroError):
    """The plugin could not be written; the message says why, and what to do."""


def _name(ctx: click.Context, parameter: click.Parameter, name: Any) -> str:
    """The name, if it can be that of a kind, a package and a module at once."""
    if not _NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
        raise click.BadParameter(
            f"{name!r}: small letters, digits and single hyphens, {_LONGEST_NAME} at most, beginning with a "
            'letter, like "acme" or "my-llm"'
        )
    if name == "daemon":
        raise click.BadParameter(f"{name!r} is the daemon's own: the module would be maestro_daemon")
    return str(name)


@click.command(short_help="Write a new plugin, ready to install.")
@click.argument("name", callback=_name)
@click.option(
    "--dialect",
    type=click.Choice(DIALECTS),
    default="chat",
    show_default=True,
    help="What the upstream speaks: chat completions, the Responses dialect, or something of its own.",
)
@click.option(
    "--into",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    metavar="DIR",
    help="Where the plugin's folder is made. Without it: here.",
)
def new(name: str, dialect: str, into: Path) -> None:
    """Write a distribution that brings the provider kind NAME: the plugin, its tests and a README.

    It installs and passes its tests as it is; then make the provider speak your API.

    \b
    Example:
      maestro-daemon plugins new acme --dialect responses
    """
    _refuse_taken(name)
    folder = written(name, dialect, into)
    click.echo(f"{folder} is a plugin with the provider kind {name}. Next:\n")
    click.echo(f"  cd {folder}")
    click.echo("  python -m pip install -e '.[test]'")
    click.echo("  python -m pytest")
    click.echo("  maestro-daemon plugins")


def written(name: str, dialect: str, into: Path) -> Path:
    """Write the distribution as a new folder in `into`; its path.

    Raises `NotWritten`, and leaves nothing then. `name` is a valid one, `dialect` one of `DIALECTS`.
    """
    folder = into / f"maestro-daemon-{name}"
    if folder.exists() or folder.is_symlink():
        raise NotWritten(
            f"{folder} is there already and stays as it is: take another name, or another place with --into."
        )
    try:
        into.mkdir(parents=True, exist_ok=True)
        half = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=into))
        try:
            for path, text in contents(name, dialect).items():
                file = half / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8")
            half.chmod(0o777 & ~_umask())
            half.rename(folder)
        except BaseException:
            shutil.rmtree(half, ignore_errors=True)
            raise
    except OSError as error:
        raise NotWritten(f"{folder} cannot be written: {error.strerror or error}.") from None
    return folder


def contents(name: str, dialect: str) -> dict[str, str]:
    """The files of the distribution, by their paths in it."""
    module = f"maestro_{name.replace('-', '_')}"
    words = {
        "name": name,
        "distribution": f"maestro-daemon-{name}",
        "module": module,
        "title": "".join(part.capitalize() for part in name.split("-")),
        "variable": f"{name.replace('-', '_').upper()}_KEY",
        "version": __version__,
        "api": API_VERSION,
    }
    templates = {
        "pyproject.toml": "pyproject.toml.txt",
        "README.md": "README.md.txt",
        ".gitignore": "gitignore.txt",
        f"{module}/__init__.py": "init.py.txt",
        f"{module}/provider.py": f"provider_{dialect}.py.txt",
        "tests/test_contract.py": f"test_contract_{dialect}.py.txt",
    }
    made = {path: _filled(template, words) for path, template in templates.items()}
    return {**made, f"{module}/py.typed": ""}


def _filled(template: str, words: Mapping[str, str]) -> str:
    text = files(__package__).joinpath(_TEMPLATES, template).read_text(encoding="utf-8")
    return re.sub(r"@([a-z]+)@", lambda match: words[match[1]], text)


def _refuse_taken(name: str) -> None:
    """Raises `click.UsageError` for a name that an installed plugin has."""
    from maestro_daemon.providers.registry import Registry

    if name in Registry().installed():
        raise click.UsageError(f"A plugin {name!r} is installed already: choose another name.")


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
