from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from maestro_daemon.errors import UpstreamUnreachable
from tests.support.edge import edge


async def fine(request: web.Request) -> web.Response:
    return web.Response(text="fine")


async def streaming(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"begun")
    if request.query:
        raise RuntimeError("s3cret inside")
    await response.write_eof()
    return response


def raising(make: Callable[[], BaseException]) -> Any:
    async def handler(request: web.Request) -> web.Response:
        raise make()

    return handler


async def leaving(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    raise UpstreamUnreachable("The upstream is silent.")


ROUTES = [
    web.get("/fine", fine),
    web.get("/leaving", leaving),
    web.get("/streaming", streaming),
    web.post("/v1/responses", fine),
    web.get("/v1/models", fine),
    web.get("/house", raising(lambda: UpstreamUnreachable("The upstream is silent."))),
    web.get("/crash", raising(lambda: RuntimeError("s3cret inside"))),
    web.get("/timeout", raising(lambda: TimeoutError())),
    web.get("/connection", raising(lambda: ConnectionResetError("upstream"))),
    web.get("/http", raising(lambda: web.HTTPUnsupportedMediaType())),
    web.get("/moved", raising(lambda: web.HTTPFound("/fine"))),
]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/house", 502, "upstream_unreachable"),
        ("/crash", 500, "internal_error"),
        ("/timeout", 500, "internal_error"),
        ("/connection", 500, "internal_error"),
        ("/http", 415, "bad_http_request"),
    ],
)
async def test_whatever_is_raised_is_answered_in_the_envelope(path: str, status: int, code: str) -> None:
    async with edge(ROUTES) as running:
        answer = await running.ask("GET", path)
        assert (answer.status, answer.error["code"]) == (status, code)
        assert "s3cret" not in answer.error["message"]
        assert "Traceback" not in answer.error["message"]


async def test_the_unforeseen_is_logged_under_the_request_id_that_the_client_saw() -> None:
    with capture_logs() as logged:
        async with edge(ROUTES) as running:
            answer = await running.ask("GET", "/crash", "x-request-id: mine-1")
    assert "mine-1" in answer.error["message"]
    [line] = [line for line in logged if line["log_level"] == "error"]
    assert line["request_id"] == "mine-1"
    assert isinstance(line["exc_info"], RuntimeError)


async def test_a_redirect_is_no_error() -> None:
    async with edge(ROUTES) as running:
        answer = await running.ask("GET", "/moved")
        assert (answer.status, answer.headers["location"]) == (302, "/fine")


async def test_an_exception_after_the_answer_began_ends_the_connection_and_adds_nothing() -> None:
    async with edge(ROUTES) as running:
        raw = await running.raw(b"GET /streaming?crash HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert raw.count(b"HTTP/1.1") == 1
        assert raw.endswith(b"begun\r\n")


@pytest.mark.parametrize(
    ("method", "path", "naming"),
    [
        ("POST", "/v1/chat/completions", "not served yet: use POST /v1/responses"),
        ("GET", "/v1/chat/completions", "not served yet: use POST /v1/responses"),
        ("POST", "/v1/completions", "not served yet: use POST /v1/responses"),
        ("POST", "/v1/messages", "not served yet: use POST /v1/responses"),
        ("POST", "/api/openai/v1/chat/completions", "not served yet: use POST /v1/responses"),
        ("POST", "/chat/completions", "use POST /v1/responses"),
        ("GET", "/v1/responses/resp_1", "not served yet"),
        ("DELETE", "/v1/responses/resp_1", "not served yet"),
        ("POST", "/v1/responses/compact", "not served yet"),
        ("POST", "/v1/responses/input_tokens", "not served yet"),
        ("POST", "/v1/conversations", "not served yet"),
        ("GET", "/", "POST /v1/responses"),
        ("GET", "/favicon.ico", "POST /v1/responses"),
        ("PROPFIND", "/coffee", "POST /v1/responses"),
        ("GET", "/v1/" + "x" * 5000, "POST /v1/responses"),
        ("GET", "/%0d%0aset-cookie:a", "POST /v1/responses"),
        ("GET", "//evil.example/", "POST /v1/responses"),
        ("POST", "/v1/responses/", "The path is /v1/responses."),
        ("POST", "//v1/responses", "The path is /v1/responses."),
        ("POST", "/v1//responses", "The path is /v1/responses."),
        ("POST", "/v1/v1/responses", "The path is /v1/responses."),
        ("POST", "/responses", "The path is /v1/responses."),
        ("POST", "/api/openai/v1/responses/", "The path is /v1/responses."),
        ("GET", "/models", "The path is /v1/models."),
        ("GET", "/v1/models/", "The path is /v1/models."),
        ("GET", "/healthz/", "The path is /healthz."),
        ("POST", "/v1//responses/compact/", "not served yet"),
    ],
)
async def test_every_other_path_is_a_404_naming_what_is_served(method: str, path: str, naming: str) -> None:
    async with edge(ROUTES) as running:
        answer = await running.ask(method, path)
        assert (answer.status, answer.error["code"]) == (404, "unknown_url")
        assert naming in answer.error["message"]
        assert len(answer.error["message"]) < 400


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("DELETE", "/v1/models", "GET, HEAD"),
        ("PUT", "/v1/responses", "GET, POST"),
        ("HEAD", "/v1/responses", "GET, POST"),
        ("OPTIONS", "/v1/responses", "GET, POST"),
    ],
)
async def test_another_method_is_a_405_with_the_allowed_ones(method: str, path: str, allow: str) -> None:
    async with edge(ROUTES) as running:
        answer = await running.ask(method, path)
        assert (answer.status, answer.headers["allow"]) == (405, allow)
        if method != "HEAD":
            assert answer.error["code"] == "method_not_supported"
            assert allow in answer.error["message"]


@pytest.mark.parametrize("prefix", ["/v1", "/api/openai/v1"])
@pytest.mark.parametrize("upgrade", [True, False])
async def test_the_websocket_mode_is_a_426(prefix: str, upgrade: bool) -> None:
    headers = [
        "upgrade: websocket",
        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
        "sec-websocket-version: 13",
    ]
    async with edge(ROUTES) as running:
        answer = await running.ask("GET", f"{prefix}/responses", *(headers if upgrade else []))
        assert answer.status == 426
        assert "POST /v1/responses" in answer.error["message"]


@pytest.mark.parametrize("path", ["/fine", "/crash", "/house", "/nowhere", "/moved"])
async def test_every_answer_bears_a_request_id(path: str) -> None:
    async with edge(ROUTES) as running:
        made = (await running.ask("GET", path)).headers["x-request-id"]
        assert re.fullmatch(r"req_[0-9a-f]{32}", made)
        kept = await running.ask("GET", path, "X-Request-ID: My.own_id-7")
        assert kept.headers["x-request-id"] == "My.own_id-7"


@pytest.mark.parametrize("said", ["", "a b", "x" * 129, "ключ", "a/b", "<script>", "a\tb"])
async def test_an_id_that_is_not_sane_is_replaced(said: str) -> None:
    async with edge(ROUTES) as running:
        answer = await running.ask("GET", "/fine", f"x-request-id: {said}")
        assert answer.headers["x-request-id"].startswith("req_")


async def test_a_client_that_is_gone_as_its_request_fails_is_no_fault_of_the_house() -> None:
    with capture_logs() as lines:
        async with edge(ROUTES) as front:
            with suppress(ConnectionResetError):
                assert await front.raw(b"GET /leaving HTTP/1.1\r\nhost: localhost\r\n\r\n") == b""
            assert (await front.ask("GET", "/fine")).status == 200
    assert lines == []
