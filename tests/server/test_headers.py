from __future__ import annotations

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from maestro_daemon.server.headers import carried, deadline, passed_back


def client_headers(*pairs: tuple[str, str]) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict(pairs))


def test_what_means_something_to_an_upstream_is_carried_by_lower_case_name() -> None:
    sent = {
        "Session-Id": "s",
        "thread-id": "t",
        "X-Client-Request-Id": "t",
        "OpenAI-Beta": "responses_multi_agent=v1",
        "traceparent": "00-a-b-01",
        "tracestate": "x=y",
        "x-session-id": "s",
        "x-session-affinity": "s",
        "session_id": "s",
        "x-claude-code-session-id": "s",
        "x-initiator": "agent",
        "x-interaction-type": "conversation-user",
        "originator": "codex_exec",
        "version": "0.169.0",
        "x-codex-window-id": "t:0",
        "x-codex-turn-state": "opaque",
        "x-openai-subagent": "review",
        "x-openai-internal-codex-responses-lite": "true",
    }
    assert carried(client_headers(*sent.items())) == {name.lower(): value for name, value in sent.items()}


def test_credentials_cookies_and_hop_headers_are_never_carried() -> None:
    sent = [
        ("Authorization", "Bearer k"),
        ("x-api-key", "k"),
        ("api-key", "k"),
        ("Cookie", "a=b"),
        ("Proxy-Authorization", "Basic x"),
        ("Host", "localhost"),
        ("Connection", "keep-alive, session-id"),
        ("Transfer-Encoding", "chunked"),
        ("TE", "trailers"),
        ("Upgrade", "websocket"),
        ("Content-Length", "5"),
        ("Content-Encoding", "gzip"),
        ("Content-Type", "application/json"),
        ("Accept", "*/*"),
        ("Accept-Encoding", "gzip"),
        ("User-Agent", "x"),
        ("OpenAI-Organization", "org"),
        ("OpenAI-Project", "proj"),
        ("x-oai-attestation", "secret"),
        ("x-openai-api-key", "k"),
        ("X-Forwarded-For", "10.0.0.1"),
        ("x-request-id", "r"),
    ]
    assert carried(client_headers(*sent)) == {}


def test_a_header_that_came_twice_is_joined() -> None:
    headers = client_headers(("OpenAI-Beta", "a"), ("openai-beta", "b"))
    assert carried(headers) == {"openai-beta": "a, b"}


def test_limits_timings_and_codex_state_go_back() -> None:
    said = {
        "x-ratelimit-remaining-tokens": "9",
        "Retry-After": "2",
        "retry-after-ms": "1500",
        "x-should-retry": "true",
        "openai-processing-ms": "12",
        "openai-version": "2020-10-01",
        "x-codex-turn-state": "opaque",
        "x-codex-primary-used-percent": "4",
        "x-gpt5-secondary-reset-at": "17",
        "x-reasoning-included": "true",
    }
    assert passed_back(said, asked_model="m") == {name.lower(): value for name, value in said.items()}


def test_everything_else_of_the_upstream_stays_here() -> None:
    said = {
        "Set-Cookie": "a=b",
        "Connection": "close",
        "Transfer-Encoding": "chunked",
        "Content-Type": "text/event-stream",
        "Content-Encoding": "gzip",
        "Content-Length": "5",
        "Server": "cloudflare",
        "Date": "now",
        "openai-organization": "org",
        "x-request-id": "theirs",
        "x-models-etag": "of their list of models, not of ours",
        "access-control-allow-origin": "*",
        "x-openai-authorization-error": "x",
        "x-codex-bad": "line\r\nset-cookie: a=b",
        "x-codex-long": "x" * 9000,
    }
    assert passed_back(said, asked_model="m") == {}


def test_the_upstreams_model_goes_back_only_when_it_is_the_one_asked_for() -> None:
    assert passed_back({"openai-model": "gpt-5.5"}, asked_model="gpt-5.5") == {"openai-model": "gpt-5.5"}
    assert passed_back({"OpenAI-Model": "gpt-5.5-2026"}, asked_model="gpt-5.5") == {}
    assert passed_back({"openai-model": "gpt-5.5"}, asked_model="coder") == {}


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("600", 600.0),
        ("2.5", 2.5),
        (None, None),
        ("0", None),
        ("-1", None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("", None),
    ],
)
def test_a_clients_patience_is_read_in_seconds(said: str | None, seconds: float | None) -> None:
    headers = {} if said is None else {"X-Stainless-Timeout": said}
    assert deadline(CIMultiDictProxy(CIMultiDict(headers))) == seconds
