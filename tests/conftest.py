"""What every test has: a loop on which nothing may block, and a fake upstream."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator

import pytest
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


@pytest.fixture
async def upstream() -> AsyncIterator[FakeUpstream]:
    """A fake upstream, without a script yet."""
    async with fake_upstream() as running:
        yield running
