"""The process: what lasts as long as it does, its signals, its control socket, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog

from maestro_daemon import __version__
from maestro_daemon.access_log import AccessLog, Write, write_by_structlog
from maestro_daemon.config import Config
from maestro_daemon.descriptors import make_room
from maestro_daemon.draining import drain, drain_text
from maestro_daemon.generation import Lasting
from maestro_daemon.listening import Listening, PortTaken, placed
from maestro_daemon.observing import Observing
from maestro_daemon.providers.abilities import problem_of
from maestro_daemon.providers.accounts import Accounts
from maestro_daemon.providers.catalog import Catalog
from maestro_daemon.providers.loop_watch import LoopWatch
from maestro_daemon.providers.registry import Registry
from maestro_daemon.providers.state_directory import default_path
from maestro_daemon.reception import Reception
from maestro_daemon.reloading import Read, Reloading
from maestro_daemon.server import control, control_socket
from maestro_daemon.server.access import check_exposure
from maestro_daemon.server.admin import admin_routes
from maestro_daemon.server.allowances import Allowances
from maestro_daemon.server.app import make_app
from maestro_daemon.server.body_log import WriteBody, write_body_by_structlog
from maestro_daemon.server.client import Client
from maestro_daemon.server.health import HealthPages
from maestro_daemon.server.issued_keys import IssuedKeys
from maestro_daemon.server.key_desk import KeyDesk
from maestro_daemon.server.models import ModelsPage
from maestro_daemon.server.responses import ResponsesHandler
from maestro_daemon.service.handed import HandedSocket
from maestro_daemon.service.status_line import status_line
from maestro_daemon.service.supervised import Supervised
from maestro_daemon.signals import Signals
from maestro_daemon.succession import Succession
from maestro_daemon.telemetry.exporting import traced

__all__ = ["PortTaken", "Serving", "run"]

_log: Final = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Serving:
    """What a daemon that listens says of itself. `urls` are base URLs for clients (``http://…/v1``).

    `issued` says whether client keys were ever made by command.
    """

    urls: tuple[str, ...]
    unix_sockets: tuple[str, ...]
    control: Path | None
    config: Config
    catalog: Catalog
    status: Callable[[], dict[str, Any]]
    issued: bool


async def run(
    config: Config,
    registry: Registry,
    *,
    read: Read,
    ready: Callable[[Serving], None],
    socket_path: Path | None = None,
    write: Write = write_by_structlog,
    write_body: WriteBody = write_body_by_structlog,
    supervised: Supervised | None = None,
    handed: Sequence[HandedSocket] = (),
) -> None:
    """Serve until SIGTERM or SIGINT, then drain; a second signal ends at once. SIGHUP reads `config` anew.

    `read` reads the configuration for that. `ready` is called when the daemon listens. `socket_path` is the
    control socket's place; None looks for the usual one, and does without if another daemon has it. `write`
    takes the access log's lines, `write_body` the bodies that a route wants logged. `supervised` is who is
    told of it all. With `handed` sockets it listens on these and on no address of the configuration's own.
    Raises `ConfigInvalid`, `PortTaken`, `ControlRefused`.
    """
    supervised = supervised or Supervised()
    config = placed(config, handed)
    make_room(config.server.max_connections)
    with Signals() as signals:
        async with contextlib.AsyncExitStack() as stack:
            ending = await stack.enter_async_context(contextlib.AsyncExitStack())
            stack.enter_context(LoopWatch(registry.owner, registry.conduct))
            lasting = await _lasting(stack, config, registry, write, write_body)
            succession = await stack.enter_async_context(Succession(config, lasting))
            reread = lambda path: placed(read(path), handed)  # noqa: E731
            daemon = Daemon(succession, lasting, reread, supervised=supervised, handed=handed)
            await stack.enter_async_context(daemon.opened())
            where = await stack.enter_async_context(daemon.controlled(socket_path))
            # What is alive now stays: the collector need not look at it again and again.
            gc.collect()
            gc.freeze()
            gc.set_threshold(20_000, 20, 50)
            catalog = succession.current.catalog
            where_else = daemon.listening.unix_sockets
            issued = lasting.issued.needed
            ready(Serving(daemon.listening.urls, where_else, where, config, catalog, daemon.status, issued))
            signals.reload_by(daemon.reloading.signalled)
            async with supervised.serving(daemon.status_line):
                await signals.stopping.wait()
            seconds = daemon.succession.current.config.server.drain
            over = time.monotonic() + seconds
            under_way = daemon.handler.under_way
            await ending.enter_async_context(
                supervised.stopping(lambda: drain_text(len(under_way), over - time.monotonic()))
            )
            await daemon.drain(signals.at_once)


async def _lasting(
    stack: contextlib.AsyncExitStack,
    config: Config,
    registry: Registry,
    write: Write,
    write_body: WriteBody,
) -> Lasting:
    """What lasts as long as the process; what of it is kept on disk is kept until `stack` is closed."""
    issued = await asyncio.to_thread(IssuedKeys.read, default_path())
    allowances = await stack.enter_async_context(Allowances(default_path()))
    server = config.server
    has_keys = bool(config.clients) or issued.needed
    exposure = check_exposure(host=server.host, has_keys=has_keys, tls=server.tls is not None)
    if exposure is not None:
        _log.warning(exposure)
    if "access_log" not in {row.name for row in registry.rows}:
        registry.add(AccessLog(write), "access_log")
    traces = await stack.enter_async_context(traced(os.environ))
    if traces is not None:
        registry.add(traces, "traces")
    return Lasting(
        registry, config, issued=issued, allowances=allowances, tracing=traces, write_body=write_body
    )


class Daemon:
    """The objects of one running daemon that outlive its configurations."""

    def __init__(
        self,
        succession: Succession,
        lasting: Lasting,
        read: Read,
        *,
        supervised: Supervised | None = None,
        handed: Sequence[HandedSocket] = (),
    ) -> None:
        self.succession = succession
        self.handler = ResponsesHandler(succession.door, lasting.registry.hook, lasting.tracing)
        self._lasting = lasting
        self._health = HealthPages(lambda: succession.current.offer, lambda: succession.current.access)
        models = ModelsPage(lambda: succession.current.offer, self._client, created=int(time.time()))
        self._keys = KeyDesk(
            lasting.issued,
            lasting.allowances,
            lambda: succession.current.access.clients,
            lambda: succession.current.offer,
        )
        self.surface = self._surface()
        self.observing = Observing(lasting, succession, self.handler, self._health)
        pages = [*models.routes(), *self._health.routes(), *self.observing.routes(self._client)]
        app = make_app(self.handler, succession.door, [*pages, *admin_routes(self.surface, self._client)])
        self.listening = Listening(app, succession.current.config.server, handed)
        self.reloading = Reloading(succession, self.listening, read, supervised=supervised)
        self._began = time.monotonic()

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Listen, and measure, while the block runs. Raises as `Listening.opened`, and `MetricsTaken`."""
        async with self.listening.opened(), self.observing.running(self.listening):
            yield

    @contextlib.asynccontextmanager
    async def controlled(self, path: Path | None) -> AsyncIterator[Path | None]:
        """Answer on the control socket while the block runs; its path, None if there is none."""
        async with contextlib.AsyncExitStack() as stack:
            where: Path | None = None
            try:
                where = await stack.enter_async_context(
                    control.serve(path or control_socket.default_path(), self.surface)
                )
            except control.ControlRefused as error:
                if path is not None:
                    raise
                _log.warning("no control socket: `status` cannot ask this daemon", reason=error.message)
            yield where

    async def drain(self, at_once: asyncio.Event) -> None:
        """Accept nothing more, let answers end until `drain` is over, then end each stream properly."""
        await self.reloading.close()
        self._health.draining = True
        seconds = self.succession.current.config.server.drain
        await drain(self.listening, self.handler.under_way, seconds, at_once)

    def status_line(self) -> str:
        """What ``systemctl status`` shows."""
        return status_line([*self.listening.urls, *self.listening.unix_sockets], self._health.report())

    def status(self) -> dict[str, Any]:
        """What ``maestro-daemon status`` shows."""
        report = self._health.report()
        generation = self.succession.current
        config, catalog = generation.config, generation.catalog
        return {
            "version": __version__,
            "pid": os.getpid(),
            "uptime": round(time.monotonic() - self._began, 1),
            "urls": list(self.listening.urls),
            "unix_sockets": list(self.listening.unix_sockets),
            "config": str(config.source) if config.source is not None else None,
            "status": report["status"],
            "in_flight": len(self.handler.under_way),
            "answered": self.handler.answered,
            "earlier_configurations": self.succession.lingering,
            "providers": {
                name: {
                    "kind": config.providers[name].kind,
                    "models": len(models) if (models := catalog.models(name)) is not None else None,
                    "problem": problem_of(name, provider) or report["providers"][name].get("reason"),
                }
                for name, provider in generation.providers.items()
            },
            "routes": {
                name: {
                    "balance": route.balance,
                    "targets": list(route.targets),
                    "fallbacks": list(route.fallbacks),
                    "problem": report["routes"][name].get("reason"),
                }
                for name, route in config.routes.items()
            },
            "targets": [
                row
                for row in self._lasting.health.snapshot(generation.route_targets)
                if row["target"].partition("/")[0] in generation.providers
            ],
        }

    def _client(self, name: str) -> Client | None:
        return self.succession.current.access.client(name)

    async def _reload(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        return await self.reloading.asked(fields)

    def _surface(self) -> control.Surface:
        """What is answered on the control socket, and to admins over TCP."""
        current = Reception(self.succession, self._lasting.registry)
        return control.Surface(
            answers={
                "/status": self.status,
                "/models": current.models,
                "/plugins": current.plugins,
                "/keys": self._keys.listed,
            },
            questions={
                "/logins": current.asking(Accounts.states),
                "/quota": current.asking(Accounts.quotas),
            },
            actions={
                "/logout": current.asking(Accounts.logout),
                "/reload": self._reload,
                "/keys/add": self._keys.add,
                "/keys/revoke": self._keys.revoke,
            },
            flows={"/login": current.login},
        )
