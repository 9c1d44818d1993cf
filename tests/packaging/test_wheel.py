"""What a user installs: the wheel built from the sdist, in an empty environment."""

import re
import subprocess
import tarfile
import urllib.request
import venv
import zipfile
from configparser import ConfigParser
from pathlib import Path

import pytest

from tests.support.environment import fetching
from tests.support.serving import serving

ROOT = Path(__file__).parent.parent.parent
pytestmark = [pytest.mark.heavy, pytest.mark.timeout(1200)]


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, env=fetching(cwd), capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="module")
def installed(distributions: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of an environment that holds the wheel and what it depends on."""
    place = tmp_path_factory.mktemp("installed")
    venv.create(place, with_pip=True)
    result = run(place / "bin" / "python", "-m", "pip", "install", "--no-input", distributions[1], cwd=place)
    assert result.returncode == 0, result.stdout + result.stderr
    return place / "bin"


def packaged_files() -> set[str]:
    """Every file of the package folders, by the path that it must have in a wheel."""
    parser = ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    names: set[str] = set()
    for package in parser["options"]["packages"].split():
        top = package.split(".")[0]
        parent = ROOT if (ROOT / top).is_dir() else ROOT / "plugins"
        folder = parent.joinpath(*package.split("."))
        names |= {
            str(path.relative_to(parent))
            for path in folder.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
    return names


def test_the_wheel_holds_every_package_and_data_file_and_nothing_else(
    distributions: tuple[Path, Path],
) -> None:
    with zipfile.ZipFile(distributions[1]) as wheel:
        held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert held == packaged_files()


def test_the_sdist_holds_the_licence_and_the_readme(distributions: tuple[Path, Path]) -> None:
    with tarfile.open(distributions[0]) as sdist:
        held = {name.partition("/")[2] for name in sdist.getnames()}
    assert {"LICENSE", "README.md", "setup.cfg", "pyproject.toml"} <= held


def test_the_installed_command_says_its_version(installed: Path, tmp_path: Path) -> None:
    result = run(installed / "maestro-daemon", "--version", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert re.search(r"\b\d+\.\d+\.\d+\b", result.stdout)


def test_the_installed_command_knows_the_house_plugins(installed: Path, tmp_path: Path) -> None:
    result = run(installed / "maestro-daemon", "plugins", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert {"openai", "local"} <= set(result.stdout.split())


def test_the_installed_daemon_answers_healthz(installed: Path, tmp_path: Path) -> None:
    config = '[server]\nport = 0\n\n[providers.home]\nkind = "local"\nbase_url = "http://127.0.0.1:9/v1"\n'
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with (
        serving(config, tmp_path, program=installed / "maestro-daemon") as base_url,
        opener.open(base_url.removesuffix("/v1") + "/healthz", timeout=10) as answer,
    ):
        assert answer.status == 200
