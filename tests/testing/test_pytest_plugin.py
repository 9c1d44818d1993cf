"""What an author sees: pytest with nothing but the daemon's own plugin."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.test_plugin_examples import PAGE, PARROT
from tests.support.documents import block

TEST = block(PAGE, "python", holding="class TestParrot")


def pytest_run(folder: Path) -> subprocess.CompletedProcess[str]:
    """Pytest as in the author's own folder, whatever this one's settings are."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:aiohttp"]
    return subprocess.run(
        command,
        cwd=folder,
        env={**environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=50,
    )


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What pytest says of the page's parrot, one of whose options is not described."""
    folder = tmp_path_factory.mktemp("author")
    head = '    """A provider of kind `parrot`."""\n'
    assert head in PARROT
    (folder / "maestro_parrot.py").write_text(PARROT.replace(head, f"{head}\n    pitch: int = 1\n"))
    (folder / "test_parrot.py").write_text(TEST)
    result = pytest_run(folder)
    assert result.returncode == 1, result.stdout + result.stderr
    return result.stdout


def test_a_failure_says_what_is_wanted_what_was_found_and_where_it_is_written(seen: str) -> None:
    told = [line.removeprefix("E").strip() for line in seen.splitlines() if line.startswith("E  ")]
    assert [line.partition("Breach: ")[2] or line for line in told] == [
        "The contract wants: a docstring below every option (with a Table), or Field(description=…)",
        "Found: pitch has none",
        "It is written in docs/plugins.md#options",
    ]


def test_what_was_not_checked_is_told_with_its_reason(seen: str) -> None:
    summary = seen.partition("parts of the provider contract that were not checked")[2]
    reasons = re.findall(r"^(\S.*):$", summary, re.MULTILINE)
    assert "a parrot repeats, and does nothing else" in reasons
    assert "the list of models is the provider's own" in reasons
    skipped = re.search(r"1 failed, \d+ passed, (\d+) skipped", seen)
    assert skipped is not None
    assert len(re.findall(r"^    TestParrot test_", summary, re.MULTILINE)) == int(skipped[1])


def test_the_plugin_alone_loads_neither_the_kit_nor_the_daemon() -> None:
    code = "import sys, maestro_daemon.pytest_plugin\nprint(*(m for m in sys.modules if m[:8] == 'maestro_'))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20)
    assert result.stdout.split() == ["maestro_daemon", "maestro_daemon.pytest_plugin"], result.stderr
