"""The options: what they default to, and that each is described."""

from __future__ import annotations

from typing import Any

import pydantic
import pytest

from maestro_anthropic.options import AnthropicOptions, Budgets
from maestro_daemon.config.example import example
from maestro_daemon.config.loading import load
from maestro_daemon.providers.registry import Registry
from serving_claude import options


@pytest.fixture
def registry() -> Registry:
    import maestro_anthropic

    one = Registry(list)
    one.add(maestro_anthropic, "anthropic")
    return one


def test_the_key_is_all_that_must_be_said(registry: Registry, tmp_path: Any) -> None:
    file = tmp_path / "maestro.toml"
    file.touch(mode=0o600)
    file.write_text('[providers.claude]\nkind = "anthropic"\napi_key = { env = "ANTHROPIC_API_KEY" }\n')
    configured = load(file, registry, environ={"ANTHROPIC_API_KEY": "sk-ant-1"}).providers["claude"]
    said = configured.options
    assert isinstance(said, AnthropicOptions)
    assert said.base_url == "https://api.anthropic.com/v1"
    assert said.api_key.reveal() == "sk-ant-1"
    assert (said.auth, said.version, said.cache, said.max_tokens) == ("x-api-key", "2026-10-21", "5m", 32_000)


def test_every_option_is_described_in_the_example(registry: Registry) -> None:
    text = example(registry.kinds)
    for model in (AnthropicOptions, Budgets):
        for name, field in model.model_fields.items():
            assert field.description, name
            assert f"#{name} = " in text or f"#[providers.anthropic.{name}]" in text, name


def test_an_address_without_a_path_means_its_version_one() -> None:
    assert options(base_url="https://gateway.example").base_url == "https://gateway.example/v1"
    assert options(base_url="https://gateway.example/claude").base_url == "https://gateway.example/claude"


@pytest.mark.parametrize(
    "wrong",
    [
        {"version": "newest"},
        {"betas": ["a b"]},
        {"max_tokens": 0},
        {"budgets": {"low": 3}},
        {"cache": "2h"},
        {"thinking": "maybe"},
        {"effort": "huge"},
        {"nonsense": 1},
    ],
)
def test_wrong_options_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(pydantic.ValidationError):
        options(**wrong)
