"""What a configuration will do, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from maestro_daemon.config import Config, RouteOptions


def plan_text(route: RouteOptions) -> str:
    """The order in which a route's targets are tried."""
    if len(route.targets) == 1:
        text = route.targets[0]
    elif route.balance == "round_robin":
        text = f"{', '.join(route.targets)} in turn"
    else:
        text = f"{', then '.join(route.targets)}"
    if route.fallbacks:
        text += f"; after all failed {', then '.join(route.fallbacks)}"
    return text


def reach_text(config: Config) -> str:
    """Who may use the daemon."""
    if config.clients:
        return f"clients: {', '.join(config.clients)} (each with its key)"
    return "clients: programs on this machine, without a key"


def base_url(config: Config) -> str:
    """The base URL that clients will use, as far as the configuration tells."""
    server = config.server
    host = f"[{server.host}]" if ":" in server.host else server.host
    return f"{'https' if server.tls else 'http'}://{host}:{server.port}/v1"
