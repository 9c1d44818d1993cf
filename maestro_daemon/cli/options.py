"""What several commands share: their options, and the log that they write to."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from maestro_daemon import logs
from maestro_daemon.providers.hook_calls import wanted_trace

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def config_option() -> Decorator:
    """``--config PATH``, passed as `config_path`."""
    return click.option(
        "--config",
        "config_path",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="The TOML file. Without it: $MAESTRO_CONFIG, ./maestro.toml, "
        "$XDG_CONFIG_HOME/maestro-daemon/config.toml, /etc/maestro-daemon/config.toml.",
    )


def socket_option() -> Decorator:
    """``--socket PATH``, passed as `socket_path`."""
    return click.option(
        "--socket",
        "socket_path",
        type=click.Path(path_type=Path),
        metavar="PATH",
        help="The daemon's control socket. Without it: control.sock in $RUNTIME_DIRECTORY, "
        "$XDG_RUNTIME_DIR/maestro-daemon or ~/.local/state/maestro-daemon.",
    )


def log_level_option(default: str = "warning") -> Decorator:
    """``--log-level LEVEL``, passed as `log_level`."""
    return click.option(
        "--log-level",
        type=click.Choice(logs.LEVELS),
        default=default,
        show_default=True,
        help="What goes to the log on stderr.",
    )


def json_option() -> Decorator:
    """``--json``, passed as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")


@contextlib.contextmanager
def log(level: str, *, for_good: bool = False) -> Iterator[logs.Logs]:
    """The log of one command: JSON lines unless stderr is a terminal. `for_good`: see `logs.configure`.

    Where ``MAESTRO_TRACE_HOOKS`` asks for the calls of hooks, `level` is at most ``info``.
    """
    if wanted_trace() is not None and level != "debug":
        level = "info"
    configured = logs.configure(level=level, for_good=for_good)
    try:
        yield configured
    finally:
        configured.close()
