"""The other commands: what they print, with which status they end, and that they teach."""

from __future__ import annotations

import json
import os
import pty
import stat
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest
from click.testing import CliRunner, Result

from maestro_daemon import __version__, discovery
from maestro_daemon.cli import Commands, cli, screen
from maestro_daemon.config import files
from maestro_daemon.discovery import Found
from maestro_daemon.errors import MaestroError
from maestro_daemon.server import control_socket
from tests.support.command import PROGRAM, Place

GOOD = """
[server]
port = 18787
[clients.alice]
key = "alices-key"
[providers.home]
kind = "local"
base_url = "http://127.0.0.1:1/v1"
[providers.big]
kind = "openai"
affinity = "5m"
api_key = "sk-hunter22"
[routes.coder]
targets = ["big/gpt-5.5", "home/qwen"]
fallbacks = ["home/small"]
[routes.steady]
targets = ["home/qwen", "home/other"]
balance = "in_order"
[routes.shared]
targets = ["big/gpt-5.5", "home/qwen"]
balance = "weighted"
weights = { "big/gpt-5.5" = 3 }
[routes.busy]
targets = ["big/gpt-5.5", "home/qwen"]
balance = "least_busy"
[routes.one]
targets = ["home/qwen"]
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A folder of its own for commands, in this process and in others."""
    for name in ("MAESTRO_CONFIG", "RUNTIME_DIRECTORY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(files, "_OF_THE_MACHINE", tmp_path / "not-there.toml")
    monkeypatch.setattr(control_socket, "_SYSTEM_SOCKET", tmp_path / "not-there.sock")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return Place(tmp_path)


Run = Callable[..., Result]


@pytest.fixture
def run(place: Place) -> Run:
    """Run a command in this process."""

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(cli, arguments, prog_name="maestro-daemon")

    return invoke


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Found:
    """What discovery finds from now on."""
    one = Found()

    async def find(environ: Any) -> Found:
        return one

    monkeypatch.setattr(discovery, "find", find)
    return one


def test_check_shows_the_effective_plan_of_every_route(place: Place, run: Run) -> None:
    place.write(GOOD)
    done = run("check")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[:3] == [
        f"{place.folder / 'maestro.toml'}: right",
        "serves on http://127.0.0.1:18787/v1",
        "clients: alice (each with its key)",
    ]
    (head,) = (line for line in lines if line.startswith("ROUTE"))
    rows = lines[lines.index(head) + 1 : lines.index("", lines.index(head))]
    plans = {row.split()[0]: row[head.index("PLAN") :] for row in rows}
    stays = {row.split()[0]: row[head.index("AFFINITY") : head.index("PLAN")].strip() for row in rows}
    assert plans["coder"] == "big/gpt-5.5, home/qwen in turn; after all failed home/small"
    assert plans["steady"] == "home/qwen, then home/other"
    assert plans["shared"] == "big/gpt-5.5 (3 of 4), home/qwen (1 of 4)"
    assert plans["busy"] == "the least busy of big/gpt-5.5, home/qwen"
    assert plans["one"] == "home/qwen"
    assert (stays["coder"], stays["steady"], stays["one"]) == ("big 5m, home 1h", "1h", "-")
    assert "hunter" not in done.output
    assert "alices-key" not in done.output


def test_check_has_json(place: Place, run: Run) -> None:
    place.write(GOOD)
    document = json.loads(run("check", "--json").stdout)
    assert document["valid"] is True
    assert document["routes"]["coder"] == {
        "balance": "round_robin",
        "weights": {},
        "affinity": {"big/gpt-5.5": "5m", "home/qwen": "1h"},
        "targets": ["big/gpt-5.5", "home/qwen"],
        "fallbacks": ["home/small"],
        "max_wait": "2s",
        "hedge": False,
        "timeouts": {
            target: {
                "connect": "5s",
                "first_byte": first_byte,
                "first_output": "15m",
                "idle": "5m",
                "total": "2h",
            }
            for target, first_byte in (("big/gpt-5.5", "5m"), ("home/qwen", "10m"), ("home/small", "10m"))
        },
    }
    assert document["breaker"]["failures"] == 3
    assert document["breaker"]["cooldown"] == "30s"
    assert document["routes"]["shared"]["weights"] == {"big/gpt-5.5": 3, "home/qwen": 1}
    assert document["routes"]["one"]["affinity"] == {}
    assert document["providers"]["home"] == {"kind": "local", "found": False}


def test_check_takes_credentials_of_the_service_on_trust_and_names_them(place: Place, run: Run) -> None:
    keys = "".join(
        f'[clients.{client}]\nkey = {{ credential = "{key}" }}\n'
        for client, key in (("alice", "alice"), ("bob", "hunter2hunter2"))
    )
    place.write('[providers.big]\nkind = "openai"\napi_key = { credential = "openai" }\n' + keys)
    done = run("check")
    assert done.exit_code == 0, done.output
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("not looked at"))
    named = ["alice", "one whose name is not shown", "openai"]
    assert line.endswith(f"the service alone can read credentials: {', '.join(named)}")
    assert json.loads(run("check", "--json").stdout)["unread_credentials"] == named
    place.write('[providers.big]\nkind = "openai"\napi_key = { credential = "../openai" }\n')
    assert run("check").exit_code == 78
    place.write(keys.replace("hunter2hunter2", "alice"))
    assert "is the same key as that of client 'alice'" in run("check").stderr


