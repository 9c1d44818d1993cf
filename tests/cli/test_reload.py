"""``reload`` and SIGHUP, with a daemon that is a process of its own."""

from __future__ import annotations

import json
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import PROGRAM, Daemon, Place
from tests.support.processes import children, wait_until_gone
from tests.support.terminal import at_terminal
from tests.support.tiny_gguf import write_tiny_gguf

CLOSED = "http://127.0.0.1:1/v1"
"""A port of this machine where nobody listens."""

TEXT = f"""
[server]
port = 0
[providers.home]
kind = "local"
base_url = "{CLOSED}"
[routes.coder]
targets = ["home/a"]
"""
MORE = '[routes.chat]\ntargets = ["home/b"]\n'


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def daemon(place: Place) -> Iterator[Daemon]:
    """One that serves `TEXT`."""
    place.write(TEXT)
    with place.serve() as running:
        running.lines_until("route coder")
        yield running


def routes(place: Place) -> list[str]:
    return list(json.loads(place.run("status", "--json").stdout)["routes"])


def lines(daemon: Daemon, event: str) -> list[dict[str, Any]]:
    """The whole lines of the log so far that are of that event."""
    whole = daemon.log.rpartition("\n")[0].splitlines()
    return [line for line in map(json.loads, whole) if line["event"] == event]


def until(happened: Callable[[], Any]) -> Any:
    """What `happened` gives once it is true; the test's own timeout bounds it."""
    while not (found := happened()):
        time.sleep(0.01)
    return found


@contextmanager
def unfinished_request(url: str) -> Iterator[None]:
    """A request whose body does not come while the block runs: a daemon that ends waits for it."""
    host, port = url.removeprefix("http://").removesuffix("/v1").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(b"POST /v1/responses HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n{")
        yield


def test_what_changed_is_said_and_in_force(place: Place, daemon: Daemon) -> None:
    place.write(TEXT.replace("port = 0", 'port = 1\ndrain = "3s"') + MORE)
    done = place.run("reload")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"{place.folder / 'maestro.toml'}: taken over",
        "added: routes.chat",
        "changed: server.drain",
        "as before until the daemon is restarted: server.port",
    ]
    assert routes(place) == ["coder", "chat"]
    again = place.run("reload", "--json")
    assert json.loads(again.stdout) == {
        "reloaded": True,
        "config": str(place.folder / "maestro.toml"),
        "added": [],
        "removed": [],
        "changed": [],
        "restart": ["server.port"],
        "problems": {},
    }
    place.write(TEXT)
    assert place.run("reload").stdout.splitlines()[1:] == ["removed: routes.chat", "changed: server.drain"]
    assert place.run("reload").stdout.splitlines()[1:] == ["nothing changed"]
    assert daemon.end() == 0
    assert "Traceback" not in daemon.log


def test_a_wrong_configuration_is_78_with_the_lines_of_check_and_the_earlier_one_serves(
    place: Place, daemon: Daemon
) -> None:
    path = place.write(TEXT + MORE + "[serve]\n")
    done = place.run("reload")
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr == place.run("check", "--config", str(path)).stderr
    assert done.stderr.endswith(": serve: unknown key; did you mean 'server'?\n")
    told = place.run("reload", "--json")
    assert told.returncode == 78
    assert json.loads(told.stdout) == {"reloaded": False, "faults": done.stderr.splitlines()}
    path.unlink()
    gone = place.run("reload")
    assert (gone.returncode, gone.stderr) == (78, f"{path}: cannot be read: No such file or directory.\n")
    assert routes(place) == ["coder"]
    assert len(lines(daemon, "configuration not taken over, the earlier one stays")) == 3


