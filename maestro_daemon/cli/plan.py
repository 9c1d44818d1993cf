"""What a configuration will do, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from maestro_daemon.providers.options import duration_text

if TYPE_CHECKING:
    from maestro_daemon.config import Config, RouteOptions


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
    if route.hedge:
        text += ", a second one beside a late one"
    if route.fallbacks:
        text += f"; after all failed {', then '.join(route.fallbacks)}"
    return text


TIMEOUTS: Final = ("connect", "first_byte", "first_output", "idle", "total")


def timeouts_of(route: RouteOptions, target: str, config: Config) -> dict[str, str | None]:
    """How long an attempt at `target` may take, as the file writes it; None where its kind has no bound."""
    provider = config.providers[target.partition("/")[0]]
    own = {
        **{name: getattr(provider.options, f"{name}_timeout", None) for name in TIMEOUTS},
        "first_output": provider.patience.first_output,
        "total": provider.patience.total,
    }
    said = {name: getattr(route, f"{name}_timeout") for name in TIMEOUTS}
    effective = {name: own[name] if said[name] is None else said[name] for name in TIMEOUTS}
    return {name: None if each is None else duration_text(each) for name, each in effective.items()}


def breaker_text(config: Config) -> str:
    """When a target is left alone, and for how long."""
    rules = config.breaker
    return (
        f"a target is left alone for {duration_text(rules.cooldown)} (growing to "
        f"{duration_text(rules.longest_cooldown)}) after {rules.failures} failures in a row, or when "
        f"{rules.ratio:.0%} of at least {rules.least} attempts within {duration_text(rules.window)} failed; "
        f"for {duration_text(rules.quota_cooldown)} without credit"
    )


def affinity_of(route: RouteOptions, config: Config) -> dict[str, str]:
    """How long a conversation stays with each target that served it, as the file writes it.

    Nothing for a single target: its conversations have nowhere else to go.
    """
    if len(route.targets) < 2:
        return {}
    providers = {target: config.providers[target.partition("/")[0]] for target in route.targets}
    return {target: duration_text(provider.affinity) for target, provider in providers.items()}


def affinity_text(route: RouteOptions, config: Config) -> str | None:
    """The same in words: once where all targets are alike, None for a single one."""
    spans = affinity_of(route, config)
    if not spans:
        return None
    if len(set(spans.values())) == 1:
        return next(iter(spans.values()))
    return ", ".join(dict.fromkeys(f"{target.partition('/')[0]} {span}" for target, span in spans.items()))


def reach_text(config: Config, *, issued: bool) -> str:
    """Who may use the daemon; `issued` says whether keys were ever made by command."""
    if config.clients:
        more = ", and those of 'maestro-daemon keys list'" if issued else ""
        return f"clients: {', '.join(config.clients)} (each with its key){more}"
    if issued:
        return "clients: those of 'maestro-daemon keys list' (each with its key)"
    return "clients: programs on this machine, without a key"


def base_url(config: Config) -> str:
    """The base URL that clients will use, as far as the configuration tells."""
    server = config.server
    host = f"[{server.host}]" if ":" in server.host else server.host
    return f"{'https' if server.tls else 'http'}://{host}:{server.port}/v1"
