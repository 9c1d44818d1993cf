from __future__ import annotations

import asyncio
import os
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from maestro_daemon.errors import RequestInvalid
from maestro_daemon.server import control, control_socket
from maestro_daemon.server.control import ControlRefused
from maestro_daemon.server.control_socket import ControlUnreachable, ask, default_path, follow, tell

ASK = """
import os, sys
from pathlib import Path
from maestro_daemon.server.control_socket import ask, ControlUnreachable
os.setuid(int(sys.argv[2]))
try:
    print(ask(Path(sys.argv[1]), "/status"))
except ControlUnreachable as error:
    print(error)
"""


async def off_loop(function: Callable[..., Any], *arguments: Any) -> Any:
    return await asyncio.to_thread(function, *arguments)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "control.sock"


async def test_status_goes_from_the_daemon_to_whoever_asks(path):
    async with control.serve(path, control.Surface({"/status": lambda: {"pid": 7}})):
        assert await off_loop(ask, path, "/status") == {"pid": 7}


async def test_each_question_is_answered_anew(path):
    answers = iter([{"n": 1}, {"n": 2}])
    async with control.serve(path, control.Surface({"/status": lambda: next(answers)})):
        assert await off_loop(ask, path, "/status") == {"n": 1}
        assert await off_loop(ask, path, "/status") == {"n": 2}


async def test_only_the_owner_can_open_the_socket_and_its_directory(path):
    async with control.serve(path, control.Surface({"/status": dict})):
        socket_file, directory = await off_loop(path.lstat), await off_loop(path.parent.lstat)
    assert stat.S_IMODE(socket_file.st_mode) == 0o600
    assert stat.S_IMODE(directory.st_mode) == 0o700


async def test_the_socket_is_gone_afterwards(path):
    async with control.serve(path, control.Surface({"/status": dict})):
        assert await off_loop(path.exists)
    assert not await off_loop(path.exists)


def bound(path: Path) -> socket.socket:
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    one = socket.socket(socket.AF_UNIX)
    one.bind(str(path))
    return one


async def test_a_socket_that_nobody_listens_on_is_replaced(path):
    (await off_loop(bound, path)).close()
    async with control.serve(path, control.Surface({"/status": lambda: {"new": True}})):
        assert await off_loop(ask, path, "/status") == {"new": True}


async def test_a_live_socket_is_refused_and_goes_on_working(path):
    async with control.serve(path, control.Surface({"/status": lambda: {"first": True}})):
        with pytest.raises(ControlRefused, match=r"already running.*--socket"):
            async with control.serve(path, control.Surface({"/status": dict})):
                pass
        assert await off_loop(ask, path, "/status") == {"first": True}


@pytest.fixture
def occupied(path: Path) -> Path:
    path.parent.mkdir()
    path.write_text("mine")
    return path


async def test_a_file_that_is_no_socket_is_left_alone(occupied):
    with pytest.raises(ControlRefused, match="is no socket"):
        async with control.serve(occupied, control.Surface({"/status": dict})):
            pass
    assert await off_loop(occupied.read_text) == "mine"


async def test_a_socket_that_another_daemon_put_there_stays(path):
    async with control.serve(path, control.Surface({"/status": dict})):
        other = await off_loop(bound, path)
    other.close()
    assert await off_loop(path.exists)


async def test_a_place_that_cannot_be_written_is_one_sentence(occupied):
    with pytest.raises(ControlRefused, match="cannot be made"):
        async with control.serve(occupied / "control.sock", control.Surface({"/status": dict})):
            pass


async def test_a_path_that_is_too_long_for_a_socket_is_one_sentence(tmp_path):
    path = tmp_path / ("x" * 120)
    with pytest.raises(ControlRefused, match="longer than 107 bytes"):
        async with control.serve(path, control.Surface({"/status": dict})):
            pass
    with pytest.raises(ControlUnreachable, match="longer than 107 bytes"):
        ask(path, "/status")


async def test_unknown_paths_are_answered_in_the_envelope(path):
    async with control.serve(path, control.Surface({"/status": dict})):
        with pytest.raises(ControlUnreachable, match="does not serve GET /nothing"):
            await off_loop(ask, path, "/nothing")


async def test_a_status_that_fails_is_a_sentence_without_its_text(path):
    def fail():
        raise RuntimeError("secret detail")

    async with control.serve(path, control.Surface({"/status": fail})):
        with pytest.raises(ControlUnreachable) as caught:
            await off_loop(ask, path, "/status")
    assert "secret" not in str(caught.value)
    assert "log says why" in str(caught.value)


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that every user can enter."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_another_user_is_refused_even_if_the_file_lets_him_in(open_directory, loop):
    path = open_directory / "control.sock"

    async def asked_by(user: int) -> str:
        async with control.serve(path, control.Surface({"/status": lambda: {"pid": 7}})):
            await off_loop(path.chmod, 0o666)
            done = await asyncio.to_thread(
                subprocess.run,
                [sys.executable, "-c", ASK, str(path), str(user)],
                capture_output=True,
                text=True,
                check=True,
            )
            return done.stdout.strip()

    with asyncio.Runner(loop_factory=loop) as runner:
        assert runner.run(asked_by(65534)) == (
            "Only root and the daemon's own user may use the control socket."
        )
        assert runner.run(asked_by(0)) == "{'pid': 7}"


