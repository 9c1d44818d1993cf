"""Programs and packages from npm, installed once into `.cache`."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

import pytest

from tests.support.environment import fetching

CACHE: Final = Path(__file__).parent.parent.parent / ".cache"


def npm_packages(name: str, *packages: str) -> Path:
    """The folder under `.cache/name` whose ``node_modules`` holds `packages` (``name@version``).

    Without npm the test is skipped; under `CI` it fails, since there nothing may be left out.
    """
    place = CACHE / name
    if (place / "node_modules").exists():
        return place
    npm = shutil.which("npm")
    if npm is None:
        if os.environ.get("CI"):
            pytest.fail("npm is missing: install it with: sudo apt-get install npm")
        pytest.skip("npm is missing")
    CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as half:
        install = [npm, "install", "--no-save", "--no-package-lock", "--no-audit", "--no-fund"]
        install += ["--fetch-retries=2", "--fetch-retry-maxtimeout=10000", "--fetch-timeout=60000"]
        result = subprocess.run(
            [*install, "--prefix", half, *packages],
            env=fetching(),
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert result.returncode == 0, result.stdout + result.stderr
        # Whole or not at all, also when two runs install at once.
        (Path(half) / "node_modules").rename(Path(half) / "whole")
        place.mkdir(exist_ok=True)
        if not (place / "node_modules").exists():
            (Path(half) / "whole").rename(place / "node_modules")
    return place
