"""``maestro-daemon uninstall-service``."""

from __future__ import annotations

import os

import click

from maestro_daemon.cli import screen
from maestro_daemon.cli.install_service import refuse_without_root


@click.command(name="uninstall-service", short_help="Take the systemd service away again.")
@click.option("--user", is_flag=True, help="The service of your own instead of that of the machine.")
@click.option("--dry-run", "dry", is_flag=True, help="Only say what would be done.")
def command(user: bool, dry: bool) -> None:
    """Stop the service and remove all that install-service wrote: units, configuration, --prefix.

    What the daemon itself keeps (logins, client keys) stays, and where that is is said. The configuration
    and what `systemctl edit` wrote are moved there, too. Files that others have put beside the configuration
    are left and named.

    \b
    Example:
      sudo maestro-daemon uninstall-service
    """
    from maestro_daemon.service.installing import Installer, Places

    refuse_without_root(user=user, dry=dry, command="uninstall-service")
    installer = Installer(Places.of_user(os.environ) if user else Places.of_system(), _say, dry=dry)
    installer.uninstall()
    state = installer.state_left()
    _say(f"the state stays in {state}" if state else "no state is left")


def _say(line: str) -> None:
    click.echo(screen.printable(line))
