from __future__ import annotations

import pytest
from aiohttp import web

from maestro_daemon.errors import ConfigInvalid
from maestro_daemon.server.access import CLIENT, Access, check_exposure, is_loopback
from tests.support.edge import edge

KEYS = {"alice": "key-of-alice", "bob": "key-of-bob", "zoë": "schlüssel"}


async def who(request: web.Request) -> web.Response:
    return web.json_response({"client": request[CLIENT]})


ROUTES = [web.get("/v1/who", who), web.get("/healthz", who), web.get("/readyz", who)]


@pytest.mark.parametrize(
    ("headers", "client"),
    [
        (["authorization: Bearer key-of-alice"], "alice"),
        (["authorization: bearer  key-of-bob "], "bob"),
        (["x-api-key: key-of-bob"], "bob"),
        (["authorization: Bearer sk-other", "x-api-key: key-of-alice"], "alice"),
        (["x-api-key: other", "authorization: Bearer key-of-bob"], "bob"),
        (["authorization: Bearer other", "authorization: Bearer key-of-alice"], "alice"),
        (["authorization: Bearer schlüssel"], "zo\\u00eb"),
    ],
)
async def test_any_matching_key_lets_its_client_in(headers: list[str], client: str) -> None:
    async with edge(ROUTES, access=Access(KEYS)) as running:
        answer = await running.ask("GET", "/v1/who", *headers)
        assert answer.status == 200
        assert f'"{client}"'.encode() in answer.body


@pytest.mark.parametrize(
    "headers",
    [
        [],
        ["authorization: Bearer"],
        ["authorization: Bearer other"],
        ["authorization: Basic key-of-alice"],
        ["authorization: key-of-alice"],
        ["x-api-key: KEY-OF-ALICE"],
        ["x-api-key: key-of-alic"],
        ["x-api-key: schl\udcfcssel"],
        ["x-api-key: \udcff\udcfe"],
        ["authorization: Bearer ключ"],
        ["cookie: key-of-alice"],
    ],
)
async def test_without_a_known_key_it_is_a_401(headers: list[str]) -> None:
    async with edge(ROUTES, access=Access(KEYS)) as running:
        answer = await running.ask("GET", "/v1/who", *headers)
        assert answer.status == 401
        assert answer.error["code"] == "invalid_api_key"
        assert answer.error["type"] == "authentication_error"
        assert answer.headers["www-authenticate"] == "Bearer"
        for secret in (*KEYS.values(), "other"):
            assert secret not in answer.error["message"]


async def test_health_needs_no_key_and_everything_else_does() -> None:
    async with edge(ROUTES, access=Access(KEYS)) as running:
        assert (await running.ask("GET", "/healthz")).status == 200
        assert (await running.ask("GET", "/readyz")).status == 200
        assert (await running.ask("GET", "/nowhere")).status == 401
        assert b"alice" in (await running.ask("GET", "/readyz", "x-api-key: key-of-alice")).body


async def test_with_keys_any_host_and_origin_may_call() -> None:
    async with edge(ROUTES, access=Access(KEYS)) as running:
        answer = await running.ask(
            "GET", "/v1/who", "host: box.example", "origin: https://app.example", "x-api-key: key-of-bob"
        )
        assert answer.status == 200


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LocalHost:8787",
        "localhost.",
        "api.localhost:80",
        "127.0.0.1",
        "127.0.0.1:8787",
        "127.255.0.9",
        "[::1]",
        "[::1]:8787",
        "box.lan",
        "BOX.lan:8787",
    ],
)
async def test_without_keys_this_machine_is_served(host: str) -> None:
    async with edge(ROUTES, access=Access({}, allowed_hosts=["box.lan"])) as running:
        answer = await running.ask("GET", "/v1/who", f"host: {host}")
        assert (answer.status, answer.body) == (200, b'{"client": ""}')


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8787",
        "localhost.evil.example",
        "notlocalhost",
        "127.0.0.1.evil.example",
        "127.1",
        "0.0.0.0",
        "10.0.0.1",
        "[::2]",
        "[::1].evil",
        "::1",
        "localhost:80:80",
        "evil@localhost",
        "user:localhost",
        "",
    ],
)
async def test_without_keys_a_foreign_host_is_a_403_naming_the_setting(host: str) -> None:
    async with edge(ROUTES, access=Access({})) as running:
        answer = await running.ask("GET", "/v1/who", f"host: {host}")
        assert answer.status == 403
        assert "[server] allowed_hosts" in answer.error["message"]
        assert "[clients.NAME]" in answer.error["message"]


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://localhost:3000", 200),
        ("https://127.0.0.1", 200),
        ("http://[::1]:5173", 200),
        ("http://box.lan", 200),
        ("null", 403),
        ("https://evil.example", 403),
        ("https://localhost.evil.example", 403),
        ("https://localhost@evil.example", 403),
        ("file://", 403),
        ("http://[", 403),
        ("", 403),
    ],
)
async def test_without_keys_a_foreign_web_page_is_a_403(origin: str, status: int) -> None:
    async with edge(ROUTES, access=Access({}, allowed_hosts=["box.lan"])) as running:
        answer = await running.ask("GET", "/v1/who", f"origin: {origin}")
        assert answer.status == status
        if status == 403:
            assert "allowed_hosts" in answer.error["message"]


async def test_no_answer_bears_cors_headers() -> None:
    async with edge(ROUTES) as running:
        answer = await running.ask("OPTIONS", "/v1/who", "origin: http://localhost:3000")
        assert answer.status == 405
        assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_a_request_without_a_host_is_served_over_http_1_0() -> None:
    async with edge(ROUTES) as running:
        raw = await running.raw(b"GET /v1/who HTTP/1.0\r\n\r\n")
        assert b" 200 OK" in raw


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost"])
def test_loopback_needs_neither_key_nor_warning(host: str) -> None:
    assert is_loopback(host)
    assert check_exposure(host=host, has_keys=False, tls=False) is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.168.1.5", "box.lan"])
def test_an_open_address_without_keys_stops_the_start(host: str) -> None:
    with pytest.raises(ConfigInvalid, match=r"clients\.NAME"):
        check_exposure(host=host, has_keys=False, tls=True)


def test_a_key_over_plain_http_to_other_machines_warns() -> None:
    warning = check_exposure(host="0.0.0.0", has_keys=True, tls=False)
    assert warning is not None
    assert "[server.tls]" in warning
    assert check_exposure(host="0.0.0.0", has_keys=True, tls=True) is None
