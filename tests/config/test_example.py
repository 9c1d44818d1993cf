"""The example file and the JSON Schema say what the models say, no more and no less."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import BaseModel, TypeAdapter

from maestro_daemon.config import ConfigFile, ProviderTable, load, toml_text
from maestro_daemon.config.example import example
from maestro_daemon.config.schema import json_schema
from maestro_daemon.config.shape import example_of, tables_in
from maestro_daemon.plugin import Register, Secret, Table, hookimpl
from maestro_daemon.providers.registry import HOUSE_KEYS, Registry
from maestro_daemon.providers.secret import Sources

EXAMPLE = Path(__file__).parents[2] / "config.example.toml"
HEADER = re.compile(r"#\[([^\]]+)\]")
ASSIGNMENT = re.compile(r"#([A-Za-z0-9_-]+) = (.+)")


@pytest.fixture
def registry() -> Registry:
    one = Registry()
    one.load()
    return one


@pytest.fixture
def text() -> str:
    return EXAMPLE.read_text()


def keys_in(text: str) -> list[tuple[str, str]]:
    """Every commented-out key of an example, with its table."""
    table, keys = "", []
    for line in text.splitlines():
        if header := HEADER.fullmatch(line):
            table = header[1]
            keys.append((table, ""))
        elif assignment := ASSIGNMENT.fullmatch(line):
            keys.append((table, assignment[1]))
    return keys


def keys_of(model: type[BaseModel], table: str) -> Iterator[tuple[str, str]]:
    """Every key of a model, tables inside included, by the model alone."""
    yield table, ""
    for name, field in model.model_fields.items():
        if inner := tables_in(field.annotation):
            yield from keys_of(inner[0], f"{table}.{name}")
        else:
            yield table, name


def test_every_key_of_every_model_stands_there_once_and_nothing_else(registry: Registry, text: str) -> None:
    models = {name: tables_in(field.annotation)[0] for name, field in ConfigFile.model_fields.items()}
    del models["providers"]
    wanted = Counter(
        key
        for name, model in models.items()
        for key in keys_of(model, {"clients": "clients.alice", "routes": "routes.coder"}.get(name, name))
    )
    for kind in registry.kinds.values():
        table = f"providers.{kind.name}"
        wanted.update(
            [*keys_of(kind.options_model, table), *((table, key) for key in ProviderTable.model_fields)]
        )
    assert Counter(keys_in(text)) == wanted
    assert set(wanted.values()) == {1}


def test_no_plugin_may_take_a_key_of_the_house() -> None:
    assert set(ProviderTable.model_fields) == HOUSE_KEYS


def test_the_file_is_what_config_example_prints(registry: Registry, text: str) -> None:
    assert text == example(registry.kinds), (
        "write it anew: maestro-daemon config example > config.example.toml"
    )


def test_the_file_loads_as_it_is(registry: Registry) -> None:
    assert load(EXAMPLE, registry, environ={}).providers == {}


def test_every_line_is_prose_or_toml_or_empty(text: str) -> None:
    for line in text.splitlines():
        assert (
            line == ""
            or line.startswith("# ")
            or line == "#"
            or HEADER.fullmatch(line)
            or ASSIGNMENT.fullmatch(line)
        )


def test_every_key_has_prose_above_it(text: str) -> None:
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if ASSIGNMENT.fullmatch(line) and not line.startswith("#kind = "):
            assert lines[number - 1].startswith("# "), line


def test_every_value_is_one_that_its_field_takes(registry: Registry, text: str, tmp_path: Path) -> None:
    uncommented = re.sub(r"(?m)^#(?=\S)", "", text)
    document = tomllib.loads(uncommented)
    (tmp_path / "a.key").write_text("key")
    sources = Sources(dict.fromkeys(re.findall(r'env = "(\w+)"', text), "x" * 9), True, tmp_path)

    def check(model: type[BaseModel], table: dict[str, Any]) -> None:
        for name, field in model.model_fields.items():
            value = table[name]
            if inner := tables_in(field.annotation):
                check(inner[0], value)
            elif not (isinstance(value, dict) and "file" in value) and "/etc/" not in str(value):
                from typing import Annotated

                whole: Any = (
                    Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
                )
                TypeAdapter(whole).validate_python(value, context=sources)

    for name in ("server", "plugins"):
        check(tables_in(ConfigFile.model_fields[name].annotation)[0], document[name])
    check(tables_in(ConfigFile.model_fields["routes"].annotation)[0], document["routes"]["coder"])
    for kind in registry.kinds.values():
        check(kind.options_model, document["providers"][kind.name])


def test_the_routes_of_the_example_go_to_its_providers(text: str) -> None:
    document = tomllib.loads(re.sub(r"(?m)^#(?=\S)", "", text))
    route = document["routes"]["coder"]
    for target in [*route["targets"], *route["fallbacks"]]:
        assert target.partition("/")[0] in document["providers"]


def test_the_schema_is_one_and_takes_a_configuration(registry: Registry) -> None:
    schema = json_schema(registry.kinds)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    document = tomllib.loads(
        """
        [server]
        keepalive = "5s"
        max_body = "1MiB"
        [clients.alice]
        key = { env = "ALICE" }
        [providers.openai]
        kind = "openai"
        api_key = "sk-1"
        idle_timeout = "90s"
        [providers.home]
        kind = "local"
        base_url = "http://127.0.0.1:11434/v1"
        [routes.coder]
        targets = ["home/a"]
        balance = "in_order"
        """
    )
    validator.validate(document)
    for wrong in (
        {"serve": {}},
        {"server": {"port": "1"}},
        {"server": {"keepalive": 5}},
        {"providers": {"a": {"kind": "nope"}}},
        {"providers": {"a": {"kind": "openai", "api_key": "x", "engine": "embedded"}}},
        {"providers": {"a": {"base_url": "http://127.0.0.1/v1"}}},
        {"routes": {"a": {"targets": []}}},
        {"clients": {"a": {"key": {"env": "A", "file": "b"}}}},
    ):
        assert not validator.is_valid(wrong), wrong


def test_the_schemas_defaults_are_as_toml_has_them(registry: Registry) -> None:
    schema = json_schema(registry.kinds)
    server = schema["$defs"]["ServerOptions"]["properties"]
    assert server["keepalive"]["default"] == "15s"
    assert server["max_body"]["default"] == "64MiB"
    assert server["port"]["default"] == 8787
    assert server["port"]["description"]


def test_a_schema_without_any_kind_allows_no_provider() -> None:
    validator = jsonschema.Draft202012Validator(json_schema({}))
    assert validator.is_valid({})
    assert not validator.is_valid({"providers": {"a": {"kind": "openai"}}})


class Inner(Table):
    """A table inside an outsider's."""

    depth: int
    """How deep."""


class Outer(Table):
    """An outsider's table, without examples."""

    api_key: Secret
    """Its key."""

    flag: bool
    """Its flag."""

    inner: Inner | None = None
    many: dict[str, Inner] = {}  # noqa: RUF012  (pydantic copies defaults)


def test_an_outsiders_kind_gets_its_lines_without_any_example() -> None:
    class Plugin:
        @hookimpl
        def maestro_register_providers(self, register: Register) -> None:
            register("outer", Outer, lambda name, options: None)  # type: ignore[arg-type,return-value]

    one = Registry(list)
    one.add(Plugin(), "outsider")
    text = example(one.kinds)
    assert '#api_key = { env = "API_KEY" }' in text
    assert "#flag = true" in text
    assert "#[providers.outer.inner]" in text
    assert "#[providers.outer.many.name]" in text
    tomllib.loads(re.sub(r"(?m)^#(?=\S)", "", text))
    jsonschema.Draft202012Validator.check_schema(json_schema(one.kinds))


def test_examples_have_the_type_of_their_field() -> None:
    assert toml_text.value(example_of("depth", Inner.model_fields["depth"])) == "1"
