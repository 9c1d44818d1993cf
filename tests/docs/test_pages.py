"""The pages under docs/: what they name exists, and what they say of keys and defaults is so."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
from pydantic import BaseModel

from maestro_daemon import errors, plugin
from maestro_daemon.config.server_tables import MetricsOptions, ServerOptions, TlsOptions
from maestro_daemon.config.tables import (
    BreakerOptions,
    ClientOptions,
    ConfigFile,
    PluginsOptions,
    ProviderTable,
    RouteOptions,
)
from maestro_daemon.providers import hookspecs
from maestro_local.options import LocalOptions
from maestro_openai.options import OpenAIOptions
from tests.support.command import Place
from tests.support.documents import BASE_URL, PAGES, README, ROOT, block, blocks, prose, rows

DOCS = ROOT / "docs"
CONFIGURATION = DOCS / "configuration.md"
PLUGINS = DOCS / "plugins.md"


def names_in(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def anchor(heading: str) -> str:
    """The fragment under which a heading is found, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_inside_the_repository_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", prose(page)):
        if "://" in target:
            continue
        path, _, fragment = target.partition("#")
        file = (page.parent / path) if path else page
        assert file.exists(), target
        if fragment:
            headings = re.findall(r"^#+ (.+)$", prose(file), re.MULTILINE)
            assert fragment in map(anchor, headings), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_is_named_exists(page: Path) -> None:
    roots = (ROOT, ROOT / "maestro_daemon")
    for name in names_in(prose(page)):
        if re.fullmatch(
            r"(server|routing|protocol|upstream|providers|plugins|tests|config|systemd)/[\w./*-]*", name
        ):
            assert any(list(root.glob(name.rstrip("/"))) for root in roots), name


def test_the_table_of_the_protocol_floor_names_its_files() -> None:
    named = [name for row in rows(DOCS / "architecture.md", "Floors") for name in names_in(row[1])]
    assert len(named) > 30
    for name in named:
        assert (ROOT / "maestro_daemon" / "protocol" / f"{name}.py").is_file(), name


@pytest.mark.parametrize("page", [README, DOCS / "architecture.md", PLUGINS], ids=lambda page: page.name)
def test_no_page_names_a_class_of_error_that_is_not_there(page: Path) -> None:
    for name in re.findall(
        r"\b(?:Upstream[A-Z]\w+|\w+(?:Invalid|Unknown|Unread|Exhausted|Refused))\b", page.read_text()
    ):
        assert hasattr(errors, name) or hasattr(plugin, name), name


# Configuration

TABLES: dict[str, tuple[type[BaseModel], ...]] = {
    "`[server]`": (ServerOptions,),
    "`[clients.NAME]`": (ClientOptions,),
    "`[providers.NAME]`": (ProviderTable, OpenAIOptions, LocalOptions),
    "`[routes.NAME]`": (RouteOptions,),
    "`[breaker]`": (BreakerOptions,),
    "`[metrics]`": (MetricsOptions,),
    "`[plugins]`": (PluginsOptions,),
}


@pytest.mark.parametrize("heading", TABLES)
def test_the_keys_of_a_table_are_those_of_its_model(heading: str) -> None:
    written = {name for row in rows(CONFIGURATION, heading) for name in names_in(row[0])}
    models = TABLES[heading]
    assert written == {key for model in models for key in model.model_fields} - {"tls"}


def test_every_table_of_the_file_is_described() -> None:
    described = {re.split(r"[\[\].]", heading)[1] for heading in TABLES}
    assert described == set(ConfigFile.model_fields)
    for key in TlsOptions.model_fields:
        assert f"`{key}`" in CONFIGURATION.read_text()


def defaults(model: type[BaseModel]) -> dict[str, Any]:
    """The defaults as TOML writes them, of the keys that have one worth telling."""
    known = {key: field.default for key, field in model.model_fields.items() if not field.is_required()}
    made = model.model_construct(**known).model_dump(mode="json", exclude={"tls"}, warnings=False)
    return {key: made[key] for key in known if made.get(key) not in (None, [], {})}


@pytest.mark.parametrize(
    ("heading", "model"),
    [("`[server]`", ServerOptions), ("`[routes.NAME]`", RouteOptions), ("`[breaker]`", BreakerOptions)],
)
def test_defaults_are_those_of_the_model(heading: str, model: type[BaseModel]) -> None:
    written = {
        name: row[1].strip("`") for row in rows(CONFIGURATION, heading) for name in names_in(row[0]) if row[1]
    }
    expected = {key: json.dumps(value) for key, value in defaults(model).items()}
    assert {key: text for key, text in written.items() if text != "required"} == expected


