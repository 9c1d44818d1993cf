"""A generation: everything that is made from one configuration, and what outlives it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import structlog

from maestro_daemon.config import Config
from maestro_daemon.config.changes import is_same_provider
from maestro_daemon.errors import MaestroError
from maestro_daemon.providers.absent import AbsentProvider
from maestro_daemon.providers.accounts import Accounts, LoginChanged
from maestro_daemon.providers.catalog import Catalog
from maestro_daemon.providers.provider import Provider
from maestro_daemon.providers.registry import Registry
from maestro_daemon.routing.affinity import Affinity
from maestro_daemon.routing.budget import RetryBudget
from maestro_daemon.routing.deadlines import Deadlines
from maestro_daemon.routing.health import Health
from maestro_daemon.routing.memory import Memory
from maestro_daemon.routing.plan import Planner, Route, Target
from maestro_daemon.routing.router import Router
from maestro_daemon.routing.tracing import Tracing
from maestro_daemon.routing.turns import Turns
from maestro_daemon.server.access import Access, is_loopback
from maestro_daemon.server.allowances import Allowances
from maestro_daemon.server.body_log import BodyLog, WriteBody, write_body_by_structlog
from maestro_daemon.server.front import Front, Limits
from maestro_daemon.server.issued_keys import IssuedKeys
from maestro_daemon.server.offer import Offer

_LAST_WORDS: Final = 60.0
_log: Final = structlog.get_logger(__name__)


class Lasting:
    """What outlives every configuration: the plugins, what is known of targets, conversations and answers.

    `issued` are the client keys beside those of the configuration, `allowances` what clients have used,
    `tracing` who is told of what begins, `write_body` takes the bodies that a route wants logged.
    """

    def __init__(
        self,
        registry: Registry,
        config: Config,
        *,
        health: Health | None = None,
        issued: IssuedKeys | None = None,
        allowances: Allowances | None = None,
        tracing: Tracing | None = None,
        write_body: WriteBody = write_body_by_structlog,
    ) -> None:
        self.registry = registry
        self.write_body = write_body
        self.issued = IssuedKeys() if issued is None else issued
        self.allowances = Allowances() if allowances is None else allowances
        self.tracing = tracing
        self.memory = Memory(item_bytes=config.server.memory)
        self.affinity = Affinity()
        self.turns = Turns()
        self.deadlines = Deadlines()
        self.health = Health(config.breaker.rules()) if health is None else health
        self.budget = RetryBudget(config.breaker.budget())
        self._trace(config)

    def follow(self, config: Config) -> None:
        """The rules of another configuration from now on; what is known stays."""
        self.health.follow(config.breaker.rules())
        self.budget.follow(config.breaker.budget())
        self.memory.follow(config.server.memory)
        self._trace(config)

    def _trace(self, config: Config) -> None:
        if self.tracing is not None:
            self.tracing.follow({name: provider.kind for name, provider in config.providers.items()})
        self.turns.follow(config.routes)


class Generation:
    """What is made from one `config`. Providers of the generation `before` go on where their tables do.

    `made` names the providers that were made for this one. `login_changed` is told of logins and logouts.
    Nothing runs yet, and nothing is to be closed here: see `Succession`.
    """

    def __init__(
        self,
        config: Config,
        lasting: Lasting,
        *,
        before: Generation | None = None,
        login_changed: LoginChanged,
    ) -> None:
        self.config = config
        self.providers: dict[str, Provider] = {
            name: _kept(config, before, name) or _made(config, lasting.registry, name)
            for name in config.providers
        }
        self.made = [
            name
            for name, provider in self.providers.items()
            if before is None or before.providers.get(name) is not provider
        ]
        self.catalog: Catalog = Catalog(
            self.providers,
            None if before is None else before.catalog,
            conduct=lasting.registry.conduct,
        )
        routes = _routes(config, self.providers)
        self.route_targets = [
            target for route in routes.values() for target in (*route.targets, *route.fallbacks)
        ]
        planner = Planner(
            self.providers,
            routes,
            self.catalog,
            lasting.memory,
            health=lasting.health,
            affinity=lasting.affinity,
            turns=lasting.turns,
        )
        router = Router(
            planner,
            lasting.memory,
            lasting.registry.hook,
            health=lasting.health,
            budget=lasting.budget,
            deadlines=lasting.deadlines,
            patience={name: each.patience for name, each in config.providers.items()},
            tracing=lasting.tracing,
        )
        server = config.server
        self.access = Access(
            {name: client.key.reveal() for name, client in config.clients.items()},
            clients={name: client.client(name) for name, client in config.clients.items()},
            issued=lasting.issued,
            allowances=lasting.allowances,
            exposed=not is_loopback(server.host),
            allowed_hosts=server.allowed_hosts,
        )
        limits = Limits(
            max_body=server.max_body,
            body_timeout=server.body_timeout,
            keepalive=server.keepalive,
            send_timeout=server.send_timeout,
        )
        self.front = Front(router, self.access, limits, _bodies(config, lasting.write_body))
        self.offer = Offer(
            list(self.providers),
            {
                name: [target.name for target in (*route.targets, *route.fallbacks)]
                for name, route in routes.items()
            },
            self.catalog,
            lambda: target.name if (target := planner.auto()) is not None else None,
        )
        self.accounts = Accounts(
            self.providers,
            {name: provider.kind for name, provider in config.providers.items()},
            changed=login_changed,
        )

    @property
    def longest(self) -> float:
        """Seconds after which none of its requests can be under way any more, if all goes well."""
        totals = [provider.patience.total for provider in self.config.providers.values()]
        totals += [route.total_timeout for route in self.config.routes.values()]
        server = self.config.server
        longest = max((total for total in totals if total is not None), default=0.0)
        return longest + server.body_timeout + server.send_timeout + _LAST_WORDS


def _bodies(config: Config, write: WriteBody) -> BodyLog | None:
    routes = [name for name, route in config.routes.items() if route.log_bodies]
    if not routes:
        return None
    _log.warning("prompts and outputs of these routes are logged (log_bodies)", routes=routes)
    return BodyLog(routes, write)


def _kept(config: Config, before: Generation | None, name: str) -> Provider | None:
    """The object that serves the provider already; one that could not be made is tried anew."""
    if before is None or name not in before.providers or isinstance(before.providers[name], AbsentProvider):
        return None
    if not is_same_provider(before.config.providers[name], config.providers[name]):
        return None
    return before.providers[name]


def _made(config: Config, registry: Registry, name: str) -> Provider:
    wanted = config.providers[name]
    try:
        return registry.build(name, wanted.kind, wanted.options)
    except MaestroError as error:
        _log.error("provider not made", provider=name, reason=error.message)
        return AbsentProvider(name, error)


def _routes(config: Config, providers: Mapping[str, Provider]) -> dict[str, Route]:
    def target(name: str) -> Target:
        provider, _, model = name.partition("/")
        return Target(providers[provider], provider, model, config.providers[provider].affinity)

    return {
        name: Route(
            name,
            tuple(map(target, route.targets)),
            tuple(map(target, route.fallbacks)),
            route.balance,
            route.weights,
            route.terms(),
        )
        for name, route in config.routes.items()
    }
