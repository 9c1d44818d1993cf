"""Copilot's list of models, entry by entry."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_copilot.catalogue import catalogue
from maestro_daemon.plugin import UpstreamBroken
from tests.support.copilot.catalogues import CHAT, DISABLED, EMBEDDINGS, MALFORMED, OFFER, entry


def listing(*entries: Any) -> dict[str, Any]:
    return {"object": "list", "data": list(entries)}


def test_a_model_is_known_with_its_limits_and_abilities() -> None:
    """copilot.md §6 GET /models: fields seen per model."""
    known = catalogue(listing(entry("gpt-native"))).models["gpt-native"]
    assert (known.dialect, known.streams, known.reasons) == ("responses", True, True)
    model = known.model
    assert (model.id, model.name, model.context_window, model.max_output_tokens) == (
        "gpt-native",
        "GPT-NATIVE",
        400000,
        64000,
    )
    assert (model.tools, model.vision, model.reasoning_efforts) == (True, True, ("low", "medium", "high"))
    assert model.details["endpoints"] == ["/chat/completions", "/responses", "ws:/responses"]
    assert (model.details["multiplier"], model.details["max_prompt_tokens"]) == (1.5, 272000)


def test_the_dialect_is_that_of_the_endpoints() -> None:
    """copilot.md §6 GET /models: the endpoint is per model; absent on older models → chat."""
    read = catalogue(listing(*OFFER)).models
    assert {id: model.dialect for id, model in read.items()} == {
        "gpt-native": "responses",
        "claude-chat": "chat",
        "gpt-5-mini": "chat",
        "old-chat": "chat",
        "o1-preview": "chat",
        "gpt-plain": "responses",
    }


def test_only_enabled_chat_models_are_offered() -> None:
    """copilot.md §6 GET /models: type == chat with policy absent or enabled; the picker is for display."""
    unpicked = {**entry("unpicked"), "model_picker_enabled": False}
    no_policy = entry("no-policy")
    del no_policy["policy"]
    pending = {**entry("pending"), "policy": {"state": "requires_consent"}}
    read = catalogue(listing(EMBEDDINGS, DISABLED, pending, unpicked, no_policy))
    assert list(read.models) == ["unpicked", "no-policy"]
    assert read.skipped == ()


@pytest.mark.parametrize("bad", MALFORMED)
def test_a_bad_entry_is_skipped_and_named(bad: Any) -> None:
    """copilot.md §6 GET /models: every field may be missing or new; parse per entry and skip bad ones."""
    read = catalogue(listing(bad, entry("good")))
    assert list(read.models) == ["good"]
    (said,) = read.skipped
    named = bad["id"] if isinstance(bad, dict) and isinstance(bad.get("id"), str) else "data[0]"
    assert said.startswith(f"{named}: ")


@pytest.mark.parametrize("id", ["a\x1b[31m", "a\nb", "\u202eb"])
def test_an_id_that_no_terminal_can_show_is_a_bad_one(id: str) -> None:
    read = catalogue(listing(entry(id), entry("good")))
    assert (list(read.models), len(read.skipped)) == (["good"], 1)


@pytest.mark.parametrize(
    ("said", "efforts"),
    [
        (["low", "high"], ("low", "high")),
        ({"values": ["low", "none"]}, ("low", "none")),
        ([{"value": "low"}, {"value": "max"}], ("low", "max")),
        (None, ()),
        ([], ()),
        (True, ()),
    ],
)
def test_efforts_are_read_in_every_shape(said: Any, efforts: tuple[str, ...]) -> None:
    """copilot.md §6 GET /models: a list, {values: […]} or [{value}], and may contain "none"."""
    assert (
        catalogue(listing(entry("m", reasoning_effort=said))).models["m"].model.reasoning_efforts == efforts
    )


def test_efforts_or_thinking_mean_that_it_reasons() -> None:
    """copilot.md §6 GET /models: thinking can be false although reasoning_effort is listed."""
    cases = {
        "listed": entry("listed", thinking=False),
        "thinks": entry("thinks", reasoning_effort=None, thinking=True),
        "adapts": entry("adapts", reasoning_effort=None, adaptive_thinking=True),
        "neither": entry("neither", reasoning_effort=None),
    }
    read = catalogue(listing(*cases.values())).models
    assert {id: model.reasons for id, model in read.items()} == {
        "listed": True,
        "thinks": True,
        "adapts": True,
        "neither": False,
    }


def test_of_two_versions_the_higher_counts() -> None:
    """copilot.md §6 GET /models: duplicate names with different versions exist."""
    old = {**entry("m", CHAT), "version": "2025-01-01"}
    new = {**entry("m"), "version": "2026-01-01"}
    for pair in ((old, new), (new, old)):
        assert catalogue(listing(*pair)).models["m"].dialect == "responses"


@pytest.mark.parametrize("said", [None, [], {}, {"data": None}, {"data": {"id": "x"}}, "models"])
def test_what_is_no_list_is_an_error(said: Any) -> None:
    with pytest.raises(UpstreamBroken, match="/models"):
        catalogue(said)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in items:
        found += places(each, (*path, key))
    return found


@given(st.data())
def test_whatever_stands_in_one_field_the_other_entries_are_read(data: st.DataObject) -> None:
    """copilot.md §6 GET /models: one changed entry broke a whole catalogue."""
    changed = copy.deepcopy(entry("changed"))
    *way, last = data.draw(st.sampled_from(places(changed)))
    holder: Any = changed
    for key in way:
        holder = holder[key]
    holder[last] = data.draw(JSON)
    assert "good" in catalogue(listing(changed, entry("good"))).models