def test_defaults_of_providers_are_those_of_their_models() -> None:
    cells = [
        (name, row[1].strip("`"))
        for row in rows(CONFIGURATION, "`[providers.NAME]`")
        for name in names_in(row[0])
    ]
    for model in (OpenAIOptions, LocalOptions):
        for key, value in defaults(model).items():
            assert (key, json.dumps(value)) in cells, (model.__name__, key)


def test_the_faults_shown_are_those_that_are_said(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.write(
        '[server]\nprot = 8787\n\n[providers.openai]\nkind = "openai"\napi_key = "sk-test"\n\n'
        '[routes.coder]\ntargets = ["opnai/gpt-5.5"]\n'
    )
    result = place.run("check")
    assert result.returncode == 78
    assert result.stderr == block(CONFIGURATION, "text", holding="did you mean")


# Plugins


def test_every_hook_is_described_with_its_signature() -> None:
    described = {re.split(r"\(", names_in(row[0])[0])[0] for row in rows(PLUGINS, "Hooks")}
    hooks = {name for name in vars(hookspecs) if name.startswith("maestro_")}
    assert described == hooks
    for row in rows(PLUGINS, "Hooks"):
        name, _, parameters = names_in(row[0])[0].partition("(")
        said = re.findall(r"(\w+): ([\w.]+)", parameters)
        annotations = getattr(hookspecs, name).__annotations__
        assert dict(said) == {key: value for key, value in annotations.items() if key != "return"}


def test_the_table_of_names_is_that_of_the_contract() -> None:
    """Nothing is exported that the page does not list, and nothing is listed that is gone."""
    headings = [line[4:] for line in PLUGINS.read_text().splitlines() if line.startswith("### To ")]
    listed = [name for heading in headings for row in rows(PLUGINS, heading) for name in names_in(row[0])]
    assert sorted(listed) == sorted(plugin.__all__)
    for name in listed:
        assert hasattr(plugin, name), name


def test_the_version_of_the_contract_is_the_one_that_is_told() -> None:
    assert f"now `{plugin.API_VERSION}`" in PLUGINS.read_text()
    assert f'maestro_api = "{plugin.API_VERSION}"' in blocks(PLUGINS, "python", holding="maestro_api")[0]


def test_every_name_of_the_contract_that_is_described_is_exported() -> None:
    examples = re.findall(
        r"from maestro_daemon\.plugin import \(?([^)]*?)(?:\)|\n\n)", "\n".join(blocks(PLUGINS, "python"))
    )
    described = {name for each in examples for name in re.findall(r"\w+", each)}
    described |= {names_in(row[0])[0] for row in rows(PLUGINS, "A provider") if row[0].startswith("`")} - {
        "models",
        "complete",
        "stream",
        "aclose",
    }
    described |= {name.partition("(")[0] for row in rows(PLUGINS, "Errors") for name in names_in(row[0])}
    described |= {name for row in rows(PLUGINS, "Options") for name in names_in(row[0])}
    assert len(described) > 25
    assert described <= set(plugin.__all__)


# Clients and errors


def test_every_client_is_pointed_at_the_daemon() -> None:
    page = DOCS / "clients.md"
    written = re.findall(r"https?://127\.0\.0\.1:8787[^\"'\s`,)]*", page.read_text())
    assert len(written) > 8
    assert set(written) == {BASE_URL}
    for text in blocks(page, "toml"):
        tomllib.loads(text)
    for text in blocks(page, "json"):
        json.loads(text)
    for text in blocks(page, "python"):
        compile(text, page.name, "exec")


def test_every_code_of_an_error_is_one_that_the_daemon_has() -> None:
    source = "\n".join(path.read_text() for path in (ROOT / "maestro_daemon").rglob("*.py"))
    codes = [code for row in rows(DOCS / "errors.md", "Of the daemon itself") for code in names_in(row[1])]
    assert len(codes) > 20
    for code in codes:
        assert f'"{code}"' in source, code


def test_the_exit_status_of_a_bad_configuration_is_told() -> None:
    from maestro_daemon.cli import EX_CONFIG

    told = {row[0] for row in rows(DOCS / "errors.md", "Exit status of the program")}
    assert told == {"0", "1", str(click.UsageError.exit_code), str(EX_CONFIG)}
