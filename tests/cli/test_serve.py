"""``serve`` as a process: what it prints, how it ends, and who can ask it."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import Place
from tests.support.fake_upstream import FakeUpstream

CLOSED = "http://127.0.0.1:1/v1"
"""A port of this machine where nobody listens."""


def config(url: str = CLOSED, *, port: int = 0) -> str:
    return f"""
        [server]
        port = {port}
        [providers.home]
        kind = "local"
        base_url = "{url}"
        [routes.coder]
        targets = ["home/a", "home/b"]
        fallbacks = ["home/c"]
    """


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


async def off_loop(function: Callable[..., Any], *arguments: Any) -> Any:
    return await asyncio.to_thread(function, *arguments)


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=20) as answer:
        return json.load(answer)


async def test_the_base_url_comes_first_then_what_is_served(place: Place, upstream: FakeUpstream) -> None:
    def run() -> tuple[list[str], Any, int, str]:
        place.write(config(upstream.url))
        with place.serve() as daemon:
            lines = daemon.lines_until("route ")
            listed = get(f"{lines[0]}/models")
            return lines, listed, daemon.end(), daemon.log

    lines, listed, status, log = await off_loop(run)
    assert lines[0].startswith("http://127.0.0.1:")
    assert lines[0].endswith("/v1")
    assert lines[1:] == [
        f"configuration: {place.folder / 'maestro.toml'}",
        "clients: programs on this machine, without a key",
        "provider home (local): gpt-test",
        "route coder: home/a, home/b in turn; after all failed home/c",
    ]
    assert {"coder", "home/gpt-test"} <= {model["id"] for model in listed["data"]}
    assert status == 0
    assert "Traceback" not in log


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly(place: Place, number: signal.Signals) -> None:
    place.write(config())
    with place.serve() as daemon:
        daemon.lines_until("http://")
        assert daemon.end(number) == 0
        assert "Traceback" not in daemon.log
    assert not place.socket.exists()


def test_a_provider_that_is_down_never_stops_the_start_and_is_said(place: Place) -> None:
    place.write(config())
    with place.serve() as daemon:
        lines = daemon.lines_until("route ")
        assert lines[3].startswith("provider home (local): ")
        assert "cannot be reached" in lines[3]


def test_the_log_is_json_when_stderr_is_no_terminal(place: Place) -> None:
    place.write(config())
    with place.serve() as daemon:
        daemon.lines_until("route ")
        daemon.end()
        lines = [json.loads(line) for line in daemon.log.splitlines()]
    assert "models not read" in {line["event"] for line in lines}


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()
        yield one.getsockname()[1]


def test_a_port_in_use_is_one_sentence(place: Place, taken: int) -> None:
    place.write(config(port=taken))
    done = place.run("serve", "--log-level", "error")
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line == (
        f"Error: 127.0.0.1:{taken} is in use by another program: stop it, or set another [server] port."
    )


def test_a_host_that_is_not_there_is_not_blamed_on_another_program(place: Place) -> None:
    place.write('[server]\nhost = "nowhere.invalid"\nport = 8787\n[clients.one]\nkey = "k"\n')
    done = place.run("serve", "--log-level", "error")
    assert done.returncode == 1
    assert done.stderr == (
        "Error: Cannot listen on nowhere.invalid:8787: the name is not known; "
        "set another [server] host or port.\n"
    )


def test_a_wrong_configuration_ends_with_78_and_a_line_per_fault(place: Place) -> None:
    path = place.write("[server]\nprot = 1\n[serve]\n")
    done = place.run("serve")
    assert done.returncode == 78
    assert done.stderr.splitlines() == [
        "maestro.toml:2:1: server.prot: unknown key; did you mean 'port'?",
        "maestro.toml:3:1: serve: unknown key; did you mean 'server'?",
    ]
    named = place.run("serve", "--config", str(path))
    assert named.stderr.startswith(f"{path}:2:1: ")


def test_a_reader_that_leaves_does_not_end_the_daemon(place: Place) -> None:
    place.write(config())
    with place.serve() as daemon:
        (url,) = daemon.lines_until("http://")
        daemon.stdout.close()
        assert get(f"{url.removesuffix('/v1')}/healthz") == {"status": "ok"}
        assert daemon.end() == 0
        assert "Traceback" not in daemon.log


def test_without_providers_what_is_found_is_served_and_said(place: Place) -> None:
    place.write("[server]\nport = 0\n")
    with place.serve(OPENAI_API_KEY="sk-hunter22", HTTPS_PROXY=CLOSED) as daemon:
        lines = daemon.lines_until("clients:")
        assert "no [providers] are configured, so this is served:" in lines
        assert "  openai: the environment holds OPENAI_API_KEY" in lines
        assert "hunter" not in daemon.log + "\n".join(lines)


def test_status_asks_the_running_daemon(place: Place) -> None:
    place.write(config())
    with place.serve() as daemon:
        lines = daemon.lines_until("route ")
        shown = place.run("status")
        status = json.loads(place.run("status", "--json").stdout)
        named = place.run("status", "--socket", str(place.socket))
    assert shown.returncode == named.returncode == 0
    assert lines[0] in shown.stdout
    assert "home/a, home/b" in shown.stdout
    assert "\x1b" not in shown.stdout
    assert status["pid"] == daemon.process.pid
    assert status["urls"] == [lines[0]]
    assert status["config"] == str(place.folder / "maestro.toml")
    assert status["routes"]["coder"]["targets"] == ["home/a", "home/b"]
    assert "cannot be reached" in status["providers"]["home"]["problem"]


async def test_models_asks_the_running_daemon(place: Place, upstream: FakeUpstream) -> None:
    def run() -> tuple[Any, str, Any]:
        place.write(config(upstream.url))
        with place.serve() as daemon:
            daemon.lines_until("route ")
            asked = json.loads(place.run("models", "--json").stdout)
            shown = place.run("models").stdout
        direct = json.loads(place.run("models", "--json").stdout)
        return asked, shown, direct

    asked, shown, direct = await off_loop(run)
    assert [model["id"] for model in asked["models"]] == ["home/gpt-test"]
    assert "home/gpt-test" in shown
    assert direct == asked


def test_a_second_daemon_goes_without_the_socket_unless_it_was_named(place: Place) -> None:
    place.write(config())
    with place.serve() as first:
        (url,) = first.lines_until("http://")
        named = place.run("serve", "--socket", str(place.socket))
        assert named.returncode == 1
        assert "already running" in named.stderr.splitlines()[-1]
        with place.serve() as second:
            (other,) = second.lines_until("http://")
            assert other != url
            assert second.end() == 0
        assert json.loads(place.run("status", "--json").stdout)["urls"] == [url]


def test_a_socket_left_by_a_killed_daemon_is_replaced(place: Place) -> None:
    place.write(config())
    with place.serve() as first:
        first.lines_until("http://")
        first.process.kill()
        first.process.wait()
    assert place.socket.exists()
    assert place.run("status").returncode == 1
    with place.serve() as second:
        second.lines_until("http://")
        assert json.loads(place.run("status", "--json").stdout)["pid"] == second.process.pid


def test_a_broken_plugin_does_not_stop_the_daemon(place: Place) -> None:
    packages = place.folder / "packages"
    metadata = packages / "broken_plugin-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-plugin\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[maestro_daemon]\nbroken = broken_plugin\n")
    (packages / "broken_plugin.py").write_text("raise RuntimeError('not today')\n")
    place.environ["PYTHONPATH"] = str(packages)
    place.write(config())
    with place.serve() as daemon:
        daemon.lines_until("route ")
        assert daemon.end() == 0
        lines = [json.loads(line) for line in daemon.log.splitlines()]
    (line,) = [line for line in lines if line["event"] == "plugin not loaded"]
    assert (line["plugin"], line["distribution"]) == ("broken", "broken-plugin")
    shown = place.run("plugins")
    assert shown.returncode == 0
    assert "broken is broken: RuntimeError: not today" in shown.stdout
    rows = json.loads(place.run("plugins", "--json").stdout)["plugins"]
    assert {row["name"]: row["state"] for row in rows} == {
        "broken": "broken",
        "copilot": "loaded",
        "local": "loaded",
        "openai": "loaded",
    }


def test_a_plugins_command_is_there_and_in_the_help(place: Place) -> None:
    packages = place.folder / "packages"
    metadata = packages / "greeter-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: greeter\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[maestro_daemon]\ngreeter = greeter\n")
    (packages / "greeter.py").write_text(
        "import click\n"
        "from maestro_daemon.plugin import hookimpl\n"
        "@hookimpl\n"
        "def maestro_register_commands(cli):\n"
        "    @cli.command(short_help='Greet.')\n"
        "    def greet():\n"
        "        click.echo('good day')\n"
    )
    place.environ["PYTHONPATH"] = str(packages)
    assert place.run("greet").stdout == "good day\n"
    assert "greet" in place.run("--help").stdout
