"""What is built once for all tests of what users install."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.documents import ROOT
from tests.support.environment import fetching


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The sdist and the wheel that was built from it, never from the tree."""
    out = tmp_path_factory.mktemp("dist")
    ignored = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist")
    # A copy, since building writes into the folder that it builds, where others may build as well.
    source = shutil.copytree(ROOT, tmp_path_factory.mktemp("source") / "maestro-daemon", ignore=ignored)
    result = subprocess.run(
        [sys.executable, "-m", "build", "--outdir", out, source],
        cwd=out,
        env=fetching(),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    (sdist,) = out.glob("*.tar.gz")
    (wheel,) = out.glob("*.whl")
    return sdist, wheel
