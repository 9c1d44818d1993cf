"""Where traces go: what OpenTelemetry's own environment variables say. Without them there are none."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Mapping
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Final

import structlog

from maestro_daemon import __version__

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

    from maestro_daemon.telemetry.traces import Traces

_GROUP: Final = "opentelemetry_traces_exporter"
_PROTOCOLS: Final = {"http/protobuf": "otlp_proto_http", "grpc": "otlp_proto_grpc"}
_LAST_WORDS: Final = 3.0  # seconds in which spans that wait may still be sent at the end
_log: Final = structlog.get_logger(__name__)


def exporters_wanted(environ: Mapping[str, str]) -> list[str]:
    """The names of the exporters that the environment asks for: entry points of OpenTelemetry's group.

    ``OTEL_TRACES_EXPORTER`` names them (``otlp``, ``console``), an endpoint for OTLP asks for that one, and
    ``OTEL_SDK_DISABLED`` for none.
    """
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return []
    said = environ.get("OTEL_TRACES_EXPORTER", "").strip()
    if not said:
        endpoints = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
        said = "otlp" if any(environ.get(name) for name in endpoints) else "none"
    names = [name for each in said.split(",") if (name := each.strip()) and name != "none"]
    return [_otlp(environ) if name == "otlp" else name for name in names]


def _otlp(environ: Mapping[str, str]) -> str:
    said = environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    return _PROTOCOLS.get((said or "http/protobuf").strip(), said or "")


@contextlib.asynccontextmanager
async def traced(environ: Mapping[str, str]) -> AsyncIterator[Traces | None]:
    """What traces requests while the block runs, as `environ` asks; None where it does not, or cannot be."""
    names = exporters_wanted(environ)
    provider = await asyncio.to_thread(_provider, names, environ) if names else None
    if provider is None:
        yield None
        return
    from maestro_daemon.telemetry.traces import Traces

    try:
        yield Traces(provider)
    finally:
        await _ended(provider)


def _provider(names: list[str], environ: Mapping[str, str]) -> TracerProvider | None:
    """Imports, and so blocks."""
    try:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        _log.warning(
            "no traces: the environment (OTEL_…) asks for them, but OpenTelemetry is not installed; "
            "install 'maestro-daemon[otel]'",
            exporters=names,
        )
        return None
    exporters = [made for name in names if (made := _exporter(name)) is not None]
    if not exporters:
        return None
    attributes: dict[str, Any] = {"service.version": __version__}
    if "service.name=" not in environ.get("OTEL_RESOURCE_ATTRIBUTES", "") and not environ.get(
        "OTEL_SERVICE_NAME"
    ):
        attributes["service.name"] = "maestro-daemon"
    provider = TracerProvider(resource=Resource.create(attributes), shutdown_on_exit=False)
    for exporter in exporters:
        provider.add_span_processor(BatchSpanProcessor(exporter))
    _log.info("requests are traced", exporters=names)
    return provider


def _exporter(name: str) -> SpanExporter | None:
    found = [*entry_points(group=_GROUP, name=name)]
    if not found:
        known = sorted({each.name for each in entry_points(group=_GROUP)})
        _log.warning("no such exporter of traces is installed", exporter=name, installed=known)
        return None
    try:
        made: SpanExporter = found[0].load()()
    except Exception as error:  # noqa: BLE001  (outsiders' code; logged)
        _log.warning("an exporter of traces cannot be made", exporter=name, error=type(error).__name__)
        return None
    return made


async def _ended(provider: TracerProvider) -> None:
    """Send what waits, but let nobody wait for a collector that does not answer."""
    loop = asyncio.get_running_loop()
    done = asyncio.Event()

    def end() -> None:
        with contextlib.suppress(Exception):
            provider.shutdown()
        with contextlib.suppress(RuntimeError):  # the loop was closed before
            loop.call_soon_threadsafe(done.set)

    threading.Thread(target=end, name="last traces", daemon=True).start()
    try:
        async with asyncio.timeout(_LAST_WORDS):
            await done.wait()
    except TimeoutError:
        _log.warning("traces were not sent: the collector does not answer", seconds=_LAST_WORDS)
