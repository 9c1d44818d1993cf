"""Assembly: every object of a running daemon is made here, once, and handed down."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import os
import signal
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog
from aiohttp import web

from maestro_daemon import __version__
from maestro_daemon.access_log import AccessLog, Write, write_by_structlog
from maestro_daemon.config import Config
from maestro_daemon.errors import ConfigInvalid, MaestroError
from maestro_daemon.providers.absent import AbsentProvider
from maestro_daemon.providers.accounts import Accounts
from maestro_daemon.providers.catalog import Catalog, listing
from maestro_daemon.providers.lifetime import living
from maestro_daemon.providers.provider import Diagnosed, Provider
from maestro_daemon.providers.registry import Registry
from maestro_daemon.routing.affinity import Affinity
from maestro_daemon.routing.budget import RetryBudget
from maestro_daemon.routing.health import Health
from maestro_daemon.routing.memory import Memory
from maestro_daemon.routing.plan import Planner, Route, Target
from maestro_daemon.routing.router import Router
from maestro_daemon.server import control, control_socket
from maestro_daemon.server.access import Access, check_exposure
from maestro_daemon.server.app import make_app
from maestro_daemon.server.connections import ConnectionRunner
from maestro_daemon.server.health import HealthPages
from maestro_daemon.server.models import ModelsPage
from maestro_daemon.server.offer import Offer
from maestro_daemon.server.responses import Limits, ResponsesHandler

_log: Final = structlog.get_logger(__name__)


class PortTaken(MaestroError):
    """The address cannot be listened on; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class Serving:
    """What a daemon that listens says of itself. `urls` are base URLs for clients (``http://…/v1``)."""

    urls: tuple[str, ...]
    control: Path | None
    config: Config
    catalog: Catalog
    status: Callable[[], dict[str, Any]]


async def run(
    config: Config,
    registry: Registry,
    *,
    ready: Callable[[Serving], None],
    socket_path: Path | None = None,
    write: Write = write_by_structlog,
) -> None:
    """Serve until SIGTERM or SIGINT, then drain; a second signal ends at once.

    `ready` is called when the daemon listens. `socket_path` is the control socket's place; None looks for
    the usual one, and does without if another daemon has it. `write` takes the access log's lines.
    Raises `ConfigInvalid`, `PortTaken`, `ControlRefused`.
    """
    stopping = asyncio.Event()
    at_once = asyncio.Event()
    with _signals(stopping, at_once):
        async with contextlib.AsyncExitStack() as stack:
            daemon = await stack.enter_async_context(_assembled(config, registry, write))
            await stack.enter_async_context(daemon.listening())
            where = await stack.enter_async_context(daemon.controlled(socket_path))
            # What is alive now stays: the collector need not look at it again and again.
            gc.collect()
            gc.freeze()
            gc.set_threshold(20_000, 20, 50)
            ready(Serving(daemon.urls, where, config, daemon.catalog, daemon.status))
            await stopping.wait()
            _log.info("stopping", in_flight=daemon.handler.in_flight, drain=config.server.drain)
            await daemon.drain(at_once)


