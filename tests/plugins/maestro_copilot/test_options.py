"""The table of kind ``copilot``."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from maestro_copilot.github_hosts import Hosts
from maestro_copilot.options import CopilotOptions


def options(**table: Any) -> CopilotOptions:
    return CopilotOptions.model_validate(table)


def test_everything_has_a_default() -> None:
    one = options()
    hosts = Hosts.of(one)
    assert (hosts.github, hosts.api, hosts.copilot) == (
        "https://github.com",
        "https://api.github.com",
        "https://api.githubcopilot.com",
    )
    assert one.exchanges
    assert one.given_token is None


@pytest.mark.parametrize(
    ("table", "exchanges"),
    [
        ({}, True),
        ({"mode": "direct"}, False),
        ({"base_url": "https://x.example"}, False),
        ({"base_url": "https://x.example", "mode": "exchange"}, True),
    ],
)
def test_a_base_url_means_direct_unless_the_mode_is_said(table: dict[str, Any], exchanges: bool) -> None:
    assert options(**table).exchanges is exchanges


def test_two_names_for_the_token_cannot_both_be_used() -> None:
    with pytest.raises(ValidationError, match="token and api_key are two names for the same"):
        options(token="a", api_key="b")


@pytest.mark.parametrize(
    "domain", ["https://octo.ghe.com", "octo.ghe.com/x", "localhost", "", "a b.c", "x.ghe.com:1"]
)
def test_a_domain_is_a_host_name(domain: str) -> None:
    with pytest.raises(ValidationError, match="must be a host name"):
        options(domain=domain)


def test_github_com_is_no_domain_of_its_own() -> None:
    hosts = Hosts.of(options(domain="GitHub.com."))
    assert hosts == Hosts.of(options())
    assert not hosts.accepts("https://api.github.com")


@pytest.mark.parametrize("key", ["integration_id", "editor_version", "user_agent", "api_version", "intent"])
def test_what_cannot_stand_in_a_header_is_refused(key: str) -> None:
    with pytest.raises(ValidationError, match="no header can have"):
        options(**{key: "a\r\nb"})


def test_the_identity_is_the_operators() -> None:
    # copilot.md §1: "client_id, … integration id, editor headers, user agent … are all configuration"
    assert options(
        integration_id="mine", editor_version="", editor_plugin_version="", user_agent="me/1", api_version=""
    ).editor_headers() == {"Copilot-Integration-Id": "mine", "User-Agent": "me/1"}


@pytest.mark.parametrize("editor_login", [5, "", "a\0b"])
def test_an_editors_login_is_yes_no_or_a_path(editor_login: Any) -> None:
    with pytest.raises(ValidationError):
        options(editor_login=editor_login)
