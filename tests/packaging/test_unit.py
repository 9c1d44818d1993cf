"""The systemd units, judged by systemd itself."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from maestro_daemon.service.unit_files import SERVICE, SOCKET, units

FOLDER = Path(__file__).parent.parent.parent / "systemd"
INSTALLED = "/opt/maestro-daemon/bin/maestro-daemon"
MOST_EXPOSED = 1.3
pytestmark = pytest.mark.heavy


@pytest.fixture
def systemd_analyze() -> str:
    found = shutil.which("systemd-analyze")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("systemd-analyze is missing: install it with: sudo apt-get install systemd")
        pytest.skip("systemd-analyze is missing")
    return found


def run(*command: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env={**os.environ, **environ}, capture_output=True, text=True, timeout=50, check=False
    )


def write(folder: Path, *, user: bool) -> list[Path]:
    """The units as they are installed for the program that runs this test."""
    program = Path(sys.executable).with_name("maestro-daemon")
    assert program.is_file()
    made = units(program, Path("/etc/maestro-daemon/config.toml"), "127.0.0.1:8787", user=user)
    assert INSTALLED not in made.service
    (folder / SERVICE).write_text(made.service)
    (folder / SOCKET).write_text(made.socket)
    return [folder / SERVICE, folder / SOCKET]


@pytest.mark.parametrize("user", [False, True])
def test_systemd_finds_nothing_wrong_with_the_units(
    systemd_analyze: str, tmp_path: Path, *, user: bool
) -> None:
    # Errors only in these units: those of the machine's own are not judged.
    command = [systemd_analyze, *(["--user"] if user else []), "verify", "--recursive-errors=no"]
    result = run(*command, *write(tmp_path, user=user), XDG_RUNTIME_DIR=str(tmp_path))
    assert result.stdout + result.stderr == ""
    assert result.returncode == 0


def test_systemd_notices_a_misspelt_setting(systemd_analyze: str, tmp_path: Path) -> None:
    service, socket = write(tmp_path, user=False)
    service.write_text(service.read_text().replace("DynamicUser=", "DynamicUsr="))
    assert "DynamicUsr" in run(systemd_analyze, "verify", "--recursive-errors=no", service, socket).stderr


def test_the_system_service_is_exposed_to_little(systemd_analyze: str) -> None:
    result = run(systemd_analyze, "security", "--offline=true", "--no-pager", FOLDER / SERVICE)
    found = re.search(r"Overall exposure level for \S+: (\d+\.\d+)", result.stdout)
    assert found is not None, result.stdout + result.stderr
    assert float(found[1]) <= MOST_EXPOSED


@pytest.mark.parametrize("folder", [FOLDER, FOLDER / "user"])
def test_the_commands_of_a_unit_are_the_installed_program(folder: Path) -> None:
    commands = re.findall(r"^Exec\w+=(\S+)", (folder / SERVICE).read_text(), re.MULTILINE)
    assert commands == [INSTALLED, INSTALLED]
