from __future__ import annotations

from typing import Any

import pytest

from maestro_daemon.providers.provider import Model
from maestro_daemon.server.codex_models import CODING_AGENT_PROMPT, codex_entry


def entry(*models: Model | None) -> dict[str, Any]:
    made = codex_entry("name", models=models, priority=3)
    assert made is not None
    return made


def efforts(*models: Model | None) -> list[str]:
    return [level["effort"] for level in entry(*models)["supported_reasoning_levels"]]


def test_one_target_without_tools_keeps_the_whole_name_out() -> None:
    able, unable, unknown = Model("a", tools=True), Model("b", tools=False), Model("c")
    assert codex_entry("name", models=[able, unable], priority=0) is None
    assert codex_entry("name", models=[able, unknown, None], priority=0) is not None


def test_the_smallest_context_window_counts() -> None:
    assert (
        entry(Model("a", context_window=8192), Model("b", context_window=100_000))["context_window"] == 8192
    )
    assert "context_window" not in entry(Model("a"))


def test_a_small_model_keeps_less_of_a_tools_output() -> None:
    assert entry(Model("a", context_window=8192))["truncation_policy"] == {"mode": "tokens", "limit": 1024}
    assert entry(Model("a", context_window=2048))["truncation_policy"]["limit"] == 1000
    assert entry(Model("a"))["truncation_policy"]["limit"] == 10_000


def test_efforts_are_those_that_every_target_takes_in_ascending_order() -> None:
    one = Model("a", reasoning_efforts=("high", "low", "medium"))
    two = Model("b", reasoning_efforts=("xhigh", "high", "medium"))
    assert efforts(one, two) == ["medium", "high"]
    assert efforts(one, Model("c"), None) == ["low", "medium", "high"]
    assert efforts(Model("c")) == []
    assert entry(one, two)["default_reasoning_level"] == "medium"
    assert entry(Model("a", reasoning_efforts=("low", "high")))["default_reasoning_level"] == "high"
    assert entry(Model("c"))["default_reasoning_level"] is None


def test_an_effort_that_codex_does_not_know_is_left_out() -> None:
    assert efforts(Model("a", reasoning_efforts=("low", "galactic"))) == ["low"]


def test_a_model_that_sees_no_images_says_so() -> None:
    assert entry(Model("a", vision=False), Model("b"))["input_modalities"] == ["text"]
    assert entry(Model("a", vision=True), None)["input_modalities"] == ["text", "image"]


def test_every_field_that_codex_demands_is_there() -> None:
    assert entry(None).keys() >= {
        "slug",
        "display_name",
        "supported_reasoning_levels",
        "shell_type",
        "visibility",
        "supported_in_api",
        "priority",
        "base_instructions",
        "support_verbosity",
        "truncation_policy",
        "experimental_supported_tools",
    }


@pytest.mark.parametrize(
    "topic",
    ["apply_patch", "exec_command", "write_stdin", "update_plan", "AGENTS.md", "sandbox", "*** Begin Patch"],
)
def test_the_prompt_covers_what_a_coding_agent_meets(topic: str) -> None:
    assert topic in CODING_AGENT_PROMPT


def test_the_prompt_is_whole_and_names_no_vendor() -> None:
    prompt = CODING_AGENT_PROMPT
    assert 6000 < len(prompt.encode()) < 12_000
    for vendor in ("OpenAI", "GPT", "Codex", "Claude", "Copilot"):
        assert vendor not in prompt
