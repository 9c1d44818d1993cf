"""``maestro-daemon plugins`` and ``plugins new``, as commands."""

from __future__ import annotations

import ast
import json
import os
import re
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from maestro_daemon import __version__
from maestro_daemon.cli.new_plugin import DIALECTS, NotWritten, contents, written
from maestro_daemon.plugin import API_VERSION
from tests.support.command import Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_new_plugin_keeps_the_contract_at_once(place: Place, dialect: str) -> None:
    result = place.run("plugins", "new", "my-llm", "--dialect", dialect, "--into", "made")
    assert result.returncode == 0, result.stderr
    folder = place.folder / "made" / "maestro-daemon-my-llm"
    assert files(folder) == {
        ".gitignore",
        "README.md",
        "pyproject.toml",
        "maestro_my_llm/__init__.py",
        "maestro_my_llm/provider.py",
        "maestro_my_llm/py.typed",
        "tests/test_contract.py",
    }
    tests = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=folder,
        env={**place.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert tests.returncode == 0, tests.stdout + tests.stderr
    assert " passed" in tests.stdout


def test_the_next_commands_are_said(place: Place) -> None:
    said = place.run("plugins", "new", "acme").stdout
    assert said.splitlines()[0].endswith("is a plugin with the provider kind acme. Next:")
    assert [line.strip() for line in said.splitlines()[2:]] == [
        "cd maestro-daemon-acme",
        "python -m pip install -e '.[test]'",
        "python -m pytest",
        "maestro-daemon plugins",
    ]


def test_the_new_distribution_is_what_an_installer_needs(place: Place) -> None:
    place.run("plugins", "new", "acme")
    project = tomllib.loads((place.folder / "maestro-daemon-acme" / "pyproject.toml").read_text())
    assert project["project"]["name"] == "maestro-daemon-acme"
    assert project["project"]["entry-points"] == {"maestro_daemon": {"acme": "maestro_acme"}}
    assert project["project"]["dependencies"] == [f"maestro-daemon>={__version__}"]
    assert project["project"]["optional-dependencies"]["test"] == [f"maestro-daemon[testing]>={__version__}"]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_no_template_leaves_a_blank(dialect: str) -> None:
    for path, text in contents("my-llm", dialect).items():
        assert re.search("@[a-z]+@", text) is None, path
        assert not any(line.rstrip() != line for line in text.splitlines()), path
        if path.endswith(".py"):
            ast.parse(text)
    assert f'maestro_api = "{API_VERSION}"' in contents("my-llm", dialect)["maestro_my_llm/__init__.py"]


@pytest.mark.parametrize(
    "name", ["", "Acme", "9lives", "my_llm", "-x", "x-", "a--b", "a b", "../x", "a" * 41, "ümlaut", "daemon"]
)
def test_a_name_that_cannot_be_one_is_refused(place: Place, name: str) -> None:
    result = place.run("plugins", "new", "--", name)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert list(place.folder.iterdir()) == []


def test_the_name_of_an_installed_plugin_is_refused(place: Place) -> None:
    result = place.run("plugins", "new", "openai")
    assert result.returncode == 2
    assert "A plugin 'openai' is installed already: choose another name." in result.stderr


def test_nothing_is_overwritten(place: Place) -> None:
    folder = place.folder / "maestro-daemon-acme"
    folder.mkdir()
    (folder / "kept").touch()
    result = place.run("plugins", "new", "acme")
    assert result.returncode == 1
    assert "is there already and stays as it is" in result.stderr
    assert files(place.folder) == {"maestro-daemon-acme/kept"}


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotWritten, match="cannot be written: Not a directory"):
        written("acme", "chat", tmp_path / "file" / "below")


def test_a_failure_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, *arguments: object, **named: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(NotWritten, match="No space left on device"):
        written("acme", "chat", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_new_folder_has_the_usual_mode(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        folder = written("acme", "chat", tmp_path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o750


def test_without_a_daemon_the_plugins_are_loaded_here(place: Place) -> None:
    document = json.loads(place.run("plugins", "--json").stdout)
    assert document["running"] is False
    assert document["api"] == API_VERSION
    rows = {row["name"]: row for row in document["plugins"]}
    assert rows["openai"]["load_seconds"] > 0
    assert "RAISED" not in place.run("plugins").stdout


def test_a_daemon_that_is_named_must_be_there(place: Place) -> None:
    result = place.run("plugins", "--socket", "nowhere.sock")
    assert result.returncode == 1
    assert "nowhere.sock" in result.stderr


def test_with_a_configuration_it_is_that_one_that_is_shown(place: Place) -> None:
    file = place.write('[server]\nport = 0\n[plugins]\nenabled = ["openai"]\n', "other.toml")
    place.write("[server]\nport = 0\n")
    with place.serve() as daemon:
        daemon.lines_until("http")
        running = json.loads(place.run("plugins", "--json").stdout)
        other = json.loads(place.run("plugins", "--json", "--config", str(file)).stdout)
    assert (running["running"], other["running"]) == (True, False)
    assert {row["name"]: row["state"] for row in other["plugins"]}["local"] == "disabled"
    assert {row["name"]: row["state"] for row in running["plugins"]}["local"] == "loaded"
    assert "access_log" in {row["name"] for row in running["plugins"]}
