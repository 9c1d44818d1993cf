"""A fake GitHub, accounts at it, and an ear for tokens that are let out."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest

from maestro_copilot.account import Account
from maestro_copilot.options import CopilotOptions
from tests.support.copilot.copilot import Fake, fake_copilot
from tests.support.copilot.github import GitHubHalf
from tests.support.copilot.overheard import Overheard
from tests.support.copilot.served import Served, serving_copilot
from tests.support.copilot.server import fake_github

Make = Callable[..., Account]


@pytest.fixture(scope="session")
def everything() -> Iterator[Overheard]:
    """What all Copilot tests together let be heard."""
    heard = Overheard()
    yield heard
    assert list(heard.tokens()) == []


@pytest.fixture(autouse=True)
def heard(
    logged: list[MutableMapping[str, Any]], caplog: pytest.LogCaptureFixture, everything: Overheard
) -> Iterator[Overheard]:
    """What this test lets be heard; it fails if a token is in it."""
    caplog.set_level(logging.DEBUG)
    one = Overheard()
    yield one
    one.lines(logged)
    one.lines(vars(record) for record in caplog.records)
    assert list(one.tokens()) == []
    everything.texts += one.texts


@pytest.fixture
async def github_and_url() -> AsyncIterator[tuple[GitHubHalf, str]]:
    async with fake_github() as running:
        yield running


@pytest.fixture
def github(github_and_url: tuple[GitHubHalf, str]) -> GitHubHalf:
    """The fake GitHub's script and record."""
    return github_and_url[0]


@pytest.fixture
def host(github_and_url: tuple[GitHubHalf, str]) -> str:
    """The fake GitHub's host, as logins name it."""
    return github_and_url[1].removeprefix("http://")


@pytest.fixture
async def make(
    github_and_url: tuple[GitHubHalf, str], tmp_path: Path, heard: Overheard
) -> AsyncIterator[Make]:
    """Make an account of the fake GitHub, from a provider's table."""
    made: list[Account] = []

    def account(name: str = "work", **table: Any) -> Account:
        url = github_and_url[1]
        options = CopilotOptions.model_validate({"github_url": url, "github_api_url": url, **table})
        one = Account(name, options, tmp_path / "state")
        made.append(one)
        return one

    yield account
    for one in made:
        await one.aclose()
        heard.text(one)
        heard.text(one.options)
        for part in (one.github, one.hosts, one.mint, one.sources, one.sources.held, one.problem()):
            heard.text(part)
            heard.text(getattr(part, "__dict__", None))


@pytest.fixture
async def fake() -> AsyncIterator[Fake]:
    """A GitHub and its Copilot."""
    async with fake_copilot() as running:
        yield running


@pytest.fixture
async def served(fake: Fake, tmp_path: Path) -> AsyncIterator[Served]:
    """A house in front of them, with the provider ``work``."""
    async with serving_copilot(fake, tmp_path) as running:
        yield running