class _Daemon:
    """The objects of one running daemon."""

    def __init__(self, config: Config, registry: Registry, providers: Mapping[str, Provider]) -> None:
        self.config = config
        self.providers = providers
        self.catalog = Catalog(providers)
        self.accounts = Accounts(
            providers,
            {name: provider.kind for name, provider in config.providers.items()},
            changed=self._logged_in_anew,
        )
        routes = _routes(config, providers)
        self._route_targets = [
            target for route in routes.values() for target in (*route.targets, *route.fallbacks)
        ]
        memory = Memory()
        self.targets = Health(config.breaker.rules())
        planner = Planner(providers, routes, self.catalog, memory, health=self.targets, affinity=Affinity())
        server = config.server
        self.handler = ResponsesHandler(
            Router(
                planner,
                memory,
                registry.hook,
                health=self.targets,
                budget=RetryBudget(config.breaker.budget()),
                patience={name: each.patience for name, each in config.providers.items()},
            ),
            registry.hook,
            Limits(
                max_body=server.max_body,
                body_timeout=server.body_timeout,
                keepalive=server.keepalive,
                send_timeout=server.send_timeout,
            ),
        )
        access = Access(
            {name: client.key.reveal() for name, client in config.clients.items()},
            allowed_hosts=server.allowed_hosts,
        )
        offer = Offer(
            list(providers),
            {
                name: [target.name for target in (*route.targets, *route.fallbacks)]
                for name, route in routes.items()
            },
            self.catalog,
            lambda: target.name if (target := planner.auto()) is not None else None,
        )
        self.health = HealthPages(offer, access)
        models = ModelsPage(offer, created=int(time.time()))
        self.app = make_app(self.handler, access, [*models.routes(), *self.health.routes()])
        self.runner = ConnectionRunner(self.app, head_timeout=server.header_timeout)
        self.urls: tuple[str, ...] = ()
        self._began = time.monotonic()
        self._sites: list[web.BaseSite] = []

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Listen on the configured address while the block runs."""
        server = self.config.server
        tls = await asyncio.to_thread(_tls, self.config)
        await self.runner.setup()
        try:
            site = web.TCPSite(self.runner, server.host, server.port, ssl_context=tls, backlog=1024)
            try:
                await site.start()
            except OSError as error:
                raise PortTaken(_cannot_listen(server.host, server.port, error)) from error
            self._sites.append(site)
            self.urls = tuple(_base_url(address, tls=tls is not None) for address in self.runner.addresses)
            yield
        finally:
            await self.runner.cleanup()

    @contextlib.asynccontextmanager
    async def controlled(self, path: Path | None) -> AsyncIterator[Path | None]:
        """Answer on the control socket while the block runs; its path, None if there is none."""
        async with contextlib.AsyncExitStack() as stack:
            where: Path | None = None
            try:
                where = await stack.enter_async_context(
                    control.serve(
                        path or control_socket.default_path(),
                        control.Surface(
                            answers={
                                "/status": self.status,
                                "/models": lambda: listing(self.catalog, self.providers),
                            },
                            questions={"/logins": self.accounts.states, "/quota": self.accounts.quotas},
                            actions={"/logout": self.accounts.logout},
                            flows={"/login": self.accounts.login},
                        ),
                    )
                )
            except control.ControlRefused as error:
                if path is not None:
                    raise
                _log.warning("no control socket: `status` cannot ask this daemon", reason=error.message)
            yield where

    async def drain(self, at_once: asyncio.Event) -> None:
        """Accept nothing more, let answers end until `drain` is over, then end each stream properly."""
        self.health.draining = True
        for site in self._sites:
            await site.stop()
        ended = asyncio.ensure_future(self.handler.idle())
        hurried = asyncio.ensure_future(at_once.wait())
        try:
            await asyncio.wait(
                {ended, hurried}, timeout=self.config.server.drain, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            ended.cancel()
            hurried.cancel()
            await asyncio.wait({ended, hurried})
        await self.handler.end_streams()

    def status(self) -> dict[str, Any]:
        """What ``maestro-daemon status`` shows."""
        report = self.health.report()
        return {
            "version": __version__,
            "pid": os.getpid(),
            "uptime": round(time.monotonic() - self._began, 1),
            "urls": list(self.urls),
            "config": str(self.config.source) if self.config.source is not None else None,
            "status": report["status"],
            "in_flight": self.handler.in_flight,
            "answered": self.handler.answered,
            "providers": {
                name: {
                    "kind": self.config.providers[name].kind,
                    "models": len(models) if (models := self.catalog.models(name)) is not None else None,
                    "problem": self._problem(name) or report["providers"][name].get("reason"),
                }
                for name in self.providers
            },
            "routes": {
                name: {
                    "balance": route.balance,
                    "targets": list(route.targets),
                    "fallbacks": list(route.fallbacks),
                    "problem": report["routes"][name].get("reason"),
                }
                for name, route in self.config.routes.items()
            },
            "targets": self.targets.snapshot(self._route_targets),
        }

    async def _logged_in_anew(self, provider: str) -> None:
        self.targets.heal(provider)
        await self.catalog.refresh(provider)

    def _problem(self, name: str) -> str | None:
        provider = self.providers[name]
        return provider.problem() if isinstance(provider, Diagnosed) else None


@contextlib.asynccontextmanager
async def _assembled(config: Config, registry: Registry, write: Write) -> AsyncIterator[_Daemon]:
    """Make every object, keep what runs beside requests running, and close it all afterwards."""
    server = config.server
    exposure = check_exposure(host=server.host, has_keys=bool(config.clients), tls=server.tls is not None)
    if exposure is not None:
        _log.warning(exposure)
    if "access_log" not in {row.name for row in registry.rows}:
        registry.add(AccessLog(write), "access_log")
    providers = {name: _provider(config, registry, name) for name in config.providers}
    daemon = _Daemon(config, registry, providers)
    async with living(providers, daemon.catalog):
        yield daemon


def _provider(config: Config, registry: Registry, name: str) -> Provider:
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


def _tls(config: Config) -> ssl.SSLContext | None:
    options = config.server.tls
    if options is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(options.cert, options.key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigInvalid(f"[server.tls] cert and key cannot be used: {error}.") from error
    return context


def _base_url(address: Any, *, tls: bool) -> str:
    return f"{'https' if tls else 'http'}://{_authority(address[0], address[1])}/v1"


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _cannot_listen(host: str, port: int, error: OSError) -> str:
    where = _authority(host, port)
    if error.errno == errno.EADDRINUSE:
        return f"{where} is in use by another program: stop it, or set another [server] port."
    reason = os.strerror(error.errno).lower() if error.errno else str(error)
    if isinstance(error, socket.gaierror):
        reason = "the name is not known"
    return f"Cannot listen on {where}: {reason}; set another [server] host or port."


@contextlib.contextmanager
def _signals(stopping: asyncio.Event, at_once: asyncio.Event) -> Iterator[None]:
    """SIGTERM and SIGINT set `stopping`, the second one `at_once`."""

    def stop() -> None:
        (at_once if stopping.is_set() else stopping).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
