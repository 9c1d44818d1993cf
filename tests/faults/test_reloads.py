"""Many reloads under load: no request is lost, and nothing of an earlier configuration is left."""

from __future__ import annotations

import asyncio
import gc
import os
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from maestro_daemon.generation import Generation
from maestro_daemon.server.control_socket import ask, tell
from tests.support.answering_upstream import AnsweringUpstream, answering_upstreams
from tests.support.faults.cell import nothing_left
from tests.support.house import parse_stream
from tests.support.serving import serving_beside
from tests.support.standing import SERVER, provider, route, standing, until

CLIENTS = 12


def configuration(number: int, upstreams: dict[str, AnsweringUpstream]) -> str:
    """`kept` is always the same, `changed` always another, and `fleeting` is there every second time."""
    text = SERVER + f'keepalive = "{10 + number}s"\n'
    text += provider("kept", upstreams["kept"].url)
    text += provider("changed", upstreams["changed"].url, f'idle_timeout = "{100 + number}s"')
    targets = ["kept/m", "changed/m"]
    if number % 2:
        text += provider("fleeting", upstreams["fleeting"].url)
        targets.append("fleeting/m")
    return text + route("coder", *targets) + f"[breaker]\nfailures = {2 + number % 2}\n"


class Load:
    """Clients that ask one request after the other, JSON and streams in turn, until they are told to stop."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.answered = 0
        self._url = url
        self._session = session
        self._stop = False

    async def _client(self, name: int) -> None:
        while not self._stop:
            self.answered += 1
            stream = self.answered % 2 == 0
            sent = {"model": "coder", "input": "Hi", "stream": stream}
            if stream:
                sent["prompt_cache_key"] = f"conversation {name}"
            async with self._session.post(f"{self._url}/responses", json=sent) as answer:
                raw = await answer.read()
                assert answer.status == 200, raw
                assert answer.headers["x-maestro-attempts"] == "1"
            if stream:
                assert parse_stream(raw)[-1]["type"] == "response.completed"

    @asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        """Ask while the block runs; raises what any client met."""
        async with asyncio.TaskGroup() as group:
            for name in range(CLIENTS):
                group.create_task(self._client(name))
            try:
                yield
            finally:
                self._stop = True


async def reloaded(times: int, load: Load, reload: Callable[[int], Awaitable[None]]) -> None:
    """Reload so many times; at least one request is answered between two of them."""
    for number in range(1, times + 1):
        await reload(number)
        answered = load.answered
        await until(lambda answered=answered: load.answered > answered + 1)  # type: ignore[misc]


@pytest.mark.parametrize(
    "times", [pytest.param(6, id="some"), pytest.param(100, id="hundred", marks=pytest.mark.heavy)]
)
async def test_no_request_is_lost_and_nothing_is_left_of_earlier_configurations(
    times: int, tmp_path: Path, logged: list[MutableMapping[str, Any]]
) -> None:
    generations: list[weakref.ref[Generation]] = []
    async with answering_upstreams("kept", "changed", "fleeting") as upstreams:
        first = configuration(0, upstreams)
        async with nothing_left(logged), standing(tmp_path, first) as daemon:
            load = Load(daemon.url, daemon.session)
            kept = daemon.current.providers["kept"]

            async def reload(number: int) -> None:
                generations.append(weakref.ref(daemon.current))
                await daemon.reload(configuration(number, upstreams))

            async with load.going_on():
                await reloaded(times, load, reload)
            await daemon.daemon.handler.under_way.none()
            await daemon.only_current()
            assert daemon.current.providers["kept"] is kept
            beside = sorted(task.get_name() for task in asyncio.all_tasks() if " of " in task.get_name())
            assert beside == ["catalogue of changed", "catalogue of kept"]
            gc.collect()
            assert [each() for each in generations if each() is not None] == []
            assert len(daemon.daemon.succession.residents) == len(daemon.current.providers)
    assert all(upstream.asked for upstream in upstreams.values())


@pytest.mark.heavy
@pytest.mark.timeout(300)
async def test_a_hundred_reloads_of_a_process_leave_no_descriptor_behind(tmp_path: Path) -> None:
    file = tmp_path / "maestro.toml"
    socket = tmp_path / "maestro-daemon" / "control.sock"
    async with (
        answering_upstreams("kept", "changed", "fleeting") as upstreams,
        serving_beside(configuration(0, upstreams), tmp_path) as url,
    ):

        async def reload(number: int) -> None:
            await asyncio.to_thread(file.write_text, configuration(number, upstreams))
            await asyncio.to_thread(tell, socket, "/reload", {}, timeout=30.0)

        pid = (await asyncio.to_thread(ask, socket, "/status"))["pid"]
        before = await asyncio.to_thread(descriptors, pid)
        async with aiohttp.ClientSession() as session:
            load = Load(url, session)
            async with load.going_on():
                await reloaded(100, load, reload)
        status = await asyncio.to_thread(ask, socket, "/status")
        assert status["answered"] == load.answered
        assert status["earlier_configurations"] == 0
        # Each of the present providers may keep one connection per client; those of a hundred are more.
        assert await asyncio.to_thread(descriptors, pid) <= before + CLIENTS * len(status["providers"])


def descriptors(pid: int) -> int:
    """How many descriptors the process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))
