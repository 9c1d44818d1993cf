"""The systemd unit, judged by systemd itself."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

UNIT = Path(__file__).parent.parent.parent / "systemd" / "maestro-daemon.service"
INSTALLED = "/opt/maestro-daemon/bin/maestro-daemon"


@pytest.fixture
def systemd_analyze() -> str:
    found = shutil.which("systemd-analyze")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("systemd-analyze is missing: install it with: sudo apt-get install systemd")
        pytest.skip("systemd-analyze is missing")
    return found


@pytest.mark.heavy
def test_systemd_finds_nothing_wrong_with_the_unit(systemd_analyze: str, tmp_path: Path) -> None:
    text = UNIT.read_text()
    commands = re.findall(r"^Exec\w+=(\S+)", text, re.MULTILINE)
    assert commands == [INSTALLED, INSTALLED]
    program = Path(sys.executable).with_name("maestro-daemon")
    assert program.is_file()
    copy = tmp_path / UNIT.name
    copy.write_text(text.replace(f"={INSTALLED} ", f"={program} "))
    # Errors only in this unit: those of the machine's own units are not judged.
    result = subprocess.run(
        [systemd_analyze, "verify", "--recursive-errors=no", str(copy)],
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert result.stdout + result.stderr == ""
    assert result.returncode == 0


@pytest.mark.heavy
def test_systemd_notices_a_misspelt_setting(systemd_analyze: str, tmp_path: Path) -> None:
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace("DynamicUser=", "DynamicUsr="))
    result = subprocess.run(
        [systemd_analyze, "verify", "--recursive-errors=no", str(copy)],
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert "DynamicUsr" in result.stderr
