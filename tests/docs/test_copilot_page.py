"""docs/copilot.md: its options, commands and examples are those of the program."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

from maestro_copilot.options import CopilotOptions
from maestro_daemon.cli.login import _GIVEN_UP, _STATUS
from maestro_daemon.config import load
from maestro_daemon.providers.registry import Registry
from tests.support.command import Place
from tests.support.documents import ROOT, blocks, rows

PAGE = ROOT / "docs" / "copilot.md"


def test_the_options_are_those_of_the_model_with_their_defaults() -> None:
    table = rows(PAGE, "Options")
    written = {name: row[1] for row in table for name in re.findall(r"`([^`]+)`", row[0])}
    assert set(written) == set(CopilotOptions.model_fields)
    made = CopilotOptions().model_dump(mode="json")
    for name, shown in written.items():
        if shown.startswith("`"):
            assert json.loads(shown.strip("`")) == made[name], name
        elif name != "refused_tools":
            assert made[name] in (None, [], {}), name


@pytest.mark.parametrize("text", blocks(PAGE, "toml"))
def test_every_example_is_right(text: str, tmp_path: Path) -> None:
    assert tomllib.loads(text)
    file = tmp_path / "maestro.toml"
    file.touch(mode=0o600)
    file.write_text(text)
    assert load(file, Registry(), environ={}).providers


def test_the_exit_statuses_are_the_commands() -> None:
    told = re.search(r"exit status of `login`: (.*?)\.\n", PAGE.read_text(), re.DOTALL)
    assert told is not None
    numbers = {int(each) for each in re.findall(r"\b(\d+) ", told[1])}
    assert numbers == {0, 1, _GIVEN_UP, *_STATUS.values()}


def test_the_commands_are_there(tmp_path: Path) -> None:
    place = Place(tmp_path)
    for row in rows(PAGE, "Logging in"):
        command = re.findall(r"`maestro-daemon (\w+)", row[0])[0]
        assert place.run(command, "--help").returncode == 0


def test_what_is_said_is_what_the_program_says() -> None:
    source = "\n".join(path.read_text() for path in (ROOT / "plugins" / "maestro_copilot").glob("*.py"))
    source = re.sub(r'"\s*\n\s*f?"', "", source)
    for row in rows(PAGE, "Troubleshooting"):
        for said in re.findall(r"`([^`]+)`", row[0]):
            for part in re.split(r" … |NAME", said):
                if part.strip() and " " in part.strip():
                    assert part.strip() in source, part
