"""What tables that are right by themselves get wrong together."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from maestro_daemon.config.faults import Fault, nearest
from maestro_daemon.config.server_tables import ServerOptions
from maestro_daemon.config.tables import ClientOptions, PluginsOptions, RouteOptions
from maestro_daemon.providers.options import is_loopback
from maestro_daemon.providers.registry import Registry
from maestro_daemon.server.client import is_askable


def misnamed(table: str, name: str) -> Fault:
    """A name that would be trouble in a URL, a header or a target."""
    slash = ", :, /, @ and +" if table == "routes" else ", @ and +" if table == "clients" else ""
    return Fault(
        (table, name), f"a name holds only letters, digits, ., _, -{slash} and begins with a letter or digit"
    )


def unusable_plugins(plugins: PluginsOptions, registry: Registry) -> Iterator[Fault]:
    """Names in ``[plugins]`` that no installed plugin has."""
    installed = registry.installed()
    for key in ("enabled", "disabled"):
        for index, name in enumerate(getattr(plugins, key) or ()):
            if name not in installed:
                guess = nearest(name, installed) or f"; installed: {', '.join(installed) or 'none'}"
                yield Fault(("plugins", key, index), f"no plugin {name!r} is installed{guess}")


def leaves_out(plugins: PluginsOptions, plugin: str, registry: Registry) -> bool:
    """Whether ``[plugins]`` keeps an installed plugin from being loaded, loaded though it may be already."""
    if plugin not in registry.installed():
        return False
    return plugin in plugins.disabled or (plugins.enabled is not None and plugin not in plugins.enabled)


def unusable_kind(provider: str, kind: str, plugins: PluginsOptions, registry: Registry) -> Fault:
    """Why no provider of this kind can be made."""
    at = ("providers", provider, "kind")
    known = registry.kinds.get(kind)
    brought_by = kind if known is None else known.plugin
    for row in registry.rows:
        if row.name != brought_by:
            continue
        if leaves_out(plugins, row.name, registry):
            return Fault(at, f"kind {kind!r} is disabled: [plugins] leaves out its plugin {row.name!r}")
        if row.state == "disabled":
            return Fault(
                at,
                f"kind {kind!r} is not loaded: [plugins] left out its plugin {row.name!r} when the daemon "
                "was started; restart it",
            )
        if row.state == "broken":
            return Fault(
                at, f"kind {kind!r} is missing because its plugin {row.name!r} is broken: {row.error}"
            )
    guess = nearest(kind, list(registry.kinds)) or f"; known: {', '.join(registry.kinds) or 'none'}"
    return Fault(at, f"unknown kind {kind!r}{guess}")


def unusable_routes(routes: Mapping[str, RouteOptions], named: set[str], usable: set[str]) -> Iterator[Fault]:
    """Targets that can never be tried: without a provider, or listed before.

    `named` are the providers that have a table, `usable` those whose table is right.
    """
    for route, options in routes.items():
        seen: dict[str, str] = {}
        for key, targets in (("targets", options.targets), ("fallbacks", options.fallbacks)):
            for index, target in enumerate(targets):
                at = ("routes", route, key, index)
                provider = target.partition("/")[0]
                if provider not in named:
                    guess = nearest(provider, named) or f"; configured: {', '.join(sorted(named)) or 'none'}"
                    yield Fault(at, f"{target!r} can never be tried: no provider {provider!r}{guess}")
                elif provider not in usable:
                    yield Fault(at, f"{target!r} can never be tried: [providers.{provider}] cannot be used")
                elif target in seen:
                    yield Fault(at, f"{target!r} can never be tried: it stands in {seen[target]} already")
                seen.setdefault(target, key)
        if options.hedge and len(options.targets) < 2:
            yield Fault(
                ("routes", route, "hedge"),
                "can never fire: the route has one target",
            )
        yield from _unusable_weights(route, options)


def _unusable_weights(route: str, options: RouteOptions) -> Iterator[Fault]:
    """Weights that change nothing."""
    if options.weights and options.balance != "weighted":
        yield Fault(
            ("routes", route, "weights"),
            f'means nothing while balance is "{options.balance}": set balance = "weighted"',
        )
    for target in options.weights:
        if target in options.fallbacks:
            why = "it is a fallback, and these are tried in order"
        elif target not in options.targets:
            why = f"it is no target of this route{nearest(target, options.targets)}"
        else:
            continue
        yield Fault(("routes", route, "weights", target), f"{target!r} can have no weight: {why}")


def unreachable_safely(
    server: ServerOptions, clients: Mapping[str, ClientOptions], *, any_client: bool
) -> Iterator[Fault]:
    """An address that others can reach without a key, and keys that two clients share."""
    if not is_loopback(server.host) and not any_client:
        yield Fault(
            ("server", "host"),
            f"{server.host!r} can be reached from other machines and no client key is configured: "
            "make one with 'maestro-daemon keys add NAME', add [clients.NAME] with a key, or use 127.0.0.1",
        )
    owners: dict[str, str] = {}
    for name, client in clients.items():
        owner = owners.setdefault(client.key.reveal(), name)
        if owner != name:
            yield Fault(("clients", name, "key"), f"is the same key as that of client {owner!r}")


def unaskable(
    clients: Mapping[str, ClientOptions], routes: Collection[str], providers: Collection[str]
) -> Iterator[Fault]:
    """Models of clients that nobody can ask for."""
    for name, client in clients.items():
        for index, model in enumerate(client.routes or ()):
            if not is_askable(model, routes, providers):
                guess = nearest(model, [*routes, "auto", *(f"{each}/*" for each in providers)])
                yield Fault(
                    ("clients", name, "routes", index),
                    f"{model!r} can never be asked for: it is no route, and of no provider{guess}",
                )