@pytest.mark.parametrize("command", [["serve"], ["models"]])
def test_what_needs_a_credential_does_not_take_it_on_trust(
    command: list[str], place: Place, run: Run
) -> None:
    place.write('[providers.big]\nkind = "openai"\napi_key = { credential = "openai" }\n')
    done = run(*command)
    assert done.exit_code == 78
    assert "credentials come from systemd" in done.stderr


def test_check_shows_how_long_each_target_may_take_and_when_it_is_left_alone(place: Place, run: Run) -> None:
    terms = 'hedge = true\nidle_timeout = "90s"\ntotal_timeout = "10m"\nmax_wait = "500ms"\nfallbacks'
    place.write(GOOD.replace("fallbacks", terms, 1) + '\n[breaker]\nfailures = 5\nlongest_cooldown = "1h"\n')
    shown = run("check").stdout
    (line,) = [line for line in shown.splitlines() if line.startswith("coder") and " big/gpt-5.5 " in line]
    assert line.split() == ["coder", "big/gpt-5.5", "5s", "5m", "15m", "90s", "10m"]
    assert "big/gpt-5.5, home/qwen in turn, a second one beside a late one; after" in shown
    assert (
        "a target is left alone for 30s (growing to 1h) after 5 failures in a row, or when 50% of at least "
        "10 attempts within 60s failed; for 30m without credit"
    ) in shown
    coder = json.loads(run("check", "--json").stdout)["routes"]["coder"]
    assert (coder["hedge"], coder["max_wait"]) == (True, "500ms")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("[routes.one]", "[routes.one]\nhedge = true"), "can never fire: the route has one target"),
        (("[routes.one]", '[routes.one]\nidle_timeout = "0s"'), "must be greater than 0"),
        (("[routes.one]", "[breaker]\nfailures = 0\n[routes.one]"), "must be greater than or equal to 1"),
        (("[routes.one]", '[breaker]\ncooldown = "9m"\n[routes.one]'), "must not be shorter than cooldown"),
        (("[routes.one]", "[breaker]\nfailure = 2\n[routes.one]"), "unknown key; did you mean 'failures'?"),
        (('"home/small"', '"nobody/x"'), "no provider 'nobody'"),
        (('"home/small"', '"home/qwen"'), "stands in targets already"),
        (('targets = ["home/qwen"]', "targets = []"), "must not be empty"),
        (('"big/gpt-5.5" = 3', '"big/gpt-5.5" = 0'), "must be greater than or equal to 1"),
        (('"big/gpt-5.5" = 3', '"big/gpt-5" = 3'), "no target of this route; did you mean 'big/gpt-5.5'?"),
        (('kind = "openai"', 'kind = "opnai"'), "unknown kind 'opnai'; did you mean 'openai'?"),
        (("[routes.one]", '[plugins]\ndisabled = ["openai"]\n[routes.one]'), "'openai' is disabled"),
        (("[server]", '[server]\nhost = "nowhere!"'), "must be a host name"),
    ],
)
def test_check_refuses_what_can_never_work(
    place: Place, run: Run, change: tuple[str, str], said: str
) -> None:
    place.write(GOOD.replace(*change))
    done = run("check")
    assert done.exit_code == 78
    assert done.stdout == ""
    assert said in done.stderr
    assert all(line.startswith("maestro.toml:") for line in done.stderr.splitlines())
    document = json.loads((asked := run("check", "--json")).stdout)
    assert asked.exit_code == 78
    assert document["valid"] is False
    assert document["faults"] == done.stderr.splitlines()


def test_check_without_a_file_shows_what_would_be_served(run: Run, found: Found) -> None:
    found.add("ollama", "Ollama answers", kind="local", base_url="http://127.0.0.1:1/v1")
    done = run("check")
    assert done.exit_code == 0
    assert "no configuration file" in done.stdout
    assert "found on this machine" in done.stdout


