"""What a configuration will do, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maestro_daemon.providers.options import duration_text

if TYPE_CHECKING:
    from maestro_daemon.config import Config, ProviderConfig, RouteOptions


def plan_text(route: RouteOptions) -> str:
    """The order in which a route's targets are tried."""
    if len(route.targets) == 1:
        text = route.targets[0]
    elif route.balance == "round_robin":
        text = f"{', '.join(route.targets)} in turn"
    elif route.balance == "least_busy":
        text = f"the least busy of {', '.join(route.targets)}"
    elif route.balance == "weighted":
        weights = [route.weights.get(each, 1) for each in route.targets]
        shares = zip(route.targets, weights, strict=True)
        text = ", ".join(f"{target} ({weight} of {sum(weights)})" for target, weight in shares)
    else:
        text = f"{', then '.join(route.targets)}"
    if route.fallbacks:
        text += f"; after all failed {', then '.join(route.fallbacks)}"
    return text


def affinity_text(provider: ProviderConfig) -> str:
    """How long a conversation stays with a provider that served it."""
    return duration_text(provider.affinity) if provider.affinity else "never"


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
