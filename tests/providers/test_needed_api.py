"""A plugin for another contract, and one that asks for names that are gone, get a sentence each."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from maestro_daemon.providers.needed_api import API_VERSION, declared, unmet
from maestro_daemon.providers.registry import Registry

HOOK = """
from maestro_daemon.plugin import hookimpl
@hookimpl
def maestro_register_providers(register):
    pass
"""


@pytest.fixture
def row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Gives what becomes of a plugin whose module, a dotted name, has this source."""
    monkeypatch.syspath_prepend(tmp_path)
    brought: list[str] = []

    def load(source: str, module: str = "api_probe", attribute: str = "") -> Any:
        *packages, name = module.split(".")
        folder = tmp_path
        for package in packages:
            folder = folder / package
            folder.mkdir(exist_ok=True)
            (folder / "__init__.py").touch()
        (folder / f"{name}.py").write_text(source)
        brought.append(module)
        value = f"{module}:{attribute}" if attribute else module
        registry = Registry(lambda: [EntryPoint("probe", value, "maestro_daemon")])
        registry.load()
        (loaded,) = registry.rows
        return loaded

    yield load
    for module in brought:
        for name in [each for each in sys.modules if each.split(".")[0] == module.split(".")[0]]:
            del sys.modules[name]


def later(minor: int = 0) -> str:
    major, ours = map(int, API_VERSION.split("."))
    return f"{major}.{ours + minor}" if minor else f"{major + 1}.0"


@pytest.mark.parametrize("said", ['maestro_api = "{}"', 'maestro_api: str = "{}"'])
def test_a_plugin_for_this_contract_is_loaded(row: Any, said: str) -> None:
    assert row(said.format(API_VERSION) + HOOK).state == "loaded"


@pytest.mark.parametrize("version", [later(), later(minor=1)])
def test_a_plugin_for_a_later_contract_is_refused_before_it_is_imported(
    row: Any, version: str, tmp_path: Path
) -> None:
    marker = tmp_path / "imported"
    source = (
        f'import pathlib\nfrom maestro_daemon.plugin import Teleporter\nmaestro_api = "{version}"\n'
        f"pathlib.Path({str(marker)!r}).touch()\n"
    )
    loaded = row(source)
    assert loaded.state == "broken"
    assert loaded.error.startswith(f"needs version {version} of the plugin contract")
    assert f"has {API_VERSION}: install a newer maestro-daemon" in loaded.error
    assert not marker.exists()
    assert "api_probe" not in sys.modules


def test_what_a_package_says_counts_for_the_modules_in_it(row: Any, tmp_path: Path) -> None:
    (tmp_path / "api_house").mkdir()
    (tmp_path / "api_house" / "__init__.py").write_text(f'maestro_api = "{later()}"\n')
    loaded = Registry(lambda: [EntryPoint("probe", "api_house.inner", "maestro_daemon")])
    loaded.load()
    assert str(loaded.rows[0].error).startswith("needs version")
    assert "api_house" not in sys.modules


def test_an_object_says_it_as_an_attribute(row: Any) -> None:
    source = f'from maestro_daemon.plugin import hookimpl\nclass Plugin:\n    maestro_api = "{later()}"\n'
    source += "    @hookimpl\n    def maestro_register_providers(self, register): pass\nplugin = Plugin()\n"
    assert row(source, attribute="plugin").error.startswith("needs version")


@pytest.mark.parametrize("said", ['"new"', "7", '"1"', "(1, 0)"])
def test_what_is_no_version_is_refused(row: Any, said: str) -> None:
    loaded = row(f"maestro_api = {said}\n{HOOK}")
    assert (loaded.state, "no version of the contract" in loaded.error) == ("broken", True)


def test_a_name_that_the_contract_has_not_is_a_sentence(row: Any) -> None:
    error = row("from maestro_daemon.plugin import Teleporter, hookimpl\n").error
    assert error.startswith("imports 'Teleporter' from maestro_daemon.plugin, which has no such name in ")
    assert "it came with a later version or left with an earlier one" in error
    assert error.endswith("/api_probe.py:1 in <module>)")
    assert "ImportError" not in error


def test_a_misspelt_name_gets_a_guess(row: Any) -> None:
    assert "(did you mean 'TextDelta'?)" in row("from maestro_daemon.plugin import TextDeltas\n").error
    source = "from maestro_daemon import plugin\nx = plugin.TextDeltas\n"
    assert "(did you mean 'TextDelta'?)" in row(source).error


@pytest.mark.parametrize("line", ["import maestro_daemon.secrets", "from maestro_daemon.errors import Gone"])
def test_what_is_not_of_the_contract_is_said_to_be_none_of_it(row: Any, line: str) -> None:
    error = row(line + "\n").error
    assert "which is not there: plugins may rely on maestro_daemon.plugin alone" in error


def test_other_failures_of_the_import_are_told_with_their_place(row: Any) -> None:
    error = row("\n\nimport a_module_that_nobody_has\n").error
    assert error.startswith("ModuleNotFoundError: No module named 'a_module_that_nobody_has' (")
    assert "api_probe.py:3 in <module>" in error


@pytest.mark.parametrize(
    "module", ["no_such_module", "no.such.module", "sys", "xml.etree", "orjson", "pkgutil.nothing", ""]
)
def test_where_nothing_can_be_seen_nothing_is_said(module: str) -> None:
    assert declared(module) is None


def test_versions_are_compared_as_numbers() -> None:
    assert unmet("1.9", offered="1.10") is None
    assert "newer maestro-daemon" in str(unmet("1.11", offered="1.10"))
    assert "newer version of the plugin" in str(unmet("1.10", offered="2.0"))
