"""The README is run: what it prints to be typed, pasted or expected is taken from it word for word."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

import click
import pytest

from maestro_daemon import __version__
from maestro_daemon.cli import cli
from maestro_daemon.server.paths import API_PREFIXES
from tests.support.command import Daemon, Place
from tests.support.documents import BASE_URL, README, ROOT, block, blocks, commands
from tests.support.house import parse_stream

EMBEDDED = """
[server]
port = 0

[providers.embedded]
kind = "local"
engine = "embedded"
context = 1024
"""
"""What `make run` finds on a fresh machine, whatever is found on this one; an answer ends by its context."""


class Serving:
    """A daemon with the embedded model."""

    def __init__(self, daemon: Daemon, place: Place) -> None:
        # The README says that the last line means: the model is loaded.
        self.url, *_ = daemon.lines_until("provider embedded ")
        self._daemon = daemon
        self._place = place

    def said_here(self, text: str) -> str:
        """The text with this daemon's base URL in the place of the documents'."""
        assert BASE_URL in text
        return text.replace(BASE_URL, self.url)

    def run(self, *command: str) -> bytes:
        """Run a program in a clean environment; what it prints. Nothing may come on stderr."""
        result = subprocess.run(
            command,
            cwd=self._place.folder,
            env=self._place.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=50,
            check=False,
        )
        assert result.returncode == 0, result.stderr.decode()
        return result.stdout


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    place = Place(tmp_path_factory.mktemp("embedded"))
    place.write(EMBEDDED)
    with place.serve() as daemon:
        yield Serving(daemon, place)


def curl_block(*, streaming: bool) -> str:
    if shutil.which("curl") is None:
        if os.environ.get("CI"):
            pytest.fail("curl is missing: install it with: sudo apt-get install curl")
        pytest.skip("curl is missing")
    (found,) = (each for each in blocks(README, "sh", holding="curl") if ('"stream"' in each) is streaming)
    return found


def test_make_run_prints_what_the_quick_start_shows(tmp_path: Path) -> None:
    installing, *shown = block(README, "text", holding="installing").splitlines()
    assert f"@echo '{installing.replace('.venv', '$(VENV)')}'" in (ROOT / "Makefile").read_text()
    place = Place(tmp_path)
    config = place.write("[server]\nport = 0\n")
    with place.serve() as daemon:
        printed = daemon.lines_until("provider embedded ")
    expected = {line.replace("configuration: none", f"configuration: {config}") for line in shown}
    # A machine with an Ollama of its own shows more than a fresh one.
    assert expected - set(printed) == {BASE_URL}
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/v1", printed[0])


def test_the_curl_example_gets_a_response(embedded: Serving) -> None:
    printed = embedded.run("sh", "-c", f"{embedded.said_here(curl_block(streaming=False)).strip()} -sS")
    answer = json.loads(printed)
    assert answer["object"] == "response"
    assert answer["status"] in {"completed", "incomplete"}
    assert answer["model"] == "auto"
    assert answer["output"][0]["content"][0]["text"]
    assert answer["usage"]["output_tokens"] > 0


def test_the_streaming_curl_example_gets_events(embedded: Serving) -> None:
    printed = embedded.run("sh", "-c", f"{embedded.said_here(curl_block(streaming=True)).strip()} -sS")
    events = parse_stream(printed)
    types = [event["type"] for event in events]
    assert types[:2] == ["response.created", "response.in_progress"]
    assert "response.output_text.delta" in types
    assert types[-1] in {"response.completed", "response.incomplete"}


def test_the_openai_example_prints_an_answer_and_a_streamed_one(embedded: Serving) -> None:
    code = embedded.said_here(block(README, "python", holding="client.responses.create"))
    # So that the two answers can be told apart.
    code = code.replace("\n\nfor event", '\nprint("===")\nfor event')
    whole, _, streamed = embedded.run(sys.executable, "-c", code).decode().partition("===\n")
    assert whole.strip()
    assert streamed.strip()


def test_the_configuration_does_what_the_readme_says(tmp_path: Path) -> None:
    place = Place(tmp_path)
    config = place.write(block(README, "toml", holding="[routes.coder]"))
    result = place.run("check", OPENAI_API_KEY="sk-test")
    assert result.returncode == 0, result.stdout + result.stderr
    shown = block(README, "text", holding="PLAN")
    assert result.stdout == shown.replace("/home/you/maestro.toml", str(config))


def test_a_configuration_of_the_readme_is_found_without_being_named() -> None:
    place = "$XDG_CONFIG_HOME/maestro-daemon/config.toml"
    assert place in README.read_text()
    assert place in "".join(cli.get_command(click.Context(cli), "serve").params[0].help.split())  # type: ignore[union-attr]


# Commands


def check_maestro(words: list[str]) -> None:
    """Every subcommand and option exists."""
    command: click.Command = cli
    context = click.Context(cli)
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word.startswith("-"):
            known = {each: option for option in command.params for each in option.opts}
            assert word in known or word == "--help", f"{command.name} has no {word}"
            if word in known and not getattr(known[word], "is_flag", False):
                rest.pop(0)
        else:
            assert isinstance(command, click.Group), f"{command.name} takes no {word!r}"
            found = command.get_command(context, word)
            assert found is not None, f"there is no command {word!r}"
            command = found


def check_make(words: list[str]) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {word for word in words if "=" not in word} <= targets


def check_pip(words: list[str]) -> None:
    """What is installed is what the project names; a wheel is of this version and of known extras."""
    parser = ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    extras = set(parser["options.extras_require"])
    makefile = (ROOT / "Makefile").read_text()
    for word in words[1:]:
        if wheel := re.fullmatch(r"dist/maestro_daemon-(.+)-py3-none-any\.whl\[(\w+)\]", word):
            assert wheel[1] == __version__
            assert wheel[2] in extras
        elif "==" in word:
            assert f":= {word}\n" in makefile
            assert "--no-deps" in words
        else:
            assert word in {"build", "--no-deps", "./maestro-acme"}


def check_python(words: list[str]) -> None:
    assert words[:2] in (["-m", "venv"], ["-m", "build"])


def check_curl(words: list[str]) -> None:
    url = next(word for word in words if word.startswith("http"))
    assert url.removeprefix(BASE_URL.removesuffix(API_PREFIXES[0])) == f"{API_PREFIXES[0]}/responses"


def check_systemctl(words: list[str]) -> None:
    assert words[:2] == ["enable", "--now"]
    assert len(words) > 2
    for unit in words[2:]:
        assert (ROOT / "systemd" / unit).is_file()


def unchecked(words: list[str]) -> None:
    """Nothing of ours is in these words."""


CHECKS = {
    "maestro-daemon": check_maestro,
    "make": check_make,
    "pip": check_pip,
    "python": check_python,
    "python3": check_python,
    "curl": check_curl,
    "systemctl": check_systemctl,
    "journalctl": unchecked,
    "export": unchecked,
    "copilot": unchecked,
    "run": unchecked,  # .ci/run
}


@pytest.mark.parametrize("command", [each for shell in blocks(README, "sh") for each in commands(shell)])
def test_every_command_exists_with_its_options(command: str) -> None:
    words = shlex.split(command, comments=True)
    if words[0] == "sudo":
        words.pop(0)
    if words[0] == ".ci/run":
        assert os.access(ROOT / words[0], os.X_OK)
    CHECKS[Path(words[0]).name](words[1:])


def test_the_table_of_commands_is_that_of_the_program() -> None:
    written = re.findall(r"^\| `maestro-daemon ([a-z -]+)`", README.read_text(), re.MULTILINE)
    for words in written:
        check_maestro(words.split())
    assert {words.split()[0] for words in written} == set(cli.list_commands(click.Context(cli)))


def test_commands_that_are_said_to_take_json_do() -> None:
    (named,) = re.findall(r"((?:`\w+`(?:, | and )?)+) take `--json`", README.read_text())
    for name in re.findall(r"`(\w+)`", named):
        check_maestro([name, "--json"])


# Clients


def test_every_client_is_pointed_at_the_daemon() -> None:
    written = re.findall(r"https?://127\.0\.0\.1:8787\S*?(?=[\"'\s`,)]|$)", README.read_text(), re.MULTILINE)
    assert len(written) > 8
    assert set(written) <= {BASE_URL, f"{BASE_URL}/responses"}


def test_codex_configurations_are_whole() -> None:
    for text in blocks(README, "toml", holding="model_providers"):
        config = tomllib.loads(text)
        provider = config["model_providers"][config["model_provider"]]
        assert provider["base_url"] == BASE_URL
        assert provider["wire_api"] == "responses"
        assert provider["name"] != "OpenAI"
        assert ("env_key" in provider) != ("auth" in provider)


def test_the_opencode_configuration_is_whole() -> None:
    config = json.loads(block(README, "json", holding="opencode"))
    provider, _, model = config["model"].partition("/")
    assert config["provider"][provider]["options"]["baseURL"] == BASE_URL
    assert model in config["provider"][provider]["models"]


def test_clients_ask_for_a_route_of_the_configuration() -> None:
    routes = tomllib.loads(block(README, "toml", holding="[routes.coder]"))["routes"]
    asked = [tomllib.loads(text)["model"] for text in blocks(README, "toml", holding="model_providers")]
    asked.append(json.loads(block(README, "json", holding="opencode"))["model"].partition("/")[2])
    asked += re.findall(r"COPILOT_MODEL=(\S+)", README.read_text())
    asked += re.findall(r'maestro\("(\S+)"\)', README.read_text())
    assert len(asked) == 5
    assert set(asked) <= set(routes)


@pytest.mark.parametrize("code", blocks(README, "python"))
def test_python_examples_are_python(code: str) -> None:
    compile(code, "README.md", "exec")
