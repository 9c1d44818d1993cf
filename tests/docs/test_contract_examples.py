"""The tests that the documents show pass for the plugins that they show."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from maestro_daemon.testing import ProviderContract
from tests.docs.test_plugin_examples import ACME, MORSE, PAGE, PARROT, ZENITH
from tests.support.documents import ROOT, block
from tests.testing.checks import every_check, run_check

EXAMPLES = {
    "zenith": (ZENITH, block(PAGE, "python", holding="class TestZenith")),
    "morse": (MORSE, block(PAGE, "python", holding="class TestMorse")),
    "parrot": (PARROT, block(PAGE, "python", holding="class TestParrot")),
    "acme": (
        ACME,
        "import maestro_acme\nfrom maestro_daemon.testing import ProviderContract\n\n\n"
        "class TestAcme(ProviderContract):\n    plugin = maestro_acme\n",
    ),
}
SKIPPED = {"zenith": 3, "morse": 5, "parrot": 37, "acme": 5}


@pytest.fixture(scope="module")
def contracts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, type[ProviderContract]]]:
    """The contracts of the page's tests, each on its plugin."""
    folder = tmp_path_factory.mktemp("examples")
    for name, (module, test) in EXAMPLES.items():
        (folder / f"maestro_{name}.py").write_text(module)
        (folder / f"keeps_{name}.py").write_text(test)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield {name: getattr(import_module(f"keeps_{name}"), f"Test{name.capitalize()}") for name in EXAMPLES}


@pytest.mark.heavy
@pytest.mark.timeout(180)
def test_mypy_is_content_with_the_page(tmp_path: Path) -> None:
    for name in ("zenith", "morse", "parrot"):
        module, test = EXAMPLES[name]
        (tmp_path / f"maestro_{name}.py").write_text(module)
        (tmp_path / f"test_{name}.py").write_text(test)
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", tmp_path / "cache", *tmp_path.glob("*.py")],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": f"{ROOT}:{tmp_path}"},
        capture_output=True,
        text=True,
        timeout=170,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_plugin_of_the_page_passes_the_test_of_the_page(
    name: str, contracts: dict[str, type[ProviderContract]], tmp_path: Path
) -> None:
    skipped = []
    for id in every_check():
        try:
            run_check(contracts[name], id, tmp_path)
        except pytest.skip.Exception as reason:
            skipped.append(f"{id}: {reason}")
    assert len(skipped) == SKIPPED[name], "\n".join(skipped)
