"""Whatever a client sends: a request that the API takes, or a refusal that says where."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from maestro_anthropic.facts import facts_of
from maestro_anthropic.message_request import MessageCall, message_call
from maestro_daemon.plugin import RequestInvalid, ResponseRequest, retell
from maestro_daemon.protocol.sealed_reasoning import seal
from messages_api import model_entry, thinking_of
from request_rules import check_request
from scripted_answers import signature_of
from serving_claude import options
from tests.protocol.test_any_items import ANY_ITEM, JSONS, SANE_ITEM, TOOL
from tests.support.chat_items import USER

ENTRIES = [
    model_entry("claude-test"),
    model_entry("claude-test", **thinking_of(adaptive=False, enabled=True, disabled=True)),
    model_entry("claude-test", **thinking_of(adaptive=True, enabled=False, disabled=False)),
    model_entry(
        "claude-test",
        **thinking_of(adaptive=False, enabled=False, disabled=True),
        effort={"supported": False},
        image_input={"supported": False},
        structured_outputs={"supported": False},
    ),
]
THOUGHTS = st.sampled_from(["", "Hm.", "🌍"]).map(
    lambda said: {
        "type": "reasoning",
        "summary": [],
        "encrypted_content": seal(
            said, provider="claude", opaque=json.dumps([[len(said), signature_of(said)], ["opaque=="]])
        ),
    }
)
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 3}}}
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "tools": st.lists(TOOL, max_size=3),
        "tool_choice": st.sampled_from(["auto", "none", "required"]),
        "parallel_tool_calls": st.booleans(),
        "reasoning": st.sampled_from([{"effort": effort} for effort in ("none", "low", "xhigh", "odd")]),
        "max_output_tokens": st.sampled_from([16, 1025, 10**6]),
        "temperature": st.sampled_from([0, 1, 2]),
        "top_p": st.sampled_from([0.1, 1]),
        "instructions": st.text(max_size=3),
        "text": st.sampled_from(
            [
                {"format": {"type": "json_object"}},
                {"format": {"type": "json_schema", "name": "a", "schema": SCHEMA}},
                {"verbosity": "low"},
            ]
        ),
        "a_field": JSONS,
    },
)
SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "cache": st.sampled_from(["1h", "off"]),
        "version": st.just("2023-06-01"),
        "structured_output": st.sampled_from(["format", "tool"]),
        "thinking_display": st.just("omitted"),
        "effort": st.just("low"),
    },
)


def translated(
    items: list[Any], fields: dict[str, Any], entry: dict[str, Any], settings: dict[str, Any]
) -> MessageCall:
    """The translation, which the API takes. Raises `RequestInvalid`."""
    body = {"model": "claude-test", "input": items, **fields}
    before = copy.deepcopy(body)
    request = ResponseRequest(body=body, model="claude-test", asked_model="claude-test")
    configured = options(**settings)
    call = message_call(retell(request, provider="claude"), facts_of(entry), configured)
    check_request(
        json.loads(json.dumps(call.body)),
        version=configured.version,
        facts=_able(entry, settings),
        signature_of=signature_of,
    )
    assert body == before
    return call


def _able(entry: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """Whoever insists on the API's own way of enforcing a schema has a model that can."""
    if settings.get("structured_output") != "format":
        return entry
    return {**entry, "capabilities": {**entry["capabilities"], "structured_outputs": {"supported": True}}}


@given(st.lists(ANY_ITEM | JSONS, max_size=8), st.sampled_from(ENTRIES))
def test_any_items_make_a_request_that_the_api_takes_or_are_refused_by_path(
    items: list[Any], entry: dict[str, Any]
) -> None:
    left = [*items, USER]
    while True:
        try:
            translated(left, {}, entry, {})
            break
        except RequestInvalid as error:
            place = re.match(r"input\[(\d+)\]", error.param or "")
            assert place is not None, "the refusal does not say which item it means"
            del left[int(place[1])]


@given(st.lists(SANE_ITEM | THOUGHTS, max_size=12), FIELDS, st.sampled_from(ENTRIES), SETTINGS)
def test_any_conversation_under_any_settings_is_taken(
    items: list[Any], fields: dict[str, Any], entry: dict[str, Any], settings: dict[str, Any]
) -> None:
    calls = {item["call_id"] for item in items if str(item.get("type")).endswith("_call")}
    sane = [i for i in items if not str(i.get("type")).endswith("_output") or i["call_id"] in calls]
    try:
        call = translated([*sane, USER], fields, entry, settings)
    except RequestInvalid as error:
        if (error.param or "").startswith(("tools", "tool_choice")):
            return
        raise
    words = [item["content"] for item in [*sane, USER] if item.get("role") == "user"]
    said = [
        block["text"]
        for message in call.body["messages"]
        for block in message["content"]
        if message["role"] == "user" and block["type"] == "text" and not block["text"].startswith("<system_")
    ]
    assert said == [word for word in words if word.strip()]