def test_nobody_listening_says_how_to_start(path):
    with pytest.raises(ControlUnreachable, match=r"No maestro-daemon is running here.*serve"):
        ask(path, "/status")


def test_something_else_on_the_socket_is_said_so(path):
    with bound(path) as listening:
        listening.listen()

        def hang_up():
            with listening.accept()[0] as connection:
                connection.recv(4096)
                connection.sendall(b"SSH-2.0-nonsense\r\n")

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(ControlUnreachable, match="does not answer as a maestro-daemon"):
            ask(path, "/status")
        thread.join()


def test_a_daemon_that_is_stuck_does_not_hold_the_command(path):
    with bound(path) as listening:
        listening.listen()
        with pytest.raises(ControlUnreachable, match=r"did not answer within 0\.05 s"):
            ask(path, "/status", timeout=0.05)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"RUNTIME_DIRECTORY": "/run/maestro-daemon", "XDG_RUNTIME_DIR": "/x"}, "/run/maestro-daemon"),
        ({"RUNTIME_DIRECTORY": "/run/a:/run/b"}, "/run/a"),
        ({"XDG_RUNTIME_DIR": "/run/user/7", "HOME": "/h"}, "/run/user/7/maestro-daemon"),
        ({"XDG_STATE_HOME": "/s", "HOME": "/h"}, "/s/maestro-daemon"),
        ({"HOME": "/h"}, "/h/.local/state/maestro-daemon"),
    ],
)
def test_the_path_follows_the_runtime_directory(environ, expected):
    assert default_path(environ) == Path(expected, "control.sock")


def test_the_system_daemon_is_asked_when_the_user_has_none(tmp_path, monkeypatch):
    system = tmp_path / "system.sock"
    monkeypatch.setattr(control_socket, "_SYSTEM_SOCKET", system)
    environ = {"XDG_RUNTIME_DIR": str(tmp_path)}
    assert control_socket.find(environ) == tmp_path / "maestro-daemon" / "control.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(system))
        assert control_socket.find(environ) == system


def test_a_socket_that_a_killed_daemon_left_does_not_hide_the_system_daemon(tmp_path, monkeypatch):
    system = tmp_path / "system.sock"
    monkeypatch.setattr(control_socket, "_SYSTEM_SOCKET", system)
    own = tmp_path / "maestro-daemon" / "control.sock"
    own.parent.mkdir()
    environ = {"XDG_RUNTIME_DIR": str(tmp_path)}
    with socket.socket(socket.AF_UNIX) as of_the_system, socket.socket(socket.AF_UNIX) as of_the_user:
        of_the_system.bind(str(system))
        of_the_user.bind(str(own))
        assert control_socket.find(environ) == system
        of_the_user.listen()
        assert control_socket.find(environ) == own


def test_who_may_not_ask_the_machines_daemon_is_told_how_it_is_asked(tmp_path, monkeypatch):
    unit = tmp_path / "maestro-daemon.service"
    monkeypatch.setattr(control_socket, "_SYSTEM_UNIT", unit)
    monkeypatch.setattr(control_socket, "_SYSTEM_SOCKET", tmp_path / "control.sock")
    assert control_socket.other_daemon() is None
    unit.touch()
    assert "systemctl start maestro-daemon" in control_socket.other_daemon()
    with pytest.raises(ControlUnreachable, match=r"nobody listens .* systemctl start maestro-daemon\.$"):
        control_socket.ask(tmp_path / "nowhere.sock", "/status")

    class OfRoot:
        def lstat(self):
            raise PermissionError

    monkeypatch.setattr(control_socket, "_SYSTEM_SOCKET", OfRoot())
    assert "sudo" in control_socket.other_daemon()


# Questions, actions and flows


async def test_a_question_gets_its_query_and_an_action_its_fields(path):
    async def echo(fields: Any) -> dict[str, Any]:
        return {"asked": dict(fields)}

    surface = control.Surface(questions={"/quota": echo}, actions={"/logout": echo})
    async with control.serve(path, surface):
        assert await off_loop(ask, path, "/quota", {"provider": "a b&c"}) == {"asked": {"provider": "a b&c"}}
        assert await off_loop(ask, path, "/quota") == {"asked": {}}
        assert await off_loop(tell, path, "/logout", {"provider": 5}) == {"asked": {"provider": 5}}
        with pytest.raises(ControlUnreachable, match="does not serve GET /logout"):
            await off_loop(ask, path, "/logout")