def test_a_named_file_that_is_missing_ends_with_78(run: Run) -> None:
    done = run("check", "--config", "nowhere.toml")
    assert (done.exit_code, done.stderr) == (
        78,
        "nowhere.toml: cannot be read: No such file or directory.\n",
    )


def test_status_without_a_daemon_says_how_to_start_one(run: Run, place: Place) -> None:
    done = run("status")
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: No maestro-daemon is running here")
    assert str(place.socket) in done.stderr


def test_init_writes_a_file_that_check_takes(place: Place, run: Run, found: Found) -> None:
    found.add("ollama", "Ollama answers on port 11434", kind="local", base_url="http://127.0.0.1:11434/v1")
    found.add("openai", "the environment holds OPENAI_API_KEY", kind="openai", api_key={"env": "PATH"})
    done = run("init")
    assert done.exit_code == 0, done.output
    path = place.folder / "maestro.toml"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    document = tomllib.loads(path.read_text())
    assert document["providers"]["ollama"]["base_url"] == "http://127.0.0.1:11434/v1"
    assert document["providers"]["openai"]["api_key"] == {"env": "PATH"}
    assert run("check").exit_code == 0


def test_init_replaces_a_file_only_when_told(place: Place, run: Run, found: Found) -> None:
    found.add("ollama", "Ollama answers", kind="local", base_url="http://127.0.0.1:1/v1")
    path = place.write("mine")
    done = run("init")
    assert done.exit_code == 1
    assert "--force replaces it" in done.stderr
    assert path.read_text() == "mine"
    path.chmod(0o644)
    assert run("init", "--force").exit_code == 0
    assert "ollama" in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in place.folder.iterdir()] == ["maestro.toml"]


def test_init_follows_no_link_to_another_file(place: Place, run: Run, found: Found) -> None:
    found.add("ollama", "Ollama answers", kind="local", base_url="http://127.0.0.1:1/v1")
    (place.folder / "maestro.toml").symlink_to("elsewhere")
    assert run("init").exit_code == 1
    assert not (place.folder / "elsewhere").exists()


def test_init_into_a_missing_folder_is_a_sentence(run: Run, found: Found) -> None:
    found.add("ollama", "Ollama answers", kind="local", base_url="http://127.0.0.1:1/v1")
    done = run("init", "--output", "no/where.toml")
    assert (done.exit_code, done.stderr) == (
        1,
        "Error: no/where.toml cannot be written: No such file or directory.\n",
    )


def test_config_schema_is_a_schema_that_takes_the_configuration(run: Run) -> None:
    schema = json.loads(run("config", "schema").stdout)
    jsonschema.Draft202012Validator(schema).validate(tomllib.loads(GOOD))


def test_config_example_loads(place: Place, run: Run) -> None:
    place.write(run("config", "example").stdout)
    assert run("check", "--json").exit_code == 0


def test_plugins_lists_those_that_are_disabled(place: Place, run: Run) -> None:
    place.write('[plugins]\ndisabled = ["openai"]\n')
    rows = json.loads(run("plugins", "--json").stdout)["plugins"]
    assert {row["name"]: row["state"] for row in rows} == {
        "copilot": "loaded",
        "local": "loaded",
        "openai": "disabled",
    }
    assert "disabled" in run("plugins").stdout


def test_plugins_works_with_a_wrong_configuration_and_says_so(place: Place, run: Run) -> None:
    path = place.write("[server]\nprot = 1\n[serve]\n")
    done = run("plugins", "--config", str(path))
    assert done.exit_code == 0
    assert "unknown key; did you mean 'port'? (and 1 more; see maestro-daemon check)" in done.stderr
    assert "openai" in done.stdout


def test_models_says_which_provider_cannot_be_asked(place: Place, run: Run) -> None:
    place.write('[providers.home]\nkind = "local"\nbase_url = "http://127.0.0.1:1/v1"\n')
    done = run("models")
    assert done.exit_code == 0
    assert "home lists nothing now: " in done.stdout
    document = json.loads(run("models", "--json").stdout)
    assert document["models"] == []
    assert "cannot be reached" in document["problems"]["home"]


def test_models_of_a_named_socket_needs_its_daemon(run: Run) -> None:
    done = run("models", "--socket", "nowhere.sock")
    assert done.exit_code == 1
    assert "No maestro-daemon is running here" in done.stderr


def test_version(run: Run) -> None:
    assert run("--version").stdout == f"maestro-daemon {__version__}\n"


@pytest.mark.parametrize(
    "command",
    [
        ["serve"],
        ["check"],
        ["status"],
        ["models"],
        ["login"],
        ["logout"],
        ["quota"],
        ["plugins"],
        ["init"],
        ["config", "schema"],
        ["config", "example"],
    ],
)
def test_every_command_has_help_with_an_example(run: Run, command: list[str]) -> None:
    done = run(*command, "--help")
    assert done.exit_code == 0
    assert f"Example:\n    maestro-daemon {' '.join(command)}" in done.stdout


