"""Metrics over real sockets: what is counted, who may read it, and what it cannot grow to."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from maestro_daemon.config.server_tables import split_address
from maestro_daemon.errors import ConfigInvalid
from maestro_daemon.providers.notices import Attempt, Outcome
from maestro_daemon.request import ResponseRequest
from maestro_daemon.server.offer import Offer
from maestro_daemon.telemetry.labels import Labels
from maestro_daemon.telemetry.metrics import Metrics
from tests.support import native
from tests.support.fake_upstream import STALL, FakeUpstream, Reply, Stream, refusal
from tests.support.standing import SERVER, Standing, provider, route, standing, until

WHOLE = Reply(native.response("resp_1", "completed", [native.message("Hello")]))
MODEL = "one/gpt-test"
METRICS = '[metrics]\nlisten = "127.0.0.1:0"\n'
Samples = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


class Page:
    """A page of metrics, read."""

    def __init__(self, text: str) -> None:
        self.samples: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                self.samples[sample.name, frozenset(sample.labels.items())] = sample.value

    def __call__(self, name: str, **labels: str) -> float:
        return self.samples[name, frozenset(labels.items())]

    def values(self, label: str) -> set[str]:
        """Every value that the label has."""
        return {value for _, labels in self.samples for name, value in labels if name == label}


async def page(daemon: Standing) -> Page:
    assert daemon.daemon.observing.url is not None
    async with daemon.session.get(daemon.daemon.observing.url) as answer:
        assert answer.status == 200
        assert answer.headers["content-type"].startswith("text/plain")
        return Page(await answer.text())


async def test_requests_attempts_tokens_and_times_are_counted(tmp_path: Path, upstream: FakeUpstream) -> None:
    text = SERVER + METRICS + provider("one", upstream.url) + route("coder", MODEL, "one/other")
    text = text.replace("targets", 'balance = "in_order"\ntargets')
    async with standing(tmp_path, text) as daemon:
        upstream.play(refusal(500), refusal(500), WHOLE)
        assert (await daemon.post("coder"))[0] == 200
        upstream.play(Stream(*native.text("Hel", "lo")))
        async with daemon.session.post(
            f"{daemon.url}/responses", json={"model": "coder", "input": "Hi", "stream": True}
        ) as answer:
            streamed = (await answer.read()).count(b"\nevent: ") + 1
        assert (await daemon.post("nobody/x"))[0] == 404
        seen = await page(daemon)
    asked = {"route": "coder", "target": "one/other", "status": "completed", "http_status": "200"}
    assert seen("maestro_requests_total", **asked) == 1
    assert seen("maestro_requests_total", **{**asked, "target": MODEL}) == 1
    assert seen("maestro_attempts_total", **{"target": MODEL, "class": "refused"}) == 2
    assert seen("maestro_attempts_total", **{"target": MODEL, "class": "success"}) == 1
    assert seen("maestro_attempts_total", **{"target": "one/other", "class": "success"}) == 1
    where = {"route": "coder", "target": MODEL}
    assert seen("maestro_request_seconds_count", **where) == 1
    assert seen("maestro_first_output_seconds_count", **where) == 1
    assert seen("maestro_stream_events_total", **where) == streamed
    usage = native.response("r", "completed", [])["usage"]
    for kind, tokens in (
        ("input", usage["input_tokens"]),
        ("output", usage["output_tokens"]),
        ("cached", usage["input_tokens_details"]["cached_tokens"]),
        ("reasoning", usage["output_tokens_details"]["reasoning_tokens"]),
    ):
        assert seen("maestro_tokens_total", **where, kind=kind) == tokens
    refused = {"route": "", "target": "", "status": "refused", "http_status": "404"}
    assert seen("maestro_requests_total", **refused) == 1
    assert seen("maestro_breaker_state", target=MODEL, state="closed") == 1
    assert seen("maestro_target_in_flight", target=MODEL) == 0
    assert seen("maestro_requests_in_flight") == 0
    assert seen("maestro_connections") >= 1
    assert seen("maestro_provider_ready", provider="one") == 1
    assert seen("maestro_hook_calls_total", plugin="metrics", hook="maestro_response_finished") == 3
    assert seen("maestro_hook_seconds_total", plugin="metrics", hook="maestro_response_finished") > 0
    assert seen("maestro_event_loop_lag_seconds_count") >= 1
    assert seen("process_open_fds") > 0


async def test_what_is_under_way_and_what_clients_left_is_told(
    tmp_path: Path, upstream: FakeUpstream
) -> None:
    upstream.play(Stream(*native.text("Hel", "lo")[:4], STALL))
    text = SERVER + METRICS + provider("one", upstream.url) + route("coder", MODEL)
    async with standing(tmp_path, text) as daemon:
        sent = {"model": "coder", "input": "Hi", "stream": True}
        async with daemon.session.post(f"{daemon.url}/responses", json=sent) as answer:
            assert answer.status == 200
            seen = await page(daemon)
            assert seen("maestro_requests_in_flight") == 1
            answer.close()
        await until(lambda: len(daemon.daemon.handler.under_way) == 0)
        seen = await page(daemon)
    assert seen("maestro_attempts_total", **{"target": MODEL, "class": "left"}) == 1
    left = {"route": "coder", "target": MODEL, "status": "disconnected", "http_status": "499"}
    assert seen("maestro_requests_total", **left) == 1


async def test_what_is_refused_before_any_target_is_counted(tmp_path: Path, upstream: FakeUpstream) -> None:
    text = SERVER + METRICS + provider("one", upstream.url) + '[clients.alice]\nkey = "her-own-key"\n'
    async with standing(tmp_path, text) as daemon:
        assert (await daemon.post(MODEL))[0] == 401
        assert (await daemon.get("/nothing"))[0] == 401
        key = {"authorization": "Bearer her-own-key"}
        async with daemon.session.post(f"{daemon.url}/responses", data=b"{", headers=key) as answer:
            assert answer.status == 400
        seen = await page(daemon)
    assert seen("maestro_refused_total", http_status="401", code="invalid_api_key") == 2
    assert seen("maestro_refused_total", http_status="400", code="invalid_json") == 1


async def test_a_breaker_that_opens_is_seen(tmp_path: Path, upstream: FakeUpstream) -> None:
    upstream.play(refusal(503))
    text = SERVER + METRICS + provider("one", upstream.url) + route("coder", MODEL)
    async with standing(tmp_path, text + "[breaker]\nfailures = 1\n") as daemon:
        await daemon.post("coder")
        seen = await page(daemon)
    assert seen("maestro_breaker_state", target=MODEL, state="open") == 1
    assert seen("maestro_breaker_state", target=MODEL, state="closed") == 0
    assert seen("maestro_breaker_cooldown_seconds", target=MODEL) > 0


async def test_clients_that_name_any_model_make_no_series_of_them(
    tmp_path: Path, upstream: FakeUpstream
) -> None:
    upstream.play(refusal(404))
    text = SERVER + METRICS + provider("one", upstream.url) + route("coder", MODEL)
    async with standing(tmp_path, text) as daemon:
        for number in range(50):
            await daemon.post(f"one/any{number}")
            await daemon.post(f"any{number}")
        first = await page(daemon)
        for number in range(50, 100):
            await daemon.post(f"one/any{number}")
            await daemon.post(f"any{number}")
        second = await page(daemon)
    assert set(first.samples) == set(second.samples)
    assert second.values("target") == {"", MODEL, "one/(other)"}
    assert second.values("route") == {""}


async def test_without_the_table_nothing_is_served_and_nobody_counts(
    tmp_path: Path, upstream: FakeUpstream
) -> None:
    async with standing(tmp_path, SERVER + provider("one", upstream.url)) as daemon:
        assert daemon.daemon.observing.url is None
        assert (await daemon.get("/metrics"))[0] == 404
        assert "metrics" not in {row.name for row in daemon.registry.rows}


async def test_on_the_daemons_own_port_only_admins_read_them(tmp_path: Path, upstream: FakeUpstream) -> None:
    text = SERVER + "[metrics]\non_main_port = true\n" + provider("one", upstream.url)
    text += '[clients.root]\nkey = "roots-own-key"\nadmin = true\n[clients.alice]\nkey = "her-own-key"\n'
    async with standing(tmp_path, text) as daemon:
        assert daemon.daemon.observing.url is None
        url = daemon.url.removesuffix("/v1") + "/metrics"
        statuses = []
        for key in ("roots-own-key", "her-own-key", "none"):
            async with daemon.session.get(url, headers={"x-api-key": key}) as answer:
                statuses.append(answer.status)
                assert "own-key" not in await answer.text()
        assert statuses == [200, 403, 401]


async def test_their_own_listener_serves_nothing_else(tmp_path: Path, upstream: FakeUpstream) -> None:
    async with standing(tmp_path, SERVER + METRICS + provider("one", upstream.url)) as daemon:
        assert daemon.daemon.observing.url is not None
        for method, path in (("GET", "/v1/models"), ("POST", "/v1/responses"), ("GET", "/admin/status")):
            url = daemon.daemon.observing.url.removesuffix("/metrics") + path
            async with daemon.session.request(method, url) as answer:
                assert answer.status == 404
                assert set(await answer.json()) == {"error"}
        page = daemon.daemon.observing.url
        async with daemon.session.get(page, headers={"expect": "200-maybe"}) as answer:
            assert answer.status == 417
            assert set(await answer.json()) == {"error"}


async def test_another_address_needs_a_restart(tmp_path: Path, upstream: FakeUpstream) -> None:
    text = SERVER + METRICS + provider("one", upstream.url)
    async with standing(tmp_path, text) as daemon:
        become = await daemon.reload(text.replace("127.0.0.1:0", "127.0.0.1:1"))
        assert become["restart"] == ["metrics.listen"]
        await page(daemon)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.1:x", ":9464", "::1:9464", "h:99999", "a b:1"])
async def test_an_address_is_a_host_and_a_port(tmp_path: Path, address: str) -> None:
    with pytest.raises(ConfigInvalid, match=r"maestro\.toml:4:1: metrics\.listen: "):
        async with standing(tmp_path, f'{SERVER}[metrics]\nlisten = "{address}"\n'):
            pass


def test_addresses_are_split() -> None:
    assert split_address("127.0.0.1:9464") == ("127.0.0.1", 9464)
    assert split_address("[::1]:0") == ("::1", 0)


class Nothing:
    def models(self, provider: str) -> Any:
        return None

    def failure(self, provider: str) -> str | None:
        return None


def test_what_is_kept_is_bounded_whatever_comes() -> None:
    metrics = Metrics(Labels(lambda: Offer(["one"], {}, Nothing())))
    for number in range(5000):
        name = f"one/{number}"
        request = ResponseRequest({"model": name}, name, name)
        metrics.maestro_response_finished(request, Outcome("completed", target=name))
        metrics.maestro_attempt_finished(Attempt(1, "one", str(number), succeeded=True))
    assert len(metrics._series) <= 1024
    assert len(metrics._attempts) <= 1024
    asked = {"route": "", "target": "one/(other)", "status": "completed", "http_status": "200"}
    assert metrics.registry.get_sample_value("maestro_requests_total", asked) == 5000
    ended = {"target": "one/(other)", "class": "success"}
    assert metrics.registry.get_sample_value("maestro_attempts_total", ended) == 5000


async def test_many_readers_at_once_are_all_answered(tmp_path: Path, upstream: FakeUpstream) -> None:
    async with standing(tmp_path, SERVER + METRICS + provider("one", upstream.url)) as daemon:
        pages = await asyncio.gather(*(page(daemon) for _ in range(20)))
    assert all(seen("maestro_requests_in_flight") == 0 for seen in pages)
