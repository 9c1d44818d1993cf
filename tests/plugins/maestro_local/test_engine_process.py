"""One child process of the embedded engine: real processes, real llama.cpp, a tiny random model."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest
import uvloop

from maestro_local.engine_process import EngineFailed, EngineSettings, run
from tests.support.processes import gone

CHILD = Path(__file__).parents[3] / "plugins" / "maestro_local" / "engine_child.py"


def settings(model: Path, **changes: int) -> EngineSettings:
    return EngineSettings(model, "tiny", **{"context": 2048, "parallel": 2, "threads": 1, **changes})


async def status_of(path: str, unix_socket: str, key: str | None) -> int:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(unix_socket)) as session,
        session.get(f"http://localhost/v1{path}", headers=headers) as answer,
    ):
        return answer.status


async def test_child_listens_on_a_private_socket_and_wants_its_key(
    tiny_gguf: Path, runtime_folder: Path
) -> None:
    async with run(settings(tiny_gguf), load_timeout=60) as engine:
        socket = engine.listening.unix_socket
        assert socket is not None
        folder = Path(socket).parent
        assert folder.parent == runtime_folder
        assert (await asyncio.to_thread(folder.stat)).st_mode & 0o777 == 0o700
        assert await status_of("/models", socket, engine.listening.api_key) == 200
        assert await status_of("/models", socket, None) == 401


async def test_key_is_in_neither_the_arguments_nor_the_environment_nor_the_repr(
    tiny_gguf: Path, runtime_folder: Path
) -> None:
    async with run(settings(tiny_gguf), load_timeout=60) as engine:
        key = engine.listening.api_key
        for name in ("cmdline", "environ"):
            told = await asyncio.to_thread(Path("/proc", str(engine.pid), name).read_bytes)
            assert told
            assert key.encode() not in told
        assert key not in repr(engine.listening)


@pytest.fixture
def deep_runtime_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(deep))
    return deep


async def test_a_too_long_runtime_folder_falls_back_to_a_loopback_port(
    tiny_gguf: Path, deep_runtime_folder: Path
) -> None:
    async with run(settings(tiny_gguf), load_timeout=60) as engine:
        assert engine.listening.unix_socket is None
        assert engine.listening.base_url.startswith("http://127.0.0.1:")
        async with (
            aiohttp.ClientSession() as session,
            session.get(
                f"{engine.listening.base_url}/models",
                headers={"authorization": f"Bearer {engine.listening.api_key}"},
            ) as answer,
        ):
            assert answer.status == 200


async def test_leaving_the_block_ends_the_child(tiny_gguf: Path, runtime_folder: Path) -> None:
    async with run(settings(tiny_gguf), load_timeout=60) as engine:
        pid = engine.pid
    assert gone(pid)


def test_the_same_under_uvloop(tiny_gguf: Path, runtime_folder: Path) -> None:
    async def whole_life() -> tuple[int, int, str]:
        async with run(settings(tiny_gguf), load_timeout=60) as engine:
            socket = engine.listening.unix_socket
            assert socket is not None
            answered = await status_of("/models", socket, engine.listening.api_key)
            os.kill(engine.pid, signal.SIGKILL)
            return engine.pid, answered, await engine.ended()

    pid, answered, how = uvloop.run(whole_life())
    assert (answered, how) == (200, "signal SIGKILL")
    assert gone(pid)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda whole: whole[: len(whole) // 2], "corrupted or incomplete"),
        (lambda whole: b"not a model" * 1000, "expected 'GGUF'"),
        (lambda whole: b"", "failed to read magic"),
    ],
    ids=["truncated", "something else", "empty"],
)
async def test_a_model_that_cannot_be_loaded_is_explained_in_the_engines_words(
    spoil, reason: str, tiny_gguf: Path, tmp_path: Path, runtime_folder: Path
) -> None:
    spoilt = tmp_path / "spoilt.gguf"
    whole = await asyncio.to_thread(tiny_gguf.read_bytes)
    await asyncio.to_thread(spoilt.write_bytes, spoil(whole))
    with pytest.raises(EngineFailed, match=reason) as failure:
        async with run(settings(spoilt), load_timeout=60):
            pass
    assert "\n" not in str(failure.value)


async def test_a_load_that_takes_too_long_is_given_up(tiny_gguf: Path, runtime_folder: Path) -> None:
    with pytest.raises(EngineFailed, match="not loaded after"):
        async with run(settings(tiny_gguf), load_timeout=0.0):
            pass


async def test_cancelled_while_loading_leaves_no_child(
    tiny_gguf: Path, runtime_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []
    spawn = asyncio.create_subprocess_exec
    loading = asyncio.Event()

    async def noting_spawn(*arguments, **options):
        process = await spawn(*arguments, **options)
        started.append(process.pid)
        loading.set()
        return process

    monkeypatch.setattr(asyncio, "create_subprocess_exec", noting_spawn)

    async def load() -> None:
        async with run(settings(tiny_gguf), load_timeout=60):
            await asyncio.Event().wait()

    task = asyncio.create_task(load())
    await loading.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [gone(pid) for pid in started] == [True]


def child_settings(model: Path, socket: Path | None) -> str:
    return json.dumps(
        {
            "model": str(model),
            "alias": "tiny",
            "api_key": "k",
            "socket": None if socket is None else str(socket),
            "context": 2048,
            "parallel": 1,
            "threads": 1,
        }
    )


def started_child(model: Path, socket: Path | None) -> tuple[subprocess.Popen[str], str]:
    child = subprocess.Popen(
        [sys.executable, "-P", str(CHILD)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(child_settings(model, socket) + "\n")
    child.stdin.flush()
    return child, json.loads(child.stdout.readline())["address"]


def test_child_ends_when_its_stdin_closes_and_removes_its_socket(tiny_gguf: Path, tmp_path: Path) -> None:
    socket = tmp_path / "own" / "e.sock"
    child, address = started_child(tiny_gguf, socket)
    assert address == f"unix://{socket}"
    assert socket.is_socket()
    child.communicate()
    assert child.returncode == 0
    assert not socket.parent.exists()


def test_child_ends_on_sigterm(tiny_gguf: Path) -> None:
    child, address = started_child(tiny_gguf, None)
    assert address.startswith("http://127.0.0.1:")
    child.terminate()
    child.communicate()
    assert child.returncode == -signal.SIGTERM


def test_child_ignores_the_terminals_ctrl_c(tiny_gguf: Path) -> None:
    child, _ = started_child(tiny_gguf, None)
    child.send_signal(signal.SIGINT)
    child.communicate()  # its stdin closes, and that is what ends it
    assert child.returncode == 0


def test_child_without_settings_does_nothing() -> None:
    child = subprocess.run([sys.executable, "-P", str(CHILD)], input="", capture_output=True, text=True)
    assert (child.returncode, child.stdout, child.stderr) == (0, "", "")
