"""One daemon for all tests of a module, between the openai package and a fake upstream."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from functools import cache

import pytest
import pytest_asyncio
from openai import AsyncOpenAI, DefaultAsyncHttpxClient

from tests.support.fake_upstream import FakeUpstream, fake_upstream
from tests.support.serving import serving_beside

CONFIG = """
[server]
port = 0

[providers.native]
kind = "openai"
base_url = "{url}"
api_key = "sk-upstream"

[providers.home]
kind = "local"
base_url = "{url}"

# What one test made an upstream do must not be held against it in the next.
[breaker]
cooldown = "1ms"
longest_cooldown = "1ms"
quota_cooldown = "1ms"
longest_retry_after = "1ms"
retry_ratio = 0
retry_reserve = 0

[routes.coder]
targets = ["native/gpt-test"]
fallbacks = ["home/gpt-test"]
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def _running() -> AsyncIterator[FakeUpstream]:
    async with fake_upstream() as upstream:
        yield upstream


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def daemon_url(_running: FakeUpstream, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The base URL of a daemon process with a native and a translated provider."""
    folder = tmp_path_factory.mktemp("daemon")
    async with serving_beside(CONFIG.format(url=_running.url), folder) as url:
        yield url


@pytest.fixture
def scripted(_running: FakeUpstream) -> FakeUpstream:
    """The upstream of the native and the translated provider, without a script yet."""
    _running.forget()
    return _running


@pytest_asyncio.fixture(loop_scope="module")
async def client(daemon_url: str) -> AsyncIterator[AsyncOpenAI]:
    """An SDK client of the daemon that does not retry."""
    async with await make_client(daemon_url) as client:
        yield client


async def make_client(base_url: str, *, max_retries: int = 0) -> AsyncOpenAI:
    """An SDK client; made beside the loop, since making one reads files."""

    def make() -> AsyncOpenAI:
        return AsyncOpenAI(
            base_url=base_url,
            api_key="sk-client",
            max_retries=max_retries,
            timeout=30,
            http_client=DefaultAsyncHttpxClient(verify=_certificates()),
        )

    return await asyncio.to_thread(make)


@cache
def _certificates() -> ssl.SSLContext:
    """Read once for all clients: nearly all that making one costs."""
    return ssl.create_default_context()
