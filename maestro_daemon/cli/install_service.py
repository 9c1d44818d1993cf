"""``maestro-daemon install-service``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from maestro_daemon.cli import screen
from maestro_daemon.errors import MaestroError

if TYPE_CHECKING:
    from maestro_daemon.service.installing import Places

PREFIX: Final = Path("/opt/maestro-daemon")


class RootNeeded(MaestroError):
    """A system service is root's affair."""


@click.command(name="install-service", short_help="Install the daemon as a systemd service.")
@click.option("--user", is_flag=True, help="A service of your own instead of one of the machine.")
@click.option(
    "--prefix",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help=f"Install the daemon there, in an environment of its own, and run that one, e.g. {PREFIX}.",
)
@click.option(
    "--from",
    "source",
    metavar="WHAT",
    help="With --prefix: a wheel, a folder or a requirement for pip, instead of what is installed here.",
)
@click.option("--dry-run", "dry", is_flag=True, help="Only say what would be done.")
def command(user: bool, prefix: Path | None, source: str | None, dry: bool) -> None:
    """Write the units, the configuration if there is none, and say what to do next.

    The service listens where [server] host and port of its configuration say, and on a unix socket. Without
    --user it runs as a user that systemd makes for it and that sees neither /root nor /home: a daemon
    installed there is refused, and --prefix installs one of its own elsewhere. Running it again writes
    the units anew, for another program, host or port; a configuration that is there is never touched.

    \b
    Example:
      sudo maestro-daemon install-service --prefix /opt/maestro-daemon
      sudo systemctl enable --now maestro-daemon.socket maestro-daemon.service
    """
    from maestro_daemon.service.installing import Installer, Places
    from maestro_daemon.service.reach import NotRunnable
    from maestro_daemon.service.unit_files import SERVICE, units

    if source is not None and prefix is None:
        raise click.UsageError("--from says what --prefix installs: name that, too.")
    places = Places.of_user(os.environ) if user else Places.of_system()
    refuse_without_root(user=user, dry=dry, command="install-service")
    address = _address(places)
    os.umask(0o022)  # the service's user must be able to read what is made
    if prefix is not None:
        program = _made(prefix.absolute(), source, places.units / SERVICE, dry=dry)
    else:
        program = Path(sys.executable).with_name("maestro-daemon")
        if not program.is_file():
            raise NotRunnable(f"There is no command {program} that a unit could run: use --prefix {PREFIX}.")
        _judge(program, user=user)
    made = units(program, places.config, address, user=user)
    Installer(places, _say, dry=dry).install(made, renewed=prefix is not None)
    if user:
        _say("to have it started at boot, and not with your first login: loginctl enable-linger")


def refuse_without_root(*, user: bool, dry: bool, command: str) -> None:
    """Raise `RootNeeded` where somebody else wants to change the system."""
    if not user and not dry and os.geteuid() != 0:
        raise RootNeeded(
            f"A service of the machine needs root: sudo maestro-daemon {command}, "
            f"or {command} --user for one of your own."
        )


def _judge(program: Path, *, user: bool) -> None:
    """Name the program that the unit will run, or refuse it."""
    from maestro_daemon.service.reach import NotRunnable, hindrance, interpreter

    found = interpreter(Path(sys.executable))
    runs = f"{program}, by {found.chain} (Python {found.version})"
    if not user and (why := hindrance([program, *found.needs])):
        raise NotRunnable(
            f"The service would run {runs}, which its user cannot reach: {why}. "
            f"Install one of its own: maestro-daemon install-service --prefix {PREFIX}"
        )
    _say(f"the service will run {runs}")


def _made(prefix: Path, source: str | None, unit: Path, *, dry: bool) -> Path:
    from maestro_daemon.service import own_environment
    from maestro_daemon.service.reach import NotRunnable, hindrance, interpreter

    own_environment.refuse_foreign(prefix, unit)
    python = own_environment.base_python()
    parts = own_environment.wanted(source)
    program = own_environment.program_in(prefix)
    for part in parts:
        _say(f"{'would install' if dry else 'installing'} {part}")
    if dry:
        _say(f"the service would run {program}, by {python}")
        return program
    own_environment.make(prefix, python, parts, unit)
    found = interpreter(prefix / "bin" / "python")
    if why := hindrance([program, *found.needs]):
        raise NotRunnable(f"The service's user cannot reach what was installed: {why}.")
    _say(f"the service will run {program}, by {found.chain} (Python {found.version})")
    return program


def _address(places: Places) -> str:
    """Where the service is to listen: as its configuration says, if there is one."""
    from maestro_daemon.config.address import configured_address
    from maestro_daemon.service.unit_files import listen_address

    return listen_address(*configured_address(places.config))


def _say(line: str) -> None:
    click.echo(screen.printable(line))