def test_without_a_daemon_it_is_one_sentence_and_1(place: Place) -> None:
    done = place.run("reload")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: No maestro-daemon is running here (nobody listens on ")


def test_sighup_reads_it_anew_and_the_log_says_what_changed(place: Place, daemon: Daemon) -> None:
    place.write(TEXT + MORE)
    daemon.process.send_signal(signal.SIGHUP)
    (line,) = until(lambda: lines(daemon, "configuration taken over"))
    assert line["added"] == ["routes.chat"]
    assert routes(place) == ["coder", "chat"]
    place.write("[")
    daemon.process.send_signal(signal.SIGHUP)
    (line,) = until(lambda: lines(daemon, "configuration not taken over, the earlier one stays"))
    assert line["level"] == "error"
    assert line["faults"][0].startswith(f"{place.folder / 'maestro.toml'}:1:")
    assert routes(place) == ["coder", "chat"]
    assert daemon.end() == 0


def test_while_it_ends_nothing_is_read_anew(place: Place) -> None:
    place.write(TEXT)
    with place.serve() as daemon:
        (url,) = daemon.lines_until("http://")
        with unfinished_request(url):
            until(lambda: json.loads(place.run("status", "--json").stdout)["in_flight"])
            daemon.process.send_signal(signal.SIGTERM)
            until(lambda: lines(daemon, "stopping"))
            place.write(TEXT + MORE)
            done = place.run("reload")
            daemon.process.send_signal(signal.SIGHUP)
            until(lambda: lines(daemon, "configuration not read anew"))
        assert (done.returncode, done.stderr) == (
            1,
            "Error: The daemon is being stopped: its configuration is not read anew.\n",
        )
        assert daemon.process.wait(20) == 0
        assert not lines(daemon, "configuration taken over")


def test_an_embedded_engine_goes_on_unless_its_own_table_changed(place: Place) -> None:
    write_tiny_gguf(place.folder / "tiny.gguf")
    text = '[server]\nport = 0\n[providers.home]\nkind = "local"\nengine = "embedded"\nmodel = "tiny.gguf"\n'
    place.write(text)
    with place.serve() as daemon:
        assert "tiny" in daemon.lines_until("provider home")[-1]
        (engine,) = children(daemon.process.pid)
        place.write(f'{text}affinity = "1s"\n{MORE.replace("home/b", "home/tiny")}')
        assert place.run("reload").stdout.splitlines()[1:] == [
            "added: routes.chat",
            "changed: providers.home.affinity",
        ]
        assert children(daemon.process.pid) == [engine]
        place.write(text + "context = 512\n")
        assert place.run("reload").returncode == 0
        wait_until_gone(engine)
        (other,) = children(daemon.process.pid)
        assert daemon.end() == 0
    wait_until_gone(other)


def test_providers_that_are_found_are_looked_for_anew(place: Place) -> None:
    place.write("[server]\nport = 0\n")
    found = {"OPENAI_API_KEY": "sk-hunter22", "HTTPS_PROXY": CLOSED}
    with place.serve(**found) as daemon:
        daemon.lines_until("clients:")
        before = json.loads(place.run("status", "--json").stdout)["providers"]
        assert "openai" in before
        assert place.run("reload").returncode == 0
        assert json.loads(place.run("status", "--json").stdout)["providers"].keys() == before.keys()
        assert "hunter" not in daemon.log


@pytest.mark.parametrize("stays", [False, True], ids=["alone", "nohup"])
def test_the_end_of_its_terminal_ends_the_daemon_unless_it_was_told_to_stay(
    place: Place, *, stays: bool
) -> None:
    place.write(TEXT)
    command = [*(["/usr/bin/env", "nohup"] if stays else []), PROGRAM, "serve"]
    with at_terminal(command, cwd=place.folder, environ=place.environ) as shown:
        shown.until("nohup: " if stays else "route coder")
        status = until(lambda: place.run("status", "--json").stdout)
        shown.hang_up()
        if stays:
            assert json.loads(place.run("reload", "--json").stdout)["reloaded"]
            assert json.loads(place.run("status", "--json").stdout)["pid"] == json.loads(status)["pid"]
            shown.process.terminate()
        assert shown.process.wait(20) == 0
