"""A host with a real systemd, one for all tests that want it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.systemd.box import Box, lacking
from tests.support.systemd.installed import host_with_daemon


@pytest.fixture(scope="session")
def possible() -> None:
    """Skips where no such host can be."""
    if reason := lacking():
        pytest.skip(reason)


@pytest.fixture(scope="session")
def host(possible: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """The host, with the daemon installed and not started."""
    with host_with_daemon(tmp_path_factory.mktemp("host")) as made:
        yield made
