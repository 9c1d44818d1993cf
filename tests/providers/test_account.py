"""Which account a provider speaks for: the same after a restart, "" where nobody can say."""

from __future__ import annotations

import re
from typing import Any

import pytest

from maestro_daemon.plugin import Identified, Secret
from maestro_daemon.providers.account import account_hash
from maestro_local.options import LocalOptions
from maestro_local.server_provider import ServerProvider
from maestro_openai.options import OpenAIOptions
from maestro_openai.provider import OpenAIProvider


class Plain:
    """A provider without the ability."""


class Says:
    def __init__(self, said: Any) -> None:
        self.said = said

    def account(self) -> Any:
        if isinstance(self.said, Exception):
            raise self.said
        return self.said


class Holds:
    """A provider with something else of that name."""

    account = "an attribute"


def hashed(provider: Any, name: str = "work") -> str:
    return account_hash(provider, name)


async def openai(name: str = "work", **options: Any) -> str:
    fields = {"base_url": "https://api.example.com/v1", "api_key": Secret("sk-a"), **options}
    provider = OpenAIProvider(name, OpenAIOptions(**fields))
    try:
        assert isinstance(provider, Identified)
        return hashed(provider, name)
    finally:
        await provider.aclose()


def test_an_account_is_told_by_twelve_digits_of_a_hash() -> None:
    assert re.fullmatch("[0-9a-f]{12}", hashed(Says("octocat")))
    assert hashed(Says("octocat"), "work") == hashed(Says("octocat"), "home")
    assert hashed(Says("octocat")) != hashed(Says("hubot"))
    assert hashed(Says("é\ud800"))


@pytest.mark.parametrize("provider", [Plain(), Holds()])
def test_a_provider_that_cannot_say_is_an_account_of_its_own_name(provider: Any) -> None:
    assert hashed(provider, "work") == hashed(type(provider)(), "work")
    assert hashed(provider, "work") != hashed(provider, "home")


@pytest.mark.parametrize("said", ["", None, 7, b"x", ValueError("no login")])
def test_an_account_that_is_not_known_has_no_hash(said: Any) -> None:
    assert hashed(Says(said)) == ""


async def test_openais_account_is_that_of_its_organization_else_project_else_key() -> None:
    other_key = {"api_key": Secret("sk-b")}
    assert await openai() == await openai("home")
    assert await openai() != await openai(**other_key)
    for scope in ({"organization": "org-a"}, {"project": "proj_a"}):
        assert await openai(**scope) == await openai("home", **scope, **other_key)
        assert await openai(**scope) != await openai()
    assert await openai(organization="org-a") != await openai(organization="org-b")
    assert await openai(project="x") != await openai(organization="x")
    assert await openai(organization="org-a", project="p") == await openai(organization="org-a", project="q")
    assert await openai(organization="org-a") != await openai(
        organization="org-a", base_url="https://other.example.com/v1"
    )


async def test_the_key_is_not_in_the_openai_account() -> None:
    provider = OpenAIProvider("work", OpenAIOptions(api_key=Secret("sk-secret")))
    await provider.aclose()
    assert "sk-secret" not in provider.account()


async def test_a_local_server_is_one_account_for_all_who_ask_it() -> None:
    hashes = set()
    for name, url in (
        ("a", "http://127.0.0.1:1/v1"),
        ("b", "http://127.0.0.1:1/v1"),
        ("a", "http://[::1]:2/v1"),
    ):
        provider = ServerProvider(name, LocalOptions(base_url=url))
        hashes.add(hashed(provider, name))
        await provider.aclose()
    assert len(hashes) == 2
