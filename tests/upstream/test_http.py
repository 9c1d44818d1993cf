"""One upstream over HTTP, on real sockets: refusals, silences, broken connections, the queue."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from typing import Any, Final

import pytest

from maestro_daemon.errors import (
    ConnectionLost,
    CredentialsRefused,
    HostUnknown,
    MaestroError,
    ProviderUnavailable,
    UpstreamBroken,
    UpstreamRefused,
    UpstreamUnreachable,
)
from maestro_daemon.request import Timeouts
from maestro_daemon.upstream import http as http_module
from maestro_daemon.upstream import refused
from maestro_daemon.upstream.http import HttpUpstream
from tests.support.fake_upstream import PAUSE, STALL, FakeUpstream, Reply, Stream
from tests.support.raw_upstream import (
    CLOSE,
    DEAF,
    READ,
    RESET,
    STREAM_HEAD,
    Step,
    answer,
    chunks,
    raw_upstream,
)
from tests.support.raw_upstream import STALL as SILENCE


@asynccontextmanager
async def http(url: str, **options: Any) -> AsyncIterator[HttpUpstream]:
    upstream = HttpUpstream(url, provider="first", **options)
    try:
        yield upstream
    finally:
        await upstream.aclose()


async def ask(upstream: HttpUpstream, body: bytes = b"{}") -> Any:
    return await upstream.exchange("POST", "/responses", body=body)


async def failure(upstream: HttpUpstream, body: bytes = b"{}") -> MaestroError:
    with pytest.raises(MaestroError) as failed:
        await ask(upstream, body)
    return failed.value


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_an_answer_is_parsed_and_its_connection_used_again() -> None:
    scripts: list[Step] = [READ, answer(b'{"a": 1}'), READ, answer(b'{"a": 2}'), SILENCE]
    async with raw_upstream(scripts) as raw, http(raw.url + "/") as upstream:
        assert [await ask(upstream), await ask(upstream)] == [{"a": 1}, {"a": 2}]
        assert raw.connections == 1
    head, _, body = raw.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/responses HTTP/1.1\r\n")
    assert b"content-type: application/json" in head.lower()
    assert body == b"{}"


async def test_given_headers_go_along_and_those_of_the_call_count_more(upstream: FakeUpstream) -> None:
    upstream.play(Reply({}))
    async with http(upstream.url, headers={"authorization": "Bearer sk-up", "x-a": "1"}) as asked:
        await asked.exchange("POST", "/responses", body=b"{}", headers={"x-a": "2"})
    sent = {name.lower(): value for name, value in upstream.requests[0].headers.items()}
    assert (sent["authorization"], sent["x-a"]) == ("Bearer sk-up", "2")
    assert sent["accept-encoding"] == "identity"
    assert sent["user-agent"] == "maestro-daemon"


@pytest.mark.parametrize(
    ("script", "kind", "said"),
    [
        ([CLOSE], ConnectionLost, "closed the connection before it answered"),
        ([READ, CLOSE], ConnectionLost, "closed the connection before it answered"),
        ([READ, RESET], ConnectionLost, "cannot be reached"),
        ([READ, b"HTTP/1.1 200 OK\r\ncontent-", CLOSE], ConnectionLost, "closed the connection"),
        ([READ, b"SSH-2.0-OpenSSH_9.2\r\n", SILENCE], UpstreamBroken, "not HTTP"),
        ([READ, b"\x00\xff\xfe\r\n\r\n", SILENCE], UpstreamBroken, "not HTTP"),
        ([READ, b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n", SILENCE], UpstreamBroken, "not HTTP"),
        ([READ, answer(b"{}", content_length="9"), CLOSE], UpstreamBroken, "broke off"),
        ([READ, answer(b"{}", content_length="9"), RESET], UpstreamBroken, "broke off"),
        ([READ, STREAM_HEAD, CLOSE], UpstreamBroken, "broke off"),
        ([READ, STREAM_HEAD, b"zz\r\n", SILENCE], UpstreamBroken, "answer"),
        ([READ, answer(b"<html>")], UpstreamBroken, "something else than JSON"),
        ([READ, answer(b"")], UpstreamBroken, "something else than JSON"),
        ([READ, answer(b"{}", "099 Odd"), CLOSE], UpstreamRefused, "answered HTTP 99"),
        ([READ, answer(b"no gzip", content_encoding="gzip"), CLOSE], UpstreamBroken, "broke off"),
    ],
    ids=lambda value: repr(value)[:60] if isinstance(value, list) else "",
)
async def test_every_broken_connection_is_told_in_the_houses_words(
    script: Sequence[Step], kind: type[MaestroError], said: str
) -> None:
    async with raw_upstream(script) as raw, http(raw.url) as upstream:
        error = await failure(upstream)
    assert type(error) is kind
    assert said in error.message
    assert error.message.startswith("first ")


async def test_a_port_where_nobody_listens_is_unreachable() -> None:
    async with http(f"http://127.0.0.1:{closed_port()}/v1") as upstream:
        error = await failure(upstream)
    assert type(error) is UpstreamUnreachable
    assert error.message == "first cannot be reached: connection refused."


async def test_a_host_that_does_not_resolve_is_unreachable() -> None:
    async with http("http://no-such-host.invalid/v1") as upstream:
        error = await failure(upstream)
    assert type(error) is HostUnknown
    assert "no-such-host.invalid could not be resolved" in error.message


async def test_a_server_without_tls_is_told_so() -> None:
    script = [b"HTTP/1.1 400 Bad Request\r\n\r\n", CLOSE]
    async with raw_upstream(script) as raw, http(raw.url.replace("http:", "https:")) as upstream:
        error = await failure(upstream)
    assert isinstance(error, UpstreamUnreachable)
    assert "TLS" in error.message or "connection" in error.message


async def test_silence_before_the_headers_has_an_end() -> None:
    async with raw_upstream([READ, SILENCE]) as raw, http(raw.url, first_byte_timeout=0.05) as upstream:
        error = await failure(upstream)
        assert await raw.left.get()
    assert isinstance(error, UpstreamUnreachable)
    assert "no answer within 0.05 s" in error.message


async def test_an_upstream_that_never_reads_the_request_has_an_end() -> None:
    times = {"connect_timeout": 0.1, "first_byte_timeout": 0.05}
    async with raw_upstream([DEAF]) as raw, http(raw.url, **times) as upstream:
        error = await failure(upstream, b"x" * 30_000_000)
    assert isinstance(error, UpstreamUnreachable)


@pytest.mark.parametrize(
    "begun",
    [STREAM_HEAD + chunks([b"{"], end=False), b"HTTP/1.1 200 OK\r\n\r\n{}"],
    ids=["chunked", "until close"],
)
async def test_silence_within_the_body_has_an_end(begun: bytes) -> None:
    script = [READ, begun, SILENCE]
    async with raw_upstream(script) as raw, http(raw.url, idle_timeout=0.05) as upstream:
        error = await failure(upstream)
        assert await raw.left.get()
    assert isinstance(error, UpstreamUnreachable)
    assert "silent for 0.05 s" in error.message


async def test_a_request_may_bring_timeouts_of_its_own() -> None:
    async with raw_upstream([READ, SILENCE]) as raw, http(raw.url) as upstream:
        error = await failure(upstream.within(Timeouts(first_byte=0.05)))
    assert isinstance(error, UpstreamUnreachable)
    assert "no answer within 0.05 s" in error.message
    script = [READ, STREAM_HEAD, chunks([b"{"], end=False), SILENCE]
    async with raw_upstream(script) as raw, http(raw.url) as upstream:
        error = await failure(upstream.within(Timeouts(idle=0.05)))
    assert "silent for 0.05 s" in error.message
    async with raw_upstream([READ, SILENCE]) as raw, http(raw.url, first_byte_timeout=0.05) as upstream:
        error = await failure(upstream.within(Timeouts(connect=9.0, idle=9.0)))
    assert "no answer within 0.05 s" in error.message


async def test_the_first_bytes_timeout_does_not_hold_for_the_body(upstream: FakeUpstream) -> None:
    upstream.play(Stream(b'{"a":', PAUSE, b"1}"))
    async with (
        http(upstream.url, first_byte_timeout=0.05, idle_timeout=30) as asked,
        asked.request("POST", "/responses", body=b"{}") as got,
    ):
        upstream.go_on()
        assert await asked.read(got) == b'{"a":1}'


async def test_a_pooled_connection_that_was_closed_meanwhile_is_replaced_once() -> None:
    dying: list[Step] = [READ, answer(), READ, CLOSE]
    async with raw_upstream(dying, [READ, answer(b"[2]"), SILENCE]) as raw, http(raw.url) as upstream:
        await ask(upstream)
        assert await ask(upstream) == [2]
        assert (raw.connections, len(raw.requests)) == (2, 3)


async def test_of_many_that_were_closed_meanwhile_none_is_tried_after_the_first() -> None:
    dying: list[Step] = [READ, answer(), READ, CLOSE]
    async with (
        raw_upstream(dying, dying, dying, [READ, answer(b"[2]"), SILENCE]) as raw,
        http(raw.url) as upstream,
    ):
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(ask(upstream))
        assert raw.connections == 3
        assert await ask(upstream) == [2]
        assert (raw.connections, len(raw.requests)) == (4, 5)


async def test_a_server_that_worked_on_the_request_and_fell_is_not_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_module, "_STALE_WITHIN", 0.0)
    dying: list[Step] = [READ, answer(), READ, CLOSE]
    async with raw_upstream(dying, [READ, answer(b"[2]"), SILENCE]) as raw, http(raw.url) as upstream:
        await ask(upstream)
        assert isinstance(await failure(upstream), UpstreamUnreachable)
        assert len(raw.requests) == 2


async def test_a_proxy_that_refuses_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    script = [READ, answer(b"", "407 Proxy Authentication Required"), CLOSE]
    async with raw_upstream(script) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url.removesuffix("/v1"))
        monkeypatch.delenv("no_proxy", raising=False)
        async with http("https://models.example/v1") as upstream:
            error = await failure(upstream)
    assert isinstance(error, UpstreamUnreachable)
    assert "the proxy answered HTTP 407" in error.message


async def test_a_server_that_falls_at_each_request_is_asked_twice_at_most() -> None:
    dying: list[Step] = [READ, answer(), READ, RESET]
    async with raw_upstream(dying, dying, dying, [READ, RESET]) as raw, http(raw.url) as upstream:
        # Three connections in the pool, each to fall at its second request.
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(ask(upstream))
        assert raw.connections == 3
        assert isinstance(await failure(upstream), UpstreamUnreachable)
        assert len(raw.requests) == 5


async def test_a_server_that_fell_is_asked_once_by_whoever_comes_next() -> None:
    dying: list[Step] = [READ, answer(), READ, RESET]
    async with raw_upstream(dying, [READ, RESET], [READ, RESET]) as raw, http(raw.url) as upstream:
        await ask(upstream)
        await failure(upstream)
        assert len(raw.requests) == 3
        await failure(upstream)
        assert len(raw.requests) == 4


async def test_a_body_of_many_mebibytes_arrives_whole(upstream: FakeUpstream) -> None:
    upstream.play(Reply({}))
    body = json.dumps({"image": "x" * 20_000_000}).encode()
    async with http(upstream.url) as asked:
        await ask(asked, body)
    assert upstream.requests[0].raw == body
    assert "Content-Length" in upstream.requests[0].headers


async def test_a_large_body_is_sent_again_whole_when_a_pooled_connection_had_died() -> None:
    dying: list[Step] = [READ, answer(), READ, CLOSE]
    body = b"y" * 3_000_000
    async with raw_upstream(dying, [READ, answer(b"[2]"), SILENCE]) as raw, http(raw.url) as upstream:
        await ask(upstream)
        assert await ask(upstream, body) == [2]
        assert [request.endswith(body) for request in raw.requests] == [False, True, True]


async def test_a_fresh_connection_that_falls_is_not_tried_again() -> None:
    async with raw_upstream([READ, CLOSE]) as raw, http(raw.url) as upstream:
        await failure(upstream)
        assert len(raw.requests) == 1


async def test_force_close_opens_a_connection_per_request() -> None:
    async with raw_upstream([READ, answer()]) as raw, http(raw.url, force_close=True) as upstream:
        await ask(upstream)
        await ask(upstream)
        assert raw.connections == 2


@pytest.mark.parametrize("status", [400, 402, 404, 408, 409, 413, 422, 429, 500, 502, 503, 529])
async def test_a_refusal_bears_status_words_and_headers(status: int) -> None:
    body = json.dumps({"error": {"message": "No.", "type": "t", "param": "p", "code": "c"}}).encode()
    script = [READ, answer(body, f"{status} X", retry_after="7", x_ratelimit_a="1")]
    async with raw_upstream(script) as raw, http(raw.url) as upstream:
        error = await failure(upstream)
    assert type(error) is UpstreamRefused
    assert (error.status, error.message, error.type, error.param, error.code) == (
        status,
        "No.",
        "t",
        "p",
        "c",
    )
    assert error.retry_after == 7.0
    assert error.headers["x-ratelimit-a"] == "1"
    assert error.body == body


@pytest.mark.parametrize("status", [401, 403])
async def test_refused_credentials_are_their_own_kind(status: int) -> None:
    async with raw_upstream([READ, answer(b"", f"{status} X")]) as raw, http(raw.url) as upstream:
        error = await failure(upstream)
    assert type(error) is CredentialsRefused
    assert error.status == status


async def test_a_key_that_the_upstream_repeats_goes_no_further() -> None:
    body = b'{"error": {"message": "Incorrect key: hidden-key-1, Bearer hidden-key-1"}}'
    async with (
        raw_upstream([READ, answer(body, "401 X", x_echo="Bearer hidden-key-1")]) as raw,
        http(raw.url, headers={"Authorization": "Bearer hidden-key-1"}) as upstream,
    ):
        error = await failure(upstream)
    assert error.message == "Incorrect key: ***, Bearer ***"
    assert "hidden-key-1" not in repr(error.headers)
    assert "Bearer ***" in error.headers.values()


@pytest.mark.parametrize(
    ("script", "status", "said"),
    [
        ([READ, answer(b"", "502 X")], 502, "first answered HTTP 502 without saying why."),
        ([READ, answer(b"<html>oops</html>", "500 X", content_type="text/html")], 500, "without saying why"),
        ([READ, answer(b"too busy", "503 X", content_type="text/plain")], 503, "too busy"),
        ([READ, answer(b'{"error": ', "500 X", content_length="99"), CLOSE], 500, '{"error":'),
        (
            [READ, answer(b"", "307 X", location="https://example.com/")],
            307,
            "a redirect; check its base_url",
        ),
        ([READ, answer(b"", "304 X")], 304, "a redirect"),
        ([READ, answer(b"x" * 2_000_000, "500 X")], 500, "without saying why"),
    ],
    ids=lambda value: repr(value)[:50] if isinstance(value, list) else "",
)
async def test_a_refusal_of_any_body_is_told_in_one_sentence(
    script: Sequence[Step], status: int, said: str
) -> None:
    async with raw_upstream(script) as raw, http(raw.url) as upstream:
        error = await failure(upstream)
    assert isinstance(error, UpstreamRefused)
    assert error.status == status
    assert said in error.message


async def test_a_refusal_whose_body_never_ends_is_told_by_its_status(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refused, "_TIMEOUT", 0.05)
    script = [READ, answer(b"", "500 X", content_length="9"), SILENCE]
    async with raw_upstream(script) as raw, http(raw.url) as upstream:
        error = await failure(upstream)
        assert await raw.left.get()
    assert error.status == 500


async def test_an_answer_beyond_every_bound_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_module, "_LARGEST_ANSWER", 1000)
    async with (
        raw_upstream([READ, answer(b"1" * 1001, content_length="5000"), SILENCE]) as raw,
        http(raw.url) as upstream,
    ):
        error = await failure(upstream)
        assert await raw.left.get()
    assert "more than 1000 bytes" in error.message


async def test_leaving_the_block_early_closes_the_connection(upstream: FakeUpstream) -> None:
    upstream.play(Stream(b"data: 1\n\n", STALL))
    async with http(upstream.url) as asked:
        async with asked.request("POST", "/responses", body=b"{}") as got:
            assert await got.body.readany()
        assert await upstream.left.get()


async def test_leaving_before_the_headers_closes_the_connection(upstream: FakeUpstream) -> None:
    upstream.play(STALL)
    async with http(upstream.url) as asked:
        task = asyncio.create_task(ask(asked))
        await upstream.asked.get()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await upstream.left.get()


async def test_no_more_than_max_concurrent_are_under_way_and_the_rest_wait_in_order(
    upstream: FakeUpstream,
) -> None:
    upstream.play(Stream(b"1", PAUSE))
    async with http(upstream.url, max_concurrent=2) as asked:
        tasks = [asyncio.create_task(ask(asked, b"%d" % number)) for number in range(5)]
        begun = [(await upstream.asked.get()).body for _ in range(2)]
        assert sorted(begun) == [0, 1]
        assert upstream.asked.empty()
        upstream.go_on()
        await asyncio.gather(*tasks)
    assert [request.body for request in upstream.requests][2:] == [2, 3, 4]


async def test_without_a_bound_any_number_are_under_way(upstream: FakeUpstream) -> None:
    upstream.play(Stream(b"1", PAUSE))
    async with http(upstream.url) as asked:
        tasks = [asyncio.create_task(ask(asked)) for _ in range(150)]
        for _ in tasks:
            await upstream.asked.get()
        upstream.go_on()
        assert await asyncio.gather(*tasks) == [1] * 150


async def test_a_full_queue_refuses_with_a_time_to_come_back(upstream: FakeUpstream) -> None:
    upstream.play(Stream(b"1", PAUSE))
    async with http(upstream.url, max_concurrent=1, max_waiting=1) as asked:
        running = asyncio.create_task(ask(asked))
        await upstream.asked.get()
        waiting = asyncio.create_task(ask(asked))
        await asyncio.sleep(0)
        error = await failure(asked)
        assert isinstance(error, UpstreamRefused)
        assert (error.status, error.code, error.retry_after) == (429, "rate_limit_exceeded", 1.0)
        upstream.go_on()
        await asyncio.gather(running, waiting)
        assert await ask(asked) == 1


async def test_whoever_leaves_the_queue_makes_room_in_it(upstream: FakeUpstream) -> None:
    upstream.play(Stream(b"1", PAUSE))
    async with http(upstream.url, max_concurrent=1, max_waiting=1) as asked:
        running = asyncio.create_task(ask(asked))
        await upstream.asked.get()
        for _ in range(10):
            waiting = asyncio.create_task(ask(asked))
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        last = asyncio.create_task(ask(asked))
        upstream.go_on()
        assert [await running, await last] == [1, 1]
    assert len(upstream.requests) == 2


@pytest.mark.parametrize("script", [[READ, CLOSE], [READ, answer(b"", "500 X")], [READ, STREAM_HEAD, RESET]])
async def test_a_failure_gives_its_slot_back(script: Sequence[Step]) -> None:
    async with raw_upstream(script) as raw, http(raw.url, max_concurrent=1) as upstream:
        for _ in range(3):
            await failure(upstream)


async def test_a_proxy_of_the_environment_is_used_but_never_for_loopback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with (
        raw_upstream([READ, answer(b'"by proxy"')]) as proxy,
        raw_upstream([READ, answer(b"1")]) as raw,
    ):
        monkeypatch.setenv("http_proxy", proxy.url.removesuffix("/v1"))
        monkeypatch.delenv("no_proxy", raising=False)
        async with http(raw.url) as upstream:
            assert await ask(upstream) == 1
        async with http("http://models.example/v1") as upstream:
            assert await ask(upstream) == "by proxy"
        assert proxy.requests[0].startswith(b"POST http://models.example/v1/responses")
        monkeypatch.setenv("no_proxy", "models.example")
        async with http("http://models.example.invalid/v1") as upstream:
            assert await ask(upstream) == "by proxy"


async def test_a_unix_socket_is_connected_to_instead_of_the_host(tmp_path: Any) -> None:
    path = str(tmp_path / "s")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer(b"7", connection="close"))
        writer.close()

    async with (
        await asyncio.start_unix_server(serve, path),
        http("http://engine/v1", unix_socket=path) as upstream,
    ):
        assert await upstream.get_json("/models") == 7


async def test_credentials_stand_in_no_error_and_no_repr() -> None:
    secret = {"authorization": "Bearer sk-secret"}
    async with raw_upstream([READ, CLOSE]) as raw, http(raw.url, headers=secret) as upstream:
        error = await failure(upstream)
        assert "sk-secret" not in f"{error} {error!r} {upstream!r} {vars(error)}"


async def test_another_address_gets_its_own_headers_over_the_same_connections(upstream: FakeUpstream) -> None:
    upstream.play(Reply({"ok": True}))
    headers = {"x-team": "blue", "user-agent": "a"}
    async with http("http://127.0.0.1:9/none", headers=headers) as first:
        other = first.at(upstream.url, {"authorization": "Bearer secret-1", "user-agent": "b"})
        third = other.at(f"{upstream.url}/deeper/", {"authorization": "Bearer secret-2"})
        for each in (other, third, other):
            await ask(each)
    paths = ["/v1/responses", "/v1/deeper/responses", "/v1/responses"]
    assert [request.path for request in upstream.requests] == paths
    sent = [{name.lower(): value for name, value in each.headers.items()} for each in upstream.requests]
    tokens = ["Bearer secret-1", "Bearer secret-2", "Bearer secret-1"]
    assert [each["authorization"] for each in sent] == tokens
    said = {(each["x-team"], each["user-agent"], each["content-type"]) for each in sent}
    assert said == {("blue", "b", "application/json")}
    assert len({each.peer for each in upstream.requests}) == 1


async def test_another_address_masks_its_own_credentials(upstream: FakeUpstream) -> None:
    upstream.play(Reply({"message": "unknown token secret-12345"}, 401))
    async with http("http://127.0.0.1:9/none") as first:
        error = await failure(first.at(upstream.url, {"authorization": "Bearer secret-12345"}))
    assert error.message == "unknown token ***"


async def test_a_connection_whose_server_answered_before_it_read_the_request_is_not_used_again() -> None:
    early: list[Step] = [answer(b"[1]"), DEAF]
    async with raw_upstream(early, [READ, answer(b"[2]"), SILENCE]) as raw, http(raw.url) as upstream:
        assert await ask(upstream, b"x" * 30_000_000) == [1]
        assert await ask(upstream) == [2]
        assert raw.connections == 2


LARGE: Final = b"x" * 30_000_000  # more than a socket takes whose other side does not read


@asynccontextmanager
async def slow_reader() -> AsyncIterator[tuple[str, Callable[[], Coroutine[Any, Any, socket.socket]]]]:
    """A server's URL, and what gives its first connection once a request comes over it, hardly read."""
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listening, ExitStack() as stack:
        listening.setblocking(False)

        async def begun() -> socket.socket:
            connection, _ = await loop.sock_accept(listening)
            stack.enter_context(connection).setblocking(False)
            assert await loop.sock_recv(connection, 1)
            return connection

        yield f"http://127.0.0.1:{listening.getsockname()[1]}", begun


