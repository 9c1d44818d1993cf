"""What is measured of a daemon, as far as its configuration wants it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Final

import structlog
from aiohttp import web

from maestro_daemon import __version__
from maestro_daemon.config.server_tables import split_address
from maestro_daemon.generation import Lasting
from maestro_daemon.listening import Listening
from maestro_daemon.server.access import is_loopback
from maestro_daemon.server.admin import for_admins
from maestro_daemon.server.client import Client
from maestro_daemon.server.health import HealthPages
from maestro_daemon.server.responses import ResponsesHandler
from maestro_daemon.succession import Succession

if TYPE_CHECKING:
    from maestro_daemon.telemetry.metrics import Metrics
    from maestro_daemon.telemetry.page import MetricsPage
    from maestro_daemon.telemetry.scene import Scene

METRICS: Final = "/metrics"
_log: Final = structlog.get_logger(__name__)


class Observing:
    """The metrics of one daemon. `url` is that of a listener of their own, while there is one."""

    def __init__(
        self, lasting: Lasting, succession: Succession, handler: ResponsesHandler, health: HealthPages
    ) -> None:
        self.url: str | None = None
        self._lasting = lasting
        self._succession = succession
        self._handler = handler
        self._health = health
        self._options = succession.current.config.metrics
        self._listens: Listening | None = None
        self._metrics: Metrics | None = None
        self._page: MetricsPage | None = None
        if self._options.wanted:
            # Importing the library takes longer than most of the start: only where it is wanted.
            from maestro_daemon.telemetry.labels import Labels
            from maestro_daemon.telemetry.metrics import Metrics
            from maestro_daemon.telemetry.page import MetricsPage

            labels = Labels(lambda: succession.current.offer)
            self._metrics = Metrics(labels)
            lasting.registry.add(self._metrics, "metrics")
            lasting.registry.hook.time(self._metrics)
            self._page = MetricsPage(self._metrics, labels, self._scene)

    def routes(self, client: Callable[[str], Client | None]) -> list[web.RouteDef]:
        """What is served of it on the daemon's own port; `client` gives a client by its name."""
        if self._page is None or not self._options.on_main_port:
            return []
        return [web.get(METRICS, for_admins(self._page.show, client))]

    @contextlib.asynccontextmanager
    async def running(self, listens: Listening) -> AsyncIterator[None]:
        """Measure what is served where it `listens`, while the block runs. Raises `MetricsTaken`."""
        if self._page is None:
            yield
            return
        self._listens = listens
        with self._page:
            if self._options.listen is None:
                yield
                return
            from maestro_daemon.telemetry.page import listening

            host, port = split_address(self._options.listen)
            if not is_loopback(host):
                _log.warning(
                    "metrics can be read from other machines without a key", listen=self._options.listen
                )
            async with listening(self._page, host, port) as self.url:
                yield

    def _scene(self) -> Scene:
        from maestro_daemon.telemetry.scene import Scene

        assert self._listens is not None  # noqa: S101  (nothing is shown before `running`)
        assert self._metrics is not None  # noqa: S101
        generation = self._succession.current
        return Scene(
            version=__version__,
            in_flight=len(self._handler.under_way),
            connections=self._listens.connections,
            configurations=self._succession.lingering,
            targets=self._lasting.health.snapshot(generation.route_targets),
            ready={name: each["ready"] for name, each in self._health.report()["providers"].items()},
            refused=self._handler.refusals.counts,
            hooks=self._metrics.hooks,
        )