async def test_what_an_action_refuses_is_its_sentence(path):
    async def refuse(fields: Any) -> dict[str, Any]:
        raise RequestInvalid("There is no provider 'x' here.")

    async with control.serve(path, control.Surface(actions={"/logout": refuse})):
        with pytest.raises(ControlUnreachable, match=r"^There is no provider 'x' here\.$"):
            await off_loop(tell, path, "/logout", {})
        with pytest.raises(ControlUnreachable, match="must be a JSON object"):
            await off_loop(tell, path, "/logout", [])


class Flow:
    """Gives what is put into it, and knows when it was closed."""

    def __init__(self) -> None:
        self.steps: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self.entered = asyncio.Event()
        self.closed = asyncio.Event()
        self.asked: Any = None

    async def __call__(self, fields: Any) -> AsyncGenerator[dict[str, Any], None]:
        self.asked = fields
        self.entered.set()
        try:
            while (step := await self.steps.get()) is not None:
                yield step
        finally:
            self.closed.set()


async def test_the_steps_of_a_flow_come_as_they_happen(path):
    flow = Flow()
    async with control.serve(path, control.Surface(flows={"/login": flow})):
        steps = follow(path, "/login", {"provider": "work"})
        for step in ({"step": "code", "code": "Ä\n"}, {"step": "waiting"}):
            flow.steps.put_nowait(step)
            assert await off_loop(next, steps) == step
        flow.steps.put_nowait(None)
        assert await off_loop(list, steps) == []
    assert flow.asked == {"provider": "work"}


async def test_whoever_leaves_a_flow_ends_it(path):
    flow = Flow()
    async with control.serve(path, control.Surface(flows={"/login": flow})):
        steps = follow(path, "/login", {})
        flow.steps.put_nowait({"step": "code"})
        await off_loop(next, steps)
        await off_loop(steps.close)
        await flow.closed.wait()


async def test_whoever_leaves_before_the_first_step_ends_the_flow_too(path):
    flow = Flow()
    async with control.serve(path, control.Surface(flows={"/login": flow})):
        _, writer = await asyncio.open_unix_connection(path)
        writer.write(b"POST /login HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}")
        await writer.drain()
        await flow.entered.wait()
        writer.close()
        await flow.closed.wait()


async def test_a_flow_that_refuses_is_a_sentence(path):
    async def refuse(fields: Any) -> AsyncGenerator[dict[str, Any], None]:
        raise RequestInvalid("There is no provider 'x' here.")
        yield {}

    async with control.serve(path, control.Surface(flows={"/login": refuse})):
        with pytest.raises(ControlUnreachable, match="There is no provider 'x' here"):
            await off_loop(list, follow(path, "/login", {}))


async def test_a_flow_cut_off_by_the_daemons_end_is_told(path):
    flow = Flow()
    async with control.serve(path, control.Surface(flows={"/login": flow})):
        steps = follow(path, "/login", {})
        flow.steps.put_nowait({"step": "code"})
        await off_loop(next, steps)
    with pytest.raises(ControlUnreachable, match="ended before its answer was complete"):
        await off_loop(list, steps)
    assert flow.closed.is_set()


async def test_a_flow_that_says_nothing_for_too_long_is_told(path):
    flow = Flow()
    async with control.serve(path, control.Surface(flows={"/login": flow})):
        with pytest.raises(ControlUnreachable, match=r"did not answer within 0\.5 s"):
            await off_loop(list, follow(path, "/login", {}, timeout=0.5))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_another_user_can_neither_act_nor_follow(open_directory):
    path = open_directory / "control.sock"
    asked: list[Any] = []

    async def act(fields: Any) -> dict[str, Any]:
        asked.append(fields)
        return {}

    async def flow(fields: Any) -> AsyncGenerator[dict[str, Any], None]:
        asked.append(fields)
        yield {}

    program = ASK.replace("import ask,", "import follow, tell,").replace(
        'ask(Path(sys.argv[1]), "/status")', "CALL"
    )

    async def asked_by_nobody(call: str) -> str:
        async with control.serve(path, control.Surface(actions={"/logout": act}, flows={"/login": flow})):
            await off_loop(path.chmod, 0o666)
            done = await asyncio.to_thread(
                subprocess.run,
                [sys.executable, "-c", program.replace("CALL", call), str(path), "65534"],
                capture_output=True,
                text=True,
                check=True,
            )
            return done.stdout.strip()

    for call in ("tell(Path(sys.argv[1]), '/logout', {})", "list(follow(Path(sys.argv[1]), '/login', {}))"):
        assert asyncio.run(asked_by_nobody(call)) == (
            "Only root and the daemon's own user may use the control socket."
        )
    assert asked == []