async def size_of_rest(connection: socket.socket) -> int:
    """How many bytes come until the connection ends."""
    loop = asyncio.get_running_loop()
    size = 0
    with suppress(ConnectionResetError):
        while piece := await loop.sock_recv(connection, 1_000_000):
            size += len(piece)
    return size


async def test_a_request_that_nobody_waits_for_any_more_is_sent_no_further() -> None:
    async with slow_reader() as (url, begun), http(url) as upstream:
        task = asyncio.create_task(ask(upstream, LARGE))
        connection = await begun()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await size_of_rest(connection) < len(LARGE)


async def test_a_request_that_is_answered_is_sent_no_further() -> None:
    async with slow_reader() as (url, begun), http(url) as upstream:
        loop = asyncio.get_running_loop()
        exchange = upstream.request("POST", "/responses", body=LARGE)
        entering = asyncio.create_task(exchange.__aenter__())
        connection = await begun()
        await loop.sock_sendall(connection, b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n")
        got = await entering
        await loop.sock_sendall(connection, b"[1]")
        assert await upstream.read(got) == b"[1]"
        await exchange.__aexit__(None, None, None)
        assert await size_of_rest(connection) < len(LARGE)


async def test_headers_of_a_request_go_above_the_providers() -> None:
    ours = {"Authorization": "Bearer old", "x-kept": "1"}
    theirs = {"authorization": "Bearer new", "Accept": "text/event-stream", "CONTENT-TYPE": "text/json"}
    async with raw_upstream([READ, answer(), SILENCE]) as raw, http(raw.url, headers=ours) as upstream:
        await upstream.exchange("POST", "/responses", body=b"{}", headers=theirs)
        (request,) = raw.requests
    lines = request.decode().lower().split("\r\n")
    assert sorted(lines[1:-2]) == [
        "accept-encoding: identity",
        "accept: text/event-stream",
        "authorization: bearer new",
        "content-length: 2",
        "content-type: text/json",
        f"host: {raw.url[7:-3]}",
        "user-agent: maestro-daemon",
        "x-kept: 1",
    ]
    assert lines[0] == "post /v1/responses http/1.1"


@pytest.mark.parametrize("value", ["a\r\nx-injected: 1", "a\nb", "a\0"])
async def test_a_header_that_would_begin_another_line_is_never_sent(
    upstream: FakeUpstream, value: str
) -> None:
    async with http(upstream.url) as asked:
        with pytest.raises(ProviderUnavailable, match="x-odd"):
            await asked.exchange("POST", "/responses", body=b"{}", headers={"x-odd": value})
    assert not upstream.requests


async def test_no_error_of_an_exchange_repeats_its_credentials() -> None:
    script = [READ, b"HTTP/1.1 200 OK\r\nbroken header\r\n\r\n", CLOSE]
    async with (
        raw_upstream(script) as raw,
        http(raw.url, headers={"authorization": "Bearer s3cr3t-key"}) as up,
    ):
        error: BaseException | None = await failure(up)
    seen = []
    while error is not None:
        seen.append(f"{error!r} {error} {getattr(error, 'request_info', '')!r}")
        error = error.__cause__ or error.__context__
    assert len(seen) > 1
    assert not [each for each in seen if "s3cr3t" in each]


@pytest.mark.parametrize(
    "said",
    [[], [STREAM_HEAD], [STREAM_HEAD, chunks([b"data: {}\n\n"], end=False)]],
    ids=["nothing", "head", "some"],
)
async def test_an_answer_under_way_ends_as_its_upstream_is_closed(said: Sequence[Step]) -> None:
    async with raw_upstream([READ, *said, SILENCE]) as raw, http(raw.url) as upstream:
        asking = asyncio.create_task(failure(upstream))
        while not raw.requests:  # noqa: ASYNC110  (nothing in there is made to be waited for)
            await asyncio.sleep(0)
        await upstream.aclose()
        assert isinstance(await asking, UpstreamBroken | UpstreamUnreachable)
        await raw.left.get()
