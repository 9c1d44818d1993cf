"""Any request becomes one that Copilot takes, and nothing is changed in place."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_copilot.catalogue import CopilotModel, catalogue
from maestro_copilot.ciphertext import bound
from maestro_copilot.native_request import native_body, nearest_effort
from maestro_copilot.quirks import CONNECTION_BOUND_IDS, REFUSED_TOOLS
from maestro_daemon.plugin import RequestInvalid, ResponseRequest
from maestro_daemon.protocol.sealed_reasoning import COMPACTION, seal
from tests.support.copilot.catalogues import entry

TOOLS = [quirk.about for quirk in REFUSED_TOOLS]
KINDS = [None, *(quirk.about for quirk in CONNECTION_BOUND_IDS), "reasoning", "compaction", "new_kind"]


def known(**supports: Any) -> CopilotModel:
    return catalogue({"data": [entry("m", **supports)]}).models["m"]


def request(model: str = "m", **body: Any) -> ResponseRequest:
    return ResponseRequest(
        {"model": model, "input": "Hi", **body}, model, model, stream=body.get("stream", False)
    )


def made(model: CopilotModel | None = None, **body: Any) -> dict[str, Any]:
    return native_body(request(**body), model, refused_tools=TOOLS).body


def test_unknown_fields_items_and_parts_pass_as_they_are() -> None:
    """Forward unknown, strip only what is known to be refused."""
    items = [
        {"type": "new_kind", "id": "n_1", "x": None},
        {"role": "user", "content": [{"type": "new_part", "y": 1}]},
    ]
    body = made(input=items, new_field={"z": [None]}, truncation="auto", tools=[{"type": "new_tool"}])
    assert (body["input"], body["new_field"], body["truncation"]) == (items, {"z": [None]}, "auto")
    assert body["tools"] == [{"type": "new_tool"}]


def test_tools_that_a_search_found_are_made_ready_as_the_declared_ones() -> None:
    """copilot.md §7: refused are a namespace without inner tools or with a blank description, web_search."""
    inner = [{"type": "function", "name": "add"}]
    found = {
        "type": "tool_search_output",
        "id": "tso_1",
        "call_id": "call_1",
        "tools": [
            {"type": "namespace", "name": "mcp__calc", "description": " ", "tools": inner},
            {"type": "namespace", "name": "mcp__none", "description": "Nothing.", "tools": []},
            {"type": "web_search"},
        ],
    }
    told = native_body(request(input=[found]), None, refused_tools=TOOLS)
    namespace = {"type": "namespace", "name": "mcp__calc", "description": "mcp__calc", "tools": inner}
    assert told.body["input"] == [{"type": "tool_search_output", "call_id": "call_1", "tools": [namespace]}]
    assert told.dropped == ["input[0].tools[1]: namespace", "input[0].tools[2]: web_search"]


def test_of_the_allowed_tools_those_that_copilot_lacks_are_left_out() -> None:
    """copilot.md §7: web_search is refused, so it cannot be chosen either."""
    function = {"type": "function", "name": "add"}
    tools = [{**function, "parameters": {}}, {"type": "web_search"}]

    def chosen(mode: str, *allowed: Any) -> Any:
        choice = {"type": "allowed_tools", "mode": mode, "tools": list(allowed)}
        return made(input="Hi", tools=tools, tool_choice=choice)["tool_choice"]

    both = chosen("required", function, {"type": "web_search"})
    assert both == {"type": "allowed_tools", "mode": "required", "tools": [function]}
    assert chosen("auto", {"type": "web_search"}) == "none"
    with pytest.raises(RequestInvalid, match="does not have: web_search"):
        chosen("required", {"type": "web_search"})


def test_more_fields_and_other_tools_may_be_set_as_refused() -> None:
    wanted = request(truncation="auto", tools=[{"type": "web_search"}, {"type": "shell"}])
    body = native_body(wanted, None, refused_tools=["shell"], refused_fields=["truncation"]).body
    assert "truncation" not in body
    assert body["tools"] == [{"type": "web_search"}]


def test_context_management_is_kept_from_the_first_of_gpt_5_alone() -> None:
    """copilot.md §7 What it takes and refuses: not for gpt-5, 5.1, 5.2."""
    field = "context_management"
    kept = {
        id: field in native_body(request(id, context_management=[{}]), None, refused_tools=()).body
        for id in ("gpt-5", "gpt-5-mini", "gpt-5.1", "gpt-5.2-codex", "gpt-5.3-codex", "gpt-5.5", "gpt-50")
    }
    assert kept == {
        "gpt-5": False,
        "gpt-5-mini": False,
        "gpt-5.1": False,
        "gpt-5.2-codex": False,
        "gpt-5.3-codex": True,
        "gpt-5.5": True,
        "gpt-50": True,
    }


def test_a_summary_that_the_house_sealed_stays_for_the_house_to_read() -> None:
    """copilot.md §7 Replaying: a compaction is bound to its id as reasoning is."""
    summary = {"type": "compaction", "encrypted_content": seal("so far", provider=COMPACTION)}
    minted = {"type": "compaction", "id": "x", "encrypted_content": bound("cipher", "raw")}
    raw = {"type": "compaction", "id": "raw", "encrypted_content": "cipher"}
    assert made(input=[summary, minted])["input"] == [summary, raw]


def test_reasoning_is_not_asked_of_a_model_that_has_none() -> None:
    """copilot.md §6 GET /models: treat either as "reasons"."""
    wanted = {"effort": "low", "summary": "auto"}
    assert "reasoning" not in made(known(reasoning_effort=None), reasoning=wanted)
    assert made(known(), reasoning=wanted)["reasoning"] == wanted
    assert made(None, reasoning=wanted)["reasoning"] == wanted


@pytest.mark.parametrize("id", ["gpt-5.5", "gpt-5.3-codex", "o3", "o4-mini"])
def test_reasoning_is_asked_of_models_that_are_known_for_it_whatever_is_listed(id: str) -> None:
    """copilot.md §6 GET /models: every field may be missing."""
    (model,) = catalogue({"data": [entry(id, reasoning_effort=None)]}).models.values()
    assert model.reasons is False
    asked = {"effort": "high", "summary": "auto"}
    assert made(model, reasoning=asked)["reasoning"] == asked


def test_the_nearest_effort_is_the_next_lower() -> None:
    """copilot.md §6 GET /models: reasoning_effort[]."""
    assert nearest_effort("max", ("low", "high")) == "high"
    assert nearest_effort("minimal", ("low", "high")) == "low"
    assert nearest_effort("medium", ("none", "low")) == "low"
    assert nearest_effort("none", ("low",)) is None
    assert nearest_effort("hyper", ("low",)) is None
    assert nearest_effort("low", ("odd",)) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
ITEM = st.fixed_dictionaries(
    {"type": st.sampled_from(KINDS)},
    optional={
        "id": st.text(max_size=5) | st.none(),
        "role": st.just("user"),
        "content": JSON,
        "encrypted_content": JSON | st.builds(bound, st.text(), st.text()),
        "tools": JSON,
        "new": JSON,
    },
)


@given(
    st.lists(ITEM | JSON, max_size=6),
    st.fixed_dictionaries(
        {},
        optional={
            "tools": JSON | st.lists(st.fixed_dictionaries({"type": st.sampled_from([*TOOLS, "function"])})),
            "include": JSON,
            "reasoning": JSON,
            "max_output_tokens": JSON,
            "temperature": JSON,
            "store": JSON,
        },
    ),
)
def test_any_request_is_made_ready_without_being_changed(items: list[Any], fields: dict[str, Any]) -> None:
    given_ = {"model": "m", "input": items, **fields}
    before = copy.deepcopy(given_)
    wanted = ResponseRequest(given_, "m", "m")
    body = native_body(wanted, known(), refused_tools=TOOLS).body
    assert given_ == before
    assert body["store"] is False
    assert "temperature" not in body
    json.dumps(body)
    bound_ids = {quirk.about for quirk in CONNECTION_BOUND_IDS}
    for item in body["input"]:
        if isinstance(item, dict) and item.get("type") in bound_ids:
            assert "id" not in item
