"""The environment's proxies: for whom, and what becomes of those that cannot be used."""

from __future__ import annotations

import pytest
from yarl import URL

from maestro_daemon.errors import ProviderUnavailable
from maestro_daemon.upstream.proxies import proxy_for

FAR = URL("https://api.example.com/v1")


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def test_without_one_there_is_none() -> None:
    assert proxy_for(FAR) is None


@pytest.mark.parametrize("variable", ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("said", ["http://proxy.lan:3128", "proxy.lan:3128"])
def test_it_is_found_by_either_name_with_or_without_a_scheme(
    monkeypatch: pytest.MonkeyPatch, variable: str, said: str
) -> None:
    monkeypatch.setenv(variable, said)
    assert proxy_for(FAR) == URL("http://proxy.lan:3128")


def test_the_one_of_the_scheme_goes_before_the_one_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("all_proxy", "http://all.lan:1")
    monkeypatch.setenv("https_proxy", "http://secure.lan:2")
    assert proxy_for(FAR) == URL("http://secure.lan:2")
    assert proxy_for(URL("http://api.example.com")) == URL("http://all.lan:1")


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:11434",
        "http://127.8.8.8",
        "http://[::1]:9",
        "http://localhost:1",
        "http://a.localhost",
        "http://LOCALHOST.",
        "https://api.example.com",
    ],
)
def test_this_machine_and_those_of_no_proxy_are_reached_without(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("all_proxy", "http://proxy.lan:3128")
    monkeypatch.setenv("no_proxy", "example.com")
    assert proxy_for(URL(url)) is None


@pytest.mark.parametrize("said", ["socks5://me:hidden@proxy.lan:1", "http://me:hidden@", "me:hidden@::bad::"])
def test_one_that_cannot_be_used_is_said_without_its_password(
    monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    monkeypatch.setenv("https_proxy", said)
    with pytest.raises(ProviderUnavailable, match="https://") as refused:
        proxy_for(FAR)
    assert "hidden" not in refused.value.message
