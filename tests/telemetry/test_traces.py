"""Traces over real sockets: which spans there are, what is in them, and what upstreams are told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, Sampler
from opentelemetry.trace import SpanKind, StatusCode, format_span_id, format_trace_id

from maestro_daemon.telemetry.traces import Traces
from tests.support import native
from tests.support.fake_upstream import STALL, FakeUpstream, Reply, Stream, refusal
from tests.support.standing import SERVER, Standing, provider, route, standing, until

WHOLE = Reply(native.response("resp_1", "completed", [native.message("Hello")]))
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
CODER = 'balance = "in_order"\n'


class Traced:
    """A daemon whose spans are kept."""

    def __init__(self, daemon: Standing, exporter: InMemorySpanExporter) -> None:
        self.daemon = daemon
        self._exporter = exporter

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        """Those that ended, in the order of their ends."""
        return self._exporter.get_finished_spans()


@asynccontextmanager
async def traced(folder: Path, text: str, sampler: Sampler | None = None) -> AsyncIterator[Traced]:
    exporter = InMemorySpanExporter()
    # It looks around in the system, which a loop must not wait for.
    tracers = await asyncio.to_thread(TracerProvider, sampler=sampler, shutdown_on_exit=False)
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    traces = Traces(tracers)
    async with standing(folder, SERVER + text, plugins={"traces": traces}, tracing=traces) as daemon:
        yield Traced(daemon, exporter)
    assert not traces._requests
    assert not traces._attempts


def parent_of(span: ReadableSpan) -> str | None:
    return None if span.parent is None else format_span_id(span.parent.span_id)


def id_of(span: ReadableSpan) -> str:
    assert span.context is not None
    return format_span_id(span.context.span_id)


def trace_of(span: ReadableSpan) -> str:
    assert span.context is not None
    return format_trace_id(span.context.trace_id)


async def test_a_request_is_a_span_and_each_attempt_one_below_it(
    tmp_path: Path, upstream: FakeUpstream
) -> None:
    upstream.play(refusal(404), WHOLE)
    text = provider("one", upstream.url) + route("coder", "one/a", "one/b") + CODER
    async with traced(tmp_path, text) as running:
        headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "acme=1"}
        status, _ = await running.daemon.post("coder", headers=headers, temperature=0.5, max_output_tokens=9)
        assert status == 200
        first, second, request = running.spans
    assert [trace_of(span) for span in running.spans] == [TRACE] * 3
    assert parent_of(request) == PARENT
    assert parent_of(first) == parent_of(second) == id_of(request)
    assert (request.kind, first.kind) == (SpanKind.SERVER, SpanKind.CLIENT)
    assert [span.name for span in (request, first, second)] == ["chat coder", "chat a", "chat b"]
    sent = [asked.headers["traceparent"] for asked in upstream.requests]
    assert sent == [f"00-{TRACE}-{id_of(span)}-01" for span in (first, second)]
    assert [asked.headers["tracestate"] for asked in upstream.requests] == ["acme=1"] * 2
    asked, failed, served = (dict(span.attributes or {}) for span in (request, first, second))
    usage = native.response("r", "completed", [])["usage"]
    assert asked["gen_ai.operation.name"] == "chat"
    assert asked["gen_ai.request.model"] == "coder"
    assert asked["gen_ai.response.model"] == "b"
    assert asked["gen_ai.request.temperature"] == 0.5
    assert asked["gen_ai.request.max_tokens"] == 9
    assert asked["gen_ai.usage.input_tokens"] == usage["input_tokens"]
    assert asked["gen_ai.usage.output_tokens"] == usage["output_tokens"]
    assert asked["maestro.target"] == "one/b"
    assert asked["maestro.attempts"] == 2
    assert asked["http.response.status_code"] == 200
    assert served["gen_ai.provider.name"] == "openai"
    assert served["gen_ai.request.model"] == "b"
    assert failed["error.type"] == "lack"
    assert failed["http.response.status_code"] == 404
    assert [span.status.status_code for span in (request, first, second)] == [
        StatusCode.UNSET,
        StatusCode.ERROR,
        StatusCode.UNSET,
    ]
    assert request.start_time is not None
    assert request.end_time is not None
    assert first.start_time is not None
    assert request.start_time <= first.start_time <= request.end_time


async def test_a_stream_has_its_events_counted_and_its_first_output_timed(
    tmp_path: Path, upstream: FakeUpstream
) -> None:
    upstream.play(Stream(*native.text("Hel", "lo")))
    async with traced(tmp_path, provider("one", upstream.url)) as running:
        sent = {"model": "one/gpt-test", "input": "the prompt", "stream": True}
        async with running.daemon.session.post(f"{running.daemon.url}/responses", json=sent) as answer:
            body = await answer.read()
        attempt, request = running.spans
    asked = dict(request.attributes or {})
    assert asked["maestro.stream_events"] == body.count(b"event: ")
    assert asked["gen_ai.request.stream"] is True
    assert dict(attempt.attributes or {})["gen_ai.response.time_to_first_chunk"] >= 0  # type: ignore[operator]
    for span in running.spans:
        assert span.to_json().find("the prompt") < 0
        assert span.to_json().find("Hello") < 0
        assert not span.events


async def test_a_trace_begins_here_where_the_client_names_none(
    tmp_path: Path, upstream: FakeUpstream
) -> None:
    upstream.play(WHOLE)
    async with traced(tmp_path, provider("one", upstream.url)) as running:
        await running.daemon.post("one/gpt-test")
        await running.daemon.post("one/gpt-test", headers={"traceparent": "nonsense"})
    assert [parent_of(span) for span in running.spans if span.kind is SpanKind.SERVER] == [None, None]
    assert len({trace_of(span) for span in running.spans}) == 2
    for asked, span in zip(upstream.requests, running.spans[::2], strict=True):
        assert asked.headers["traceparent"].split("-")[1:3] == [trace_of(span), id_of(span)]


async def test_a_client_that_leaves_and_a_name_that_nobody_knows_end_their_spans(
    tmp_path: Path, upstream: FakeUpstream
) -> None:
    upstream.play(Stream(*native.text("Hel", "lo")[:4], STALL))
    async with traced(tmp_path, provider("one", upstream.url)) as running:
        daemon = running.daemon
        sent = {"model": "one/gpt-test", "input": "Hi", "stream": True}
        async with daemon.session.post(f"{daemon.url}/responses", json=sent) as answer:
            answer.close()
        await until(lambda: len(running.spans) == 2)
        assert (await daemon.post("nobody/x"))[0] == 404
        *_, left, unknown = running.spans
    assert dict(left.attributes or {})["maestro.status"] == "disconnected"
    assert dict(unknown.attributes or {})["error.type"] == "model_not_found"


async def test_what_is_not_sampled_is_passed_on_as_such(tmp_path: Path, upstream: FakeUpstream) -> None:
    upstream.play(WHOLE)
    async with traced(tmp_path, provider("one", upstream.url), ALWAYS_OFF) as running:
        headers = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
        assert (await running.daemon.post("one/gpt-test", headers=headers))[0] == 200
    assert running.spans == ()
    (asked,) = upstream.requests
    assert asked.headers["traceparent"].startswith(f"00-{TRACE}-")
    assert asked.headers["traceparent"].endswith("-00")


async def test_without_traces_the_clients_own_goes_through(tmp_path: Path, upstream: FakeUpstream) -> None:
    upstream.play(WHOLE)
    async with standing(tmp_path, SERVER + provider("one", upstream.url)) as daemon:
        headers = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
        assert (await daemon.post("one/gpt-test", headers=headers))[0] == 200
    assert upstream.requests[0].headers["traceparent"] == headers["traceparent"]


async def test_no_secret_is_in_a_span(tmp_path: Path, upstream: FakeUpstream) -> None:
    upstream.play(refusal(401))
    text = provider("one", upstream.url) + '[clients.alice]\nkey = "her-own-key"\n'
    async with traced(tmp_path, text) as running:
        await running.daemon.post("one/gpt-test", headers={"authorization": "Bearer her-own-key"})
        told = json.dumps([span.to_json() for span in running.spans])
    assert "maestro.client" in told
    assert "her-own-key" not in told
    assert "sk-up" not in told
