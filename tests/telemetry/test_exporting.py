"""Where traces go, as the environment says; and spans on their way to a collector."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from maestro_daemon.telemetry.exporting import exporters_wanted, traced
from tests.support.command import Place
from tests.support.edge import edge
from tests.support.standing import told

CONFIG = """
[server]
port = 0

[providers.home]
kind = "local"
base_url = "http://127.0.0.1:1/v1"
"""


@pytest.mark.parametrize(
    ("environ", "names"),
    [
        ({}, []),
        ({"OTEL_SERVICE_NAME": "x"}, []),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, ["otlp_proto_http"]),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, ["otlp_proto_http"]),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, ["otlp_proto_http"]),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, ["otlp_proto_grpc"]),
        (
            {
                "OTEL_TRACES_EXPORTER": "otlp",
                "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            },
            ["otlp_proto_http"],
        ),
        ({"OTEL_TRACES_EXPORTER": "console, otlp"}, ["console", "otlp_proto_http"]),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, []),
        ({"OTEL_SDK_DISABLED": "TRUE", "OTEL_TRACES_EXPORTER": "otlp"}, []),
    ],
)
def test_the_environment_names_the_exporters(environ: dict[str, str], names: list[str]) -> None:
    assert exporters_wanted(environ) == names


async def test_an_exporter_that_is_not_installed_is_said_and_nothing_is_traced(
    logged: list[MutableMapping[str, Any]],
) -> None:
    async with traced({"OTEL_TRACES_EXPORTER": "acme"}) as traces:
        assert traces is None
    (line,) = told(logged, "no such exporter of traces is installed")
    assert line["exporter"] == "acme"
    assert "otlp_proto_http" in line["installed"]


def ask(url: str) -> None:
    body = json.dumps({"model": "home/x", "input": "Hi"}).encode()
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(urllib.request.Request(f"{url}/responses", body))
    refused.value.close()


async def test_spans_reach_the_collector_that_the_environment_names(tmp_path: Path) -> None:
    received: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()

    async def collect(request: web.Request) -> web.Response:
        await received.put((request.headers["x-tenant"], await request.read()))
        return web.Response()

    place = Place(tmp_path)
    await asyncio.to_thread(place.write, CONFIG)
    async with edge([web.post("/v1/traces", collect)]) as collector:

        def run() -> str:
            with place.serve(
                OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
                OTEL_EXPORTER_OTLP_HEADERS="x-tenant=blue",
            ) as daemon:
                ask(daemon.lines_until("http://")[-1])
                assert daemon.end() == 0
                return daemon.log

        log = await asyncio.to_thread(run)
        tenant, spans = await received.get()
    assert tenant == "blue"
    assert b"maestro-daemon" in spans
    assert b"chat home/x" in spans
    assert b"gen_ai.provider.name" in spans
    assert "requests are traced" in log


def test_a_collector_that_is_away_holds_neither_requests_nor_the_end_up(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.write(CONFIG)
    with place.serve(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1") as daemon:
        ask(daemon.lines_until("http://")[-1])
        assert daemon.end() == 0
        assert "Traceback" not in daemon.log
