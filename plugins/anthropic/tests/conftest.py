"""What every test has: a loop on which nothing may block, the log, and a fake Messages API."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from messages_api import MessagesAPI, messages_api
from tests.conftest import _blockbuster, logged

__all__ = ["_blockbuster", "api", "logged"]


@pytest.fixture
async def api() -> AsyncIterator[MessagesAPI]:
    """A fake Messages API, without a script yet."""
    async with messages_api() as running:
        yield running
