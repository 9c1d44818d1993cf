"""What is told to systemd, as its socket gets it."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from maestro_daemon.errors import ConfigInvalid
from maestro_daemon.service.notify import Notifier
from maestro_daemon.service.supervised import Supervised, watchdog_of


class Manager:
    """The other end of `$NOTIFY_SOCKET`."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address.replace("@", "\0", 1))
        self.socket.setblocking(False)

    def heard(self) -> list[str]:
        """The messages so far."""
        messages = []
        while True:
            try:
                messages.append(self.socket.recv(65536).decode())
            except BlockingIOError:
                return messages

    async def hears(self, text: str) -> list[str]:
        """The messages up to and with the one that holds the text."""
        loop = asyncio.get_running_loop()
        messages: list[str] = []
        while not messages or text not in messages[-1]:
            messages.append((await loop.sock_recv(self.socket, 65536)).decode())
        return messages


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    path = f"@maestro-test-{os.getpid()}" if request.param == "abstract" else str(tmp_path / "notify")
    made = Manager(path)
    yield made
    made.socket.close()


def test_messages_arrive_and_the_variable_is_gone(manager: Manager) -> None:
    environ = {"NOTIFY_SOCKET": manager.address, "HOME": "/"}
    notifier = Notifier.of_environment(environ)
    assert environ == {"HOME": "/"}
    assert notifier.is_heard
    notifier.tell("READY=1", "STATUS=two\nlines")
    notifier.close()
    assert manager.heard() == ["READY=1\nSTATUS=two lines"]


@pytest.mark.parametrize("address", ["", "relative", "@", "/nowhere/at/all"])
def test_without_anybody_to_tell_nothing_happens(address: str) -> None:
    notifier = Notifier.of_environment({"NOTIFY_SOCKET": address})
    assert not notifier.is_heard
    notifier.tell("READY=1")
    notifier.close()


async def test_what_a_busy_manager_cannot_take_comes_a_moment_later_and_in_order(tmp_path: Path) -> None:
    manager = Manager(str(tmp_path / "busy"))
    notifier = Notifier(manager.address)
    # As many as the kernel holds for one sender, or for one receiver, and some more.
    queue = int(await asyncio.to_thread(Path("/proc/sys/net/unix/max_dgram_qlen").read_text))
    sent = [f"STATUS={number}" for number in range(min(queue, 278) + 20)]
    for each in sent:
        notifier.tell(each)
    assert await manager.hears(sent[-1]) == sent
    notifier.close()
    manager.socket.close()


def test_a_watchdog_meant_for_another_process_is_not_ours() -> None:
    ours = {"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}
    assert watchdog_of(ours) == 3.0
    assert ours == {}
    assert watchdog_of({"WATCHDOG_USEC": "3000000"}) == 3.0
    assert watchdog_of({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}) is None
    assert watchdog_of({"WATCHDOG_USEC": "soon"}) is None
    assert watchdog_of({}) is None


async def test_more_time_is_asked_for_while_the_daemon_ends(manager: Manager) -> None:
    supervised = Supervised(Notifier(manager.address))
    async with supervised.stopping(lambda: "stopping"):
        heard = await manager.hears("EXTEND_TIMEOUT_USEC=15000000")
    assert heard[0] == "STOPPING=1\nSTATUS=stopping"
    supervised.close()


async def test_messages_come_in_the_order_of_what_happens(manager: Manager) -> None:
    supervised = Supervised(Notifier(manager.address))
    async with supervised.serving(lambda: "serving a\nb"):
        with supervised.reloading():
            pass
    async with supervised.stopping(lambda: "stopping"):
        pass
    supervised.failed("x" * 1000)
    supervised.close()
    heard = manager.heard()
    assert heard[0] == "READY=1\nSTATUS=serving a b"
    assert heard[1].startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert heard[2] == "READY=1\nSTATUS=serving a b"
    assert heard[3] == "STOPPING=1\nSTATUS=stopping"
    assert len(heard[-1]) < 520


async def test_a_configuration_that_was_refused_is_shown_until_another_is_right(manager: Manager) -> None:
    supervised = Supervised(Notifier(manager.address))
    async with supervised.serving(lambda: "serving"):
        with pytest.raises(ConfigInvalid), supervised.reloading():
            raise ConfigInvalid("c.toml:1:1: wrong")
        with supervised.reloading():
            pass
    supervised.close()
    heard = manager.heard()
    assert heard[2] == "READY=1\nSTATUS=serving; not taken over: c.toml:1:1: wrong"
    assert heard[4] == "READY=1\nSTATUS=serving"


async def test_the_watchdog_is_fed_while_the_loop_turns(manager: Manager) -> None:
    supervised = Supervised(Notifier(manager.address), 0.04)
    async with supervised.serving(lambda: "on"):
        await manager.hears("WATCHDOG=1")
    supervised.close()


async def test_a_loop_that_is_held_up_is_not_vouched_for(manager: Manager) -> None:
    times = iter(range(0, 100_000, 10))  # each look at the clock finds it ten seconds later
    lines = iter(range(100_000))
    supervised = Supervised(Notifier(manager.address), 0.04, clock=lambda: float(next(times)))
    async with supervised.serving(lambda: f"line {next(lines)}"):
        heard = await manager.hears("line 5")
    assert "WATCHDOG=1" not in "\n".join(heard)
    supervised.close()


async def test_without_systemd_nothing_runs() -> None:
    before = asyncio.all_tasks()
    supervised = Supervised.of_environment({})
    async with supervised.serving(str):
        assert asyncio.all_tasks() == before
    async with supervised.stopping(str):
        assert asyncio.all_tasks() == before
    supervised.close()
