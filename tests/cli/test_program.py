"""The installed program by itself: other tests fork their commands from a process that imported it all."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from maestro_daemon.cli import _COMMANDS
from tests.support.command import PROGRAM, Place


@pytest.mark.parametrize("name", _COMMANDS)
def test_a_command_needs_nothing_that_another_imports(name: str, tmp_path: Path) -> None:
    place = Place(tmp_path)
    started = [PROGRAM, name, "--help"]
    alone = subprocess.run(
        started, cwd=tmp_path, env=place.environ, capture_output=True, text=True, timeout=50
    )
    assert (alone.returncode, alone.stderr) == (0, "")
    assert alone.stdout.startswith(f"Usage: maestro-daemon {name} ")
    assert alone.stdout == place.run(name, "--help").stdout


def test_a_status_is_that_of_the_process_whatever_ended_it(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.write('[server]\nport = 0\n[providers.home]\nkind = "local"\nbase_url = "http://127.0.0.1:1/v1"\n')
    with place.serve() as daemon:
        daemon.lines_until("http://")
        daemon.process.kill()
        assert daemon.process.wait(20) == -9
    assert place.run("no-such-command").returncode == 2
