"""Plugins as strangers make them: by the installed wheel alone, from nothing to an answer and away again."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

import pytest

from tests.support.documents import ROOT, block, blocks
from tests.support.environment import fetching

PAGE: Final = ROOT / "docs" / "plugins.md"
UPSTREAM: Final = block(PAGE, "python", holding="ThreadingHTTPServer")
pytestmark = [pytest.mark.heavy, pytest.mark.timeout(1200)]


class Environment:
    """A virtual environment that holds the daemon's wheel; its commands see nothing of the user's own."""

    def __init__(self, folder: Path, *packages: str | Path) -> None:
        self.bin = folder / "venv" / "bin"
        self.home = folder
        venv.create(folder / "venv", with_pip=True)
        self.run("python", "-m", "pip", "install", "--quiet", *packages)

    @property
    def environ(self) -> dict[str, str]:
        """The environment of its commands."""
        return {
            **fetching(self.home),
            "PATH": f"{self.bin}:{os.environ['PATH']}",
            "XDG_RUNTIME_DIR": str(self.home),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }

    def run(self, *command: str | Path, cwd: Path | None = None, status: int = 0) -> str:
        """What the command prints; it must end with that status."""
        result = subprocess.run(
            command, cwd=cwd or self.home, env=self.environ, capture_output=True, text=True, timeout=600
        )
        assert result.returncode == status, f"{command}: {result.stdout}\n{result.stderr}"
        assert "Traceback" not in result.stderr
        return result.stdout + result.stderr

    @contextmanager
    def running(self, command: str, cwd: Path) -> Iterator[IO[str]]:
        """Run a shell's command beside the block, and end it with the signal of Ctrl-C; gives its stdout."""
        process = subprocess.Popen(
            ["bash", "-c", f"exec env {command}"],
            cwd=cwd,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        assert process.stdout is not None
        try:
            yield process.stdout
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(30)
            finally:
                process.kill()
                process.wait()
                process.stdout.close()


@pytest.fixture
def environment(distributions: tuple[Path, Path], tmp_path: Path) -> Environment:
    return Environment(tmp_path, distributions[1])


@pytest.fixture(scope="module")
def typed(distributions: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """One that also has mypy, and the kit's own dependencies."""
    return Environment(tmp_path_factory.mktemp("typed"), f"{distributions[1]}[testing]", "mypy>=2.4,<3")


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def reachable(port: int) -> None:
    """Return when somebody listens there; two minutes at most."""
    until = time.monotonic() + 120
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            return
        except OSError:
            assert time.monotonic() < until, f"nobody listens on {port}"
            time.sleep(0.02)


def plugins(environment: Environment) -> dict[str, Any]:
    rows = json.loads(environment.run("maestro-daemon", "plugins", "--json"))["plugins"]
    return {row["name"]: row for row in rows}


def text_of(answer: Any) -> str:
    return "".join(part["text"] for item in answer["output"] for part in item["content"])


def test_a_plugin_from_nothing_to_an_answer_and_away(environment: Environment, tmp_path: Path) -> None:
    said = environment.run("maestro-daemon", "plugins", "new", "vega")
    folder = tmp_path / "maestro-daemon-vega"
    for command in [line.strip() for line in said.splitlines() if line.startswith("  ")]:
        if command != f"cd {folder.name}":
            printed = environment.run("bash", "-c", command, cwd=folder)
            assert "pytest" not in command or " passed" in printed
    assert plugins(environment)["vega"]["state"] == "loaded"
    assert plugins(environment)["vega"]["kinds"] == ["vega"]

    upstream, port = free_ports(2)
    (tmp_path / "upstream.py").write_text(
        UPSTREAM.replace("9000", str(upstream)).replace(
            'self.headers["x-api-key"]', 'self.headers["authorization"]'
        )
    )
    served = f"[server]\nport = {port}\n"
    table = f'[providers.v]\nkind = "vega"\nbase_url = "http://127.0.0.1:{upstream}"\napi_key = "sk-v"\n'
    config = tmp_path / "maestro.toml"
    config.touch(mode=0o600)
    config.write_text(served + table)
    with environment.running("python upstream.py", tmp_path):
        reachable(upstream)
        with environment.running("maestro-daemon serve", tmp_path) as printed:
            for line in printed:
                if line.startswith("provider v"):
                    break
            assert "vega-1" in line
            body = json.dumps({"model": "v/vega-1", "input": "Say hello."}).encode()
            request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/responses", body)
            with urllib.request.urlopen(request, timeout=30) as answer:
                assert text_of(json.load(answer)) == "Hello there."
            assert plugins(environment)["vega"]["providers"] == ["v"]

    environment.run("python", "-m", "pip", "uninstall", "--yes", "maestro-daemon-vega")
    assert "vega" not in plugins(environment)
    complaint = environment.run("maestro-daemon", "serve", status=78)
    assert "unknown kind 'vega'" in complaint
    config.write_text(served)
    with environment.running("maestro-daemon serve", tmp_path):
        reachable(port)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=30) as answer:
            assert answer.status == 200


def test_the_page_can_be_followed_word_for_word(environment: Environment, tmp_path: Path) -> None:
    page = PAGE.read_text()
    afternoon = page[page.index("## In an afternoon") : page.index("## Three depths")]
    upstream, port = free_ports(2)

    def ours(text: str) -> str:
        assert text in afternoon
        return text.replace("9000", str(upstream)).replace("8787", str(port))

    made = block(PAGE, "sh", holding="plugins new vega")
    printed = environment.run("bash", "-ec", ours(made))
    assert " passed" in printed
    assert "vega" in printed.rpartition(" passed")[2]
    folder = tmp_path / "maestro-daemon-vega"
    (folder / "maestro_vega" / "provider.py").write_text(
        ours(block(PAGE, "python", holding="class VegaProvider"))
    )
    assert " passed" in environment.run("python", "-m", "pytest", cwd=folder)
    (folder / "upstream.py").write_text(ours(UPSTREAM))
    (folder / "maestro.toml").write_text(ours(block(PAGE, "toml", holding="[providers.vega]")))
    upstream_command = block(PAGE, "sh", holding="upstream.py").strip()
    serve_command = block(PAGE, "sh", holding="VEGA_KEY=").strip()
    assert {upstream_command, serve_command} <= set(afternoon.splitlines())
    with environment.running(upstream_command, folder):
        reachable(upstream)
        with environment.running(serve_command, folder):
            reachable(port)
            answer = environment.run("bash", "-ec", ours(block(PAGE, "sh", holding="vega/vega-1")))
            assert text_of(json.loads(answer)) == "Hello there."
            assert json.loads(answer)["status"] == "completed"
    environment.run("python", "-m", "pip", "uninstall", "--yes", "maestro-daemon-vega")
    assert "vega" not in plugins(environment)


@pytest.mark.parametrize("dialect", ["chat", "responses", "own"])
def test_strict_mypy_passes_on_a_new_plugin_and_its_tests(
    typed: Environment, tmp_path: Path, dialect: str
) -> None:
    typed.run("maestro-daemon", "plugins", "new", "typed-one", "--dialect", dialect, "--into", tmp_path)
    folder = tmp_path / "maestro-daemon-typed-one"
    said = typed.run("python", "-m", "mypy", "--strict", "maestro_typed_one", "tests", cwd=folder)
    assert said.startswith("Success: no issues found in 3 source files")


def test_strict_mypy_passes_on_the_plugins_of_the_page(typed: Environment, tmp_path: Path) -> None:
    found = [text for text in blocks(PAGE, "python") if "from maestro_daemon." in text]
    assert len(found) > 7
    for number, text in enumerate(found):
        named = re.match(r'"""The provider (?:kind )?"(\w+)"', text)
        prefix = "test_" if "ProviderContract" in text else "maestro_"
        (tmp_path / f"{prefix}{named[1] if named is not None else number}.py").write_text(text)
    said = typed.run("python", "-m", "mypy", "--strict", ".", cwd=tmp_path)
    assert said.startswith(f"Success: no issues found in {len(found)} source files")


def test_mypy_sees_a_plugin_that_misuses_the_contract(typed: Environment, tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text(
        "from maestro_daemon.plugin import Model, TextDelta\nModel(7)\nTextDelta(text=None)\n"
    )
    said = typed.run("python", "-m", "mypy", "--strict", "wrong.py", cwd=tmp_path, status=1)
    assert said.count("has incompatible type") == 2


def test_echo_stands_alone(typed: Environment, tmp_path: Path) -> None:
    ignored = shutil.ignore_patterns("*.egg-info", "build", "__pycache__", ".*")
    folder = shutil.copytree(ROOT / "plugins" / "echo", tmp_path / "echo", ignore=ignored)
    typed.run("python", "-m", "pip", "install", "--quiet", f"{folder}[test]")
    shutil.rmtree(folder / "maestro_echo")
    assert " passed" in typed.run("python", "-m", "pytest", cwd=folder)
    row = plugins(typed)["echo"]
    assert (row["distribution"], row["state"], row["kinds"]) == ("maestro-daemon-echo", "loaded", ["echo"])
