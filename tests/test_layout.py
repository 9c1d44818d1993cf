"""The tree itself: what is packaged is what is there, and files are named for what they hold."""

import ast
import configparser
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = ("maestro_daemon", "plugins", "tests", "benchmarks")
POSITIONS = {"base", "utils", "util", "helpers", "helper", "common", "misc"}


@pytest.fixture(scope="module")
def setup_cfg() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    assert parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def words(value: str) -> list[str]:
    return value.split()


def packages_below(folder: Path) -> set[str]:
    """The dotted names of `folder` and of every folder below it that holds a module."""
    return {
        ".".join(path.parent.relative_to(folder.parent).parts)
        for path in folder.rglob("*.py")
        if "__pycache__" not in path.parts
    }


def plugin_packages() -> dict[str, Path]:
    """Import name → folder of the plugins that ship with the daemon (not those with a build of their own)."""
    return {
        path.name: path
        for path in (ROOT / "plugins").iterdir()
        if path.is_dir()
        and path.name != "__pycache__"
        and not (path / "setup.cfg").exists()
        and not (path / "pyproject.toml").exists()
    }


def distributions() -> list[Path]:
    """The folders of plugins that are distributions of their own."""
    return sorted(path.parent for path in (ROOT / "plugins").glob("*/pyproject.toml"))


@pytest.mark.parametrize("folder", distributions(), ids=lambda folder: folder.name)
def test_a_distribution_of_its_own_is_whole_and_stays_out_of_the_daemons(
    folder: Path, setup_cfg: configparser.ConfigParser
) -> None:
    project = tomllib.loads((folder / "pyproject.toml").read_text())
    (module,) = project["project"]["entry-points"]["maestro_daemon"].values()
    assert set(project["tool"]["setuptools"]["packages"]) == packages_below(folder / module)
    assert (folder / module / "py.typed").is_file()
    assert (folder / project["project"]["readme"]).is_file()
    assert list((folder / "tests").glob("test_*.py"))
    assert module not in words(setup_cfg["options"]["packages"])


@pytest.mark.parametrize("folder", distributions(), ids=lambda folder: folder.name)
def test_a_distribution_of_its_own_imports_the_one_public_module_of_the_house(folder: Path) -> None:
    project = tomllib.loads((folder / "pyproject.toml").read_text())
    (module,) = project["project"]["entry-points"]["maestro_daemon"].values()
    imported: set[str] = set()
    for path in (folder / module).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                imported.add(str(node.module))
    assert {name for name in imported if name.split(".")[0] == "maestro_daemon"} == {"maestro_daemon.plugin"}


def test_setup_cfg_lists_every_package_folder(setup_cfg: configparser.ConfigParser) -> None:
    there = packages_below(ROOT / "maestro_daemon")
    for folder in plugin_packages().values():
        there |= packages_below(folder)
    assert set(words(setup_cfg["options"]["packages"])) == there


def test_every_package_has_an_init(setup_cfg: configparser.ConfigParser) -> None:
    homes = {**plugin_packages(), "maestro_daemon": ROOT / "maestro_daemon"}
    for package in words(setup_cfg["options"]["packages"]):
        top, *below = package.split(".")
        assert homes[top].joinpath(*below, "__init__.py").is_file(), package


def test_package_dir_names_every_plugin(setup_cfg: configparser.ConfigParser) -> None:
    lines = setup_cfg["options"]["package_dir"].strip().splitlines()
    mapping = dict(re.split(r"\s*=\s*", line) for line in lines)
    assert mapping == {name: f"plugins/{name}" for name in plugin_packages()}


def test_every_plugin_has_its_entry_point(setup_cfg: configparser.ConfigParser) -> None:
    lines = setup_cfg["options.entry_points"]["maestro_daemon"].strip().splitlines()
    modules = {re.split(r"\s*=\s*", line)[1].partition(":")[0].partition(".")[0] for line in lines}
    assert modules == set(plugin_packages())


def test_every_data_file_is_named_in_package_data(setup_cfg: configparser.ConfigParser) -> None:
    patterns = {name: words(value) for name, value in setup_cfg["options.package_data"].items()}
    homes = {**plugin_packages(), "maestro_daemon": ROOT / "maestro_daemon"}
    for name, home in homes.items():
        kept = {path for pattern in patterns.get(name, []) for path in home.glob(pattern)}
        data = {
            path
            for path in home.rglob("*")
            if path.is_file() and path.suffix not in {".py", ".pyc"} and "__pycache__" not in path.parts
        }
        assert data - kept == set(), f"{name}: these files would stay out of the wheel"
        for pattern in patterns.get(name, []):
            assert any(home.glob(pattern)), f"{name}: {pattern} matches nothing"


def test_pyproject_holds_the_build_system_and_nothing_else() -> None:
    assert set(tomllib.loads((ROOT / "pyproject.toml").read_text())) == {"build-system"}


def test_no_file_is_named_for_its_position() -> None:
    named = [
        str(path.relative_to(ROOT))
        for source in SOURCES
        for path in (ROOT / source).rglob("*.py")
        if path.stem in POSITIONS or path.parent.name in POSITIONS
    ]
    assert named == []


def test_changelog_has_a_place_for_what_is_not_released() -> None:
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert len(set(headings)) == len(headings)