def test_the_help_lists_every_command(run: Run) -> None:
    shown = run("--help").stdout
    for command in (
        "serve",
        "check",
        "status",
        "models",
        "login",
        "logout",
        "quota",
        "plugins",
        "init",
        "config",
    ):
        assert f"\n  {command} " in shown


@pytest.mark.parametrize(
    "arguments", [["nope"], ["serve", "--nope"], ["check", "extra"], ["serve", "--log-level", "x"]]
)
def test_wrong_usage_ends_with_2(run: Run, arguments: list[str]) -> None:
    done = run(*arguments)
    assert done.exit_code == 2
    assert "Usage: maestro-daemon" in done.stderr


@pytest.mark.parametrize(
    "command",
    [["login", "work"], ["logout", "work"], ["quota"], ["login", "--status"], ["login", "--json", "x"]],
)
def test_accounts_of_a_named_socket_need_its_daemon(run: Run, command: list[str]) -> None:
    done = run(*command, "--socket", "nowhere.sock")
    assert done.exit_code == 1
    assert "No maestro-daemon is running here" in done.stderr


def test_a_login_needs_a_name_and_says_where_names_are(run: Run) -> None:
    done = run("login")
    assert done.exit_code == 2
    assert "see all of them with --status" in done.stderr


def test_accounts_without_any_provider_that_has_one(place: Place, run: Run) -> None:
    place.write('[providers.home]\nkind = "local"\nbase_url = "http://127.0.0.1:1/v1"\n')
    assert "needs no login" in run("login", "--status").stdout
    assert run("quota").stdout == "no provider has a plan that could be asked for\n"
    done = run("login", "home")
    assert done.exit_code == 1
    assert "Provider 'home' (kind 'local') has no login" in done.stderr
    assert run("quota", "home").exit_code == 1


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MaestroError("It cannot be."), "Error: It cannot be.\n"),
        (RuntimeError("boom"), "Error: maestro-daemon failed with RuntimeError: boom. "),
    ],
)
def test_no_failure_is_a_traceback(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise error

    monkeypatch.setattr(screen, "json", fail)
    done = run("config", "schema")
    assert done.exit_code == 1
    assert done.stderr.startswith(said)
    assert "Traceback" not in done.output


def test_a_plugins_command_that_fails_is_told_as_its_own(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def hello() -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr(Commands, "_ask_plugins", lambda self: self.add_command(hello))
    monkeypatch.setattr(cli, "commands", {})
    done = run("hello")
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: the command 'hello' failed with RuntimeError: boom. ")
    assert "fault of the plugin that brought it" in done.stderr


def test_house_commands_need_no_plugins(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Commands) -> None:
        raise AssertionError("plugins were loaded")

    monkeypatch.setattr(Commands, "_ask_plugins", fail)
    assert run("status").exit_code == 1


def test_a_table_in_a_pipe_is_plain_text(capsys: pytest.CaptureFixture[str]) -> None:
    screen.table(("name", "state"), [("a", None), ("longer", "bad\n\x1b[31mnews")])
    assert capsys.readouterr().out == "NAME    STATE\na       -\nlonger  bad  [31mnews\n"


TABLE = """
from maestro_daemon.cli import screen
screen.table(("name", "state"), [("[red]x[/red]", "bad\\n\\x1b[31mnews")])
"""


def on_terminal(*command: str | Path) -> str:
    """What a command prints on a terminal of 100 columns."""
    leader, follower = pty.openpty()
    subprocess.run(
        command,
        env={"PATH": os.environ["PATH"], "TERM": "xterm-256color", "COLUMNS": "100"},
        stdin=subprocess.DEVNULL,
        stdout=follower,
        check=True,
    )
    os.close(follower)
    os.set_blocking(leader, False)
    shown = os.read(leader, 65536).decode()
    os.close(leader)
    return shown


def test_a_table_on_a_terminal_has_colours_but_none_from_outside() -> None:
    shown = on_terminal(sys.executable, "-c", TABLE)
    assert "\x1b[36m" in shown
    assert "[red]x[/red]" in shown
    assert "bad  [31mnews" in shown
    assert "\x1b[31m" not in shown


def test_check_prints_tables_on_a_terminal(place: Place) -> None:
    path = place.write('[providers.home]\nkind = "local"\nbase_url = "http://127.0.0.1:1/v1"\n')
    shown = on_terminal(PROGRAM, "check", "--config", path)
    assert "\x1b[36mhome" in shown
