"""What every test has: a loop on which nothing may block, and a fake upstream."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Generator, Iterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest
import structlog.testing
from blockbuster import BlockBuster, blockbuster_ctx
from hypothesis import settings

from tests.support.environment import short_folder, shut_out
from tests.support.fake_upstream import FakeUpstream, fake_upstream
from tests.support.machine import hide_system_daemon
from tests.support.reloaded import WHOLE

settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("dev", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "dev")

# Started in the background, a shell has these ignored, and so would every process that a test signals.
for _number, _usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _usual)


def pytest_configure(config: pytest.Config) -> None:
    """Nothing that a user or a machine set up for itself is to change what the tests see."""
    home = tempfile.TemporaryDirectory(prefix="home-of-tests-")
    config.add_cleanup(home.cleanup)
    shut_out(os.environ, Path(home.name))
    hide_system_daemon()
    os.umask(0o022)
    if config.option.basetemp is None and (short := short_folder()) is not None:
        config.add_cleanup(lambda: shutil.rmtree(short, ignore_errors=True))
        config.option.basetemp = str(short / "b")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Half a worker more than the cores there are for each: many tests wait, for timeouts or processes."""
    return len(os.sched_getaffinity(0)) * 3 // 2


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What was imported stays: the garbage collector need not look at it again and again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000, 20, 20)


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


@pytest.fixture
async def other() -> AsyncIterator[FakeUpstream]:
    """A second upstream, which says Hello."""
    async with fake_upstream() as running:
        running.play(WHOLE)
        yield running
