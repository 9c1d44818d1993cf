"""What every test has: a loop on which nothing may block, and a fake upstream."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, MutableMapping
from typing import Any

import pytest
import structlog.testing
from blockbuster import BlockBuster, blockbuster_ctx
from hypothesis import settings

from tests.support.fake_upstream import FakeUpstream, fake_upstream

settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("dev", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


@pytest.fixture(autouse=True)
def _blockbuster() -> Iterator[BlockBuster]:
    with blockbuster_ctx() as blockbuster:
        yield blockbuster


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[MutableMapping[str, Any]]]:
    """The log lines of the test so far: ``event``, ``log_level`` and the fields. Nothing is printed."""
    with structlog.testing.capture_logs() as lines:
        yield lines


@pytest.fixture
async def upstream() -> AsyncIterator[FakeUpstream]:
    """A fake upstream, without a script yet."""
    async with fake_upstream() as running:
        yield running
