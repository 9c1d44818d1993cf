"""The TOML table of a local provider: what goes together, and the sentence for what does not."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from maestro_local import local_provider, maestro_register_providers
from maestro_local.options import LocalOptions


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        (
            {},
            'needs base_url, the address of a server (like "http://127.0.0.1:11434/v1"), '
            'or engine = "embedded"',
        ),
        (
            {"engine": "embedded", "base_url": "http://127.0.0.1:1/v1"},
            'base_url cannot be set with engine = "embedded", which runs a server of its own',
        ),
        (
            {"engine": "embedded", "dialect": "responses", "headers": {"a": "b"}},
            'dialect and headers cannot be set with engine = "embedded", which runs a server of its own',
        ),
        (
            {"base_url": "http://127.0.0.1:1/v1", "context": 4096, "model": "x.gguf"},
            'model and context can only be set with engine = "embedded": a server has its own',
        ),
    ],
    ids=["neither", "both", "several", "the engine's keys"],
)
def test_a_wrong_combination_is_one_sentence(table: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        LocalOptions.model_validate(table)
    (error,) = refusal.value.errors()
    assert error["msg"] == f"Value error, {sentence}"


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ({"engine": "metal"}, "engine"),
        ({"base_url": "http://10.0.0.8:8000/v1"}, "base_url"),
        ({"base_url": "http://127.0.0.1:1", "dialect": "anthropic"}, "dialect"),
        ({"base_url": "http://127.0.0.1:1", "max_concurrent": 0}, "max_concurrent"),
        ({"engine": "embedded", "context": 10}, "context"),
        ({"engine": "embedded", "parallel": 0}, "parallel"),
        ({"engine": "embedded", "threads": 0}, "threads"),
    ],
)
def test_a_wrong_value_is_told_by_its_key(table: dict[str, Any], key: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        LocalOptions.model_validate(table)
    assert refusal.value.errors()[0]["loc"][0] == key


def test_every_key_is_described_for_the_schema_and_the_example_file() -> None:
    properties = LocalOptions.model_json_schema()["properties"]
    assert set(properties) == set(LocalOptions.model_fields)
    assert [key for key, said in properties.items() if not said.get("description")] == []


def test_the_plugin_brings_the_kind_local() -> None:
    registered: list[Any] = []
    maestro_register_providers(lambda *arguments: registered.append(arguments))
    assert registered == [("local", LocalOptions, local_provider)]
