"""``GET /metrics``: on a listener of its own, and for admins on the daemon's port."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Final, Self

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client import ProcessCollector, disable_created_metrics
from prometheus_client.exposition import choose_encoder

from maestro_daemon.errors import MaestroError
from maestro_daemon.server.connections import Bounds, ConnectionRunner
from maestro_daemon.server.error_answers import error_response
from maestro_daemon.server.front_door import http_error
from maestro_daemon.telemetry.labels import Labels
from maestro_daemon.telemetry.metrics import Metrics
from maestro_daemon.telemetry.scene import Scene, SceneCollector

PATH: Final = "/metrics"
_MOST_READERS: Final = 64
_LOOK: Final = 0.25  # seconds between two looks at the event loop's lag
_log: Final = structlog.get_logger(__name__)


class MetricsTaken(MaestroError):
    """The address of the metrics cannot be listened on; the message is one sentence."""


class MetricsPage:
    """Shows `metrics` and the `scene` of the moment. For ``with``: while it runs the lag is measured."""

    def __init__(self, metrics: Metrics, labels: Labels, scene: Callable[[], Scene]) -> None:
        self._metrics = metrics
        self._scene = scene
        self._collector = SceneCollector(labels)
        self._one_at_a_time = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a series more for each
        metrics.registry.register(self._collector)
        self._looks_at_process = False

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._look(loop, loop.time())
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()

    async def show(self, request: web.Request) -> web.StreamResponse:
        """The page in Prometheus' text format."""
        async with self._one_at_a_time:
            self._metrics.forget_labels()
            self._collector.show(self._scene())
            body, kind = await asyncio.to_thread(self._written, request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"content-type": kind, "cache-control": "no-store"})

    def _written(self, accepted: str) -> tuple[bytes, str]:
        """The text and its content type; blocks, as it reads what the kernel says of the process."""
        registry = self._metrics.registry
        if not self._looks_at_process:
            self._looks_at_process = True
            ProcessCollector(registry=registry)
        encode, kind = choose_encoder(accepted)
        return encode(registry), kind

    def _look(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        now = loop.time()
        self._metrics.lag.observe(max(0.0, now - due))
        due = now + _LOOK
        self._timer = loop.call_at(due, self._look, loop, due)


@contextlib.asynccontextmanager
async def listening(page: MetricsPage, host: str, port: int) -> AsyncIterator[str]:
    """Serve the page alone, without a key, while the block runs; its URL. Raises `MetricsTaken`."""
    app = web.Application(middlewares=[_in_envelope])
    app.router.add_get(PATH, page.show)
    runner = ConnectionRunner(app, Bounds(most=_MOST_READERS))
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as error:
            raise MetricsTaken(
                f"Cannot listen on {host}:{port} for [metrics]: {(error.strerror or str(error)).lower()}."
            ) from error
        at = runner.addresses[0]
        url = f"http://{f'[{at[0]}]' if ':' in at[0] else at[0]}:{at[1]}{PATH}"
        _log.info("metrics are served", url=url)
        yield url
    finally:
        await runner.cleanup()


@web.middleware
async def _in_envelope(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        return error_response(http_error(error.status, error.reason))
