"""Whatever a client sends: a well-formed chat request, or a refusal that says where."""

from __future__ import annotations

import copy
import re
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from maestro_daemon.errors import RequestInvalid
from maestro_daemon.protocol.call_pairs import CALL_OF_OUTPUT, CALLS
from maestro_daemon.protocol.chat_request import ChatDialect, chat_call
from maestro_daemon.protocol.sealed_reasoning import COMPACTION, seal
from tests.support.chat_items import ELSEWHERE, IMAGE, THOUGHT, USER, call, output
from tests.support.chat_oracle import LOCAL, OPENAI, assert_well_formed, messages, request

IDS = st.sampled_from(["a", "b", "c0", "", None, 3])
NAMES = st.sampled_from(["look", "apply_patch", "exec", "ä.b", "x" * 70, "", None, 5])
JSONS = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "id", "name", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)
PARTS = st.one_of(
    st.builds(
        lambda kind, said: {"type": kind, "text": said},
        st.sampled_from(["input_text", "output_text", "text"]),
        st.text(max_size=5),
    ),
    st.sampled_from(
        [
            {"type": "refusal", "refusal": "No."},
            {"type": "input_image", "image_url": IMAGE},
            {"type": "input_image", "file_id": "f"},
            {"type": "input_file", "file_data": "aGk=", "filename": "a.txt"},
            {"type": "input_video"},
            "bare",
        ]
    ),
    JSONS,
)
CONTENT = st.text(max_size=5) | st.lists(PARTS, max_size=3) | JSONS
TOOL = st.one_of(
    st.fixed_dictionaries({"type": st.sampled_from(["function", "custom"]), "name": NAMES}),
    st.fixed_dictionaries(
        {
            "type": st.just("namespace"),
            "name": NAMES,
            "tools": st.lists(
                st.fixed_dictionaries({"type": st.sampled_from(["function", "custom"]), "name": NAMES}),
                max_size=2,
            ),
        }
    ),
    st.sampled_from(
        [{"type": "web_search"}, {"type": "shell"}, {"type": "tool_search", "execution": "client"}]
    ),
    JSONS,
)
OTHER_TYPES = {
    "message",
    "reasoning",
    "compaction",
    "additional_tools",
    "configuration_update",
    "item_reference",
    "web_search_call",
    "telepathy",
}
KINDS = st.sampled_from(sorted(CALLS | CALL_OF_OUTPUT.keys() | OTHER_TYPES))
ANY_ITEM = st.fixed_dictionaries(
    {"type": KINDS},
    optional={
        "role": st.sampled_from(["user", "assistant", "system", "developer", "tool"]),
        "content": CONTENT,
        "call_id": IDS,
        "id": IDS,
        "name": NAMES,
        "namespace": NAMES,
        "arguments": st.sampled_from(["", "{}", '{"a":1}', "[]", "x", None, {"a": 1}]),
        "input": st.text(max_size=5) | JSONS,
        "output": CONTENT,
        "summary": CONTENT,
        "encrypted_content": st.sampled_from(
            [None, "x", seal("s", provider="home"), seal("s", provider=COMPACTION)]
        ),
        "tools": st.lists(TOOL, max_size=3) | JSONS,
        "action": JSONS,
        "operation": JSONS,
        "reasoning": JSONS,
        "status": JSONS,
    },
)
GOOD_ID = st.sampled_from(["a", "b", "c0"])
SANE_ITEM = st.one_of(
    st.builds(
        lambda role, said: {"role": role, "content": said},
        st.sampled_from(["user", "assistant", "developer"]),
        st.text(max_size=3),
    ),
    st.builds(call, GOOD_ID, st.sampled_from(["look", "ä.b", "x" * 70])),
    st.builds(output, GOOD_ID, st.text(max_size=3) | st.just([{"type": "input_image", "image_url": IMAGE}])),
    st.just(THOUGHT),
    st.sampled_from([{"type": "telepathy"}, {"id": "rs_1"}]),
    st.builds(
        lambda call_id: {"type": "custom_tool_call", "call_id": call_id, "name": "apply_patch", "input": "x"},
        GOOD_ID,
    ),
    st.builds(
        lambda call_id: {"type": "custom_tool_call_output", "call_id": call_id, "output": "x"}, GOOD_ID
    ),
)
DIALECTS = st.sampled_from(
    [LOCAL, OPENAI, ELSEWHERE, replace(LOCAL, images=False, flatten_text=False, tools=False)]
)


def refusal(items: list[Any], dialect: ChatDialect) -> RequestInvalid | None:
    """None if the items were translated, the error if they were refused; anything else is wrong."""
    wanted = request(*items)
    before = copy.deepcopy(wanted.body)
    translated, error = None, None
    try:
        translated = chat_call(wanted, dialect)
    except RequestInvalid as caught:
        error = caught
    assert wanted.body == before
    if translated is not None:
        assert_well_formed(translated.body, dialect)
    return error


@given(st.lists(ANY_ITEM | JSONS, max_size=8), DIALECTS)
def test_any_items_make_a_well_formed_request_or_are_refused_by_path(
    items: list[Any], dialect: ChatDialect
) -> None:
    left = [*items, USER]
    while (error := refusal(left, dialect)) is not None:
        place = re.match(r"input\[(\d+)\]", error.param or "")
        assert place is not None, "the refusal does not say which item it means"
        del left[int(place[1])]


@given(st.lists(SANE_ITEM, max_size=12), DIALECTS)
def test_calls_and_outputs_in_any_order_make_a_well_formed_request(
    items: list[Any], dialect: ChatDialect
) -> None:
    calls = [item["call_id"] for item in items if str(item.get("type")).endswith("_call")]
    outputs = [item["call_id"] for item in items if str(item.get("type")).endswith("_output")]
    refused = refusal([*items, USER], dialect) is not None
    assert refused == bool(set(outputs) - set(calls))


@given(st.lists(SANE_ITEM, max_size=12))
def test_what_the_user_says_keeps_its_order_and_its_words(items: list[Any]) -> None:
    calls = {item["call_id"] for item in items if str(item.get("type")).endswith("_call")}
    sane = [i for i in items if not str(i.get("type")).endswith("_output") or i["call_id"] in calls]
    said = messages(*sane, USER)
    words = [item["content"] for item in [*sane, USER] if item.get("role") == "user"]
    assert [
        each["content"] for each in said if each["role"] == "user" and isinstance(each["content"], str)
    ] == words
