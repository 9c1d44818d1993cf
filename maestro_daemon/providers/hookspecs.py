"""The hooks a plugin may implement, with pluggy's `hookimpl` of the project ``maestro_daemon``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import pluggy
from pydantic import BaseModel

from maestro_daemon.providers.provider import Provider

if TYPE_CHECKING:
    import click

    from maestro_daemon.providers.notices import Attempt, Outcome
    from maestro_daemon.request import ResponseRequest

hookspec = pluggy.HookspecMarker("maestro_daemon")
hookimpl = pluggy.HookimplMarker("maestro_daemon")

Options = TypeVar("Options", bound=BaseModel)
Factory = Callable[..., Provider]
"""``factory(name, options)`` makes the provider ``[providers.NAME]``. Called on the loop: must not block.

One with a parameter named ``state_directory`` also gets the `pathlib.Path` of the folder where it may keep
what must outlive the process; the folder need not exist yet.
"""

Register = Callable[[str, type[BaseModel], Factory], None]
"""``register(kind, options_model, factory)``: the pydantic model validates the provider's TOML table."""


@hookspec
def maestro_register_providers(register: Register) -> None:
    """Called once as the plugin loads: call ``register(kind, options_model, factory)`` per provider kind."""


@hookspec
def maestro_register_commands(cli: click.Group) -> None:
    """Called when the command line is built: add click commands to ``cli``."""


@hookspec
def maestro_attempt_finished(request: ResponseRequest, attempt: Attempt) -> None:
    """Called after every attempt at a target. A notice: it must not block; what it raises is logged."""


@hookspec
def maestro_response_finished(request: ResponseRequest, outcome: Outcome) -> None:
    """Called after the terminal event or the JSON answer. A notice, as above."""
