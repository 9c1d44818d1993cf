"""The command line: ``maestro-daemon serve | check | status | models | login | … | config``."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from typing import Any, Final

import click

from maestro_daemon import __version__
from maestro_daemon.errors import ConfigInvalid, MaestroError

EX_CONFIG: Final = 78
_COMMANDS: Final = (
    "serve",
    "check",
    "status",
    "reload",
    "models",
    "login",
    "logout",
    "quota",
    "keys",
    "plugins",
    "init",
    "config",
    "install-service",
    "uninstall-service",
)


class Commands(click.Group):
    """The house's commands, each imported when it is wanted, and those that plugins bring.

    A command's failure is one sentence on stderr and an exit status: 78 for the configuration, 1 for all
    else; wrong usage is click's 2.
    """

    _plugins_asked = False

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The house's commands in the order of use, then the plugins'."""
        self._ask_plugins()
        return [*_COMMANDS, *sorted(set(self.commands) - set(_COMMANDS))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command; plugins are loaded only for a name that is not the house's."""
        if cmd_name in _COMMANDS:
            module = importlib.import_module(f"maestro_daemon.cli.{cmd_name.replace('-', '_')}")
            command: click.Command = module.command
            return command
        self._ask_plugins()
        return self.commands.get(cmd_name)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; every failure becomes sentences and a status."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except ConfigInvalid as error:
            complain(error.message)
            sys.exit(EX_CONFIG)
        except MaestroError as error:
            complain(f"Error: {error.message}")
        except Exception as error:  # noqa: BLE001  (no traceback reaches a user who did not ask for it)
            if os.environ.get("MAESTRO_TRACEBACK"):
                traceback.print_exc()
            asked = ctx.invoked_subcommand
            who, whose = "maestro-daemon", "the program"
            if asked is not None and asked not in _COMMANDS:
                who, whose = f"the command {asked!r}", "the plugin that brought it"
            complain(
                f"Error: {who} failed with {type(error).__name__}: {error}. This is a fault of {whose}; "
                "MAESTRO_TRACEBACK=1 in the environment shows where."
            )
        sys.exit(1)

    def _ask_plugins(self) -> None:
        if not self._plugins_asked:
            self._plugins_asked = True
            from maestro_daemon.cli.plugins import register_commands

            register_commands(self)


def complain(text: str) -> None:
    """Say on stderr what went wrong; the journal is told that these lines are errors."""
    from maestro_daemon.service.journal import is_journal

    mark = "<3>" if is_journal(2) else ""
    click.echo("\n".join(f"{mark}{line}" for line in text.split("\n")), err=True)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="maestro-daemon", message="%(prog)s %(version)s")
def cli() -> None:
    """One OpenAI Responses endpoint on this machine for every model it can reach.

    \b
    Start here:
      maestro-daemon serve                 serve what is found on this machine
      maestro-daemon init                  write a maestro.toml from it
      maestro-daemon check                 see what a configuration will do
      maestro-daemon status                ask the running daemon
    """


def main() -> None:
    """The program's entry point."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    cli(prog_name="maestro-daemon")
