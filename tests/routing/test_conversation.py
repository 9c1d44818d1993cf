"""By what a conversation is known again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_daemon.request import ResponseRequest
from maestro_daemon.routing.conversation import Conversation, continued, conversation_of

HI: Any = {"role": "user", "content": "Hi"}
HELLO: Any = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "Hello", "annotations": []}],
}
CALL: Any = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f", "arguments": "{}"}
OUTPUT: Any = {"type": "function_call_output", "call_id": "call_1", "output": "done"}
THINKING: Any = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "abc"}


def known(
    input: Any = "Hi",
    *,
    route: str = "coder",
    client: str = "",
    headers: Mapping[str, str] | None = None,
    **fields: Any,
) -> Conversation:
    request = ResponseRequest(
        {"model": route, "input": input, **fields}, route, route, headers=headers or {}, client=client
    )
    conversation = conversation_of(request, route)
    assert conversation is not None
    return conversation


def follows(later: Conversation, earlier: Conversation) -> bool:
    """Whether the target that was noted for `earlier` is found for `later`."""
    return bool(set(later.known_as) & set(earlier.keys))


# Keys of the client's


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"prompt_cache_key": "k"}, "key"),
        ({"headers": {"thread-id": "k"}}, "header"),
        ({"headers": {"session-id": "k"}}, "header"),
        ({"headers": {"session_id": "k"}}, "header"),
        ({"headers": {"x-claude-code-session-id": "k"}}, "header"),
        ({"headers": {"x-session-affinity": "k"}}, "header"),
        ({"headers": {"x-session-id": "k"}}, "header"),
    ],
)
def test_what_the_client_calls_the_conversation_tells_it_from_the_first_turn_on(
    fields: Any, kind: str
) -> None:
    first = known("Hi", **fields)
    assert first.kind == kind
    assert first.known_as == first.keys
    assert follows(known([{"role": "user", "content": "rewritten"}, CALL], **fields), first)
    assert not follows(known("Hi", client="alice", **fields), first)
    assert not follows(known("Hi", route="other", **fields), first)
    assert not follows(known("Hi"), first)


def test_the_key_goes_before_headers_and_a_thread_before_its_session() -> None:
    headers = {"thread-id": "t", "session-id": "s", "x-session-id": "x"}
    assert known(prompt_cache_key="k", headers=headers).kind == "key"
    assert known(headers=headers) == known(headers={"thread-id": "t"})
    assert known(headers={**headers, "thread-id": "u"}) != known(headers=headers)


def test_a_session_is_not_taken_for_a_thread_of_the_same_name() -> None:
    names: list[dict[str, Any]] = [
        {"prompt_cache_key": "k"},
        {"headers": {"thread-id": "k"}},
        {"headers": {"session-id": "k"}},
        {"headers": {"x-session-id": "k"}},
    ]
    assert len({known(**name).keys for name in names}) == len(names)


@pytest.mark.parametrize("key", [None, "", 5, ["k"], {"k": 1}, True])
def test_what_is_no_name_is_none(key: Any) -> None:
    assert known(prompt_cache_key=key) == known()
    assert known(headers={"session-id": ""}) == known()


def test_a_request_id_of_each_request_is_no_session() -> None:
    assert known(headers={"x-client-request-id": "r"}).kind == "history"


def test_a_name_of_any_length_is_kept_small() -> None:
    long = known(prompt_cache_key="k" * 1_000_000)
    assert sum(map(len, long.keys[0])) < 200
    assert long == known(prompt_cache_key="k" * 1_000_000)
    assert long != known(prompt_cache_key="k" * 999_999)


def test_a_continued_response_without_a_name_tells_nothing() -> None:
    request = ResponseRequest({"input": "Hi", "previous_response_id": "resp_1"}, "coder", "coder")
    assert conversation_of(request, "coder") is None
    assert known(previous_response_id="resp_1", prompt_cache_key="k").kind == "key"


# History


def test_a_first_turn_is_not_looked_up() -> None:
    first = known("Hi")
    assert first.known_as == ()
    assert len(first.keys) == 1


@pytest.mark.parametrize(
    "made",
    [
        HELLO,
        {"role": "assistant", "content": "Hello"},
        CALL,
        THINKING,
        {"type": "custom_tool_call", "call_id": "c", "name": "f", "input": "x"},
        {"type": "tool_search_call", "call_id": "c", "execution": "client", "arguments": {}},
        {"type": "web_search_call", "id": "ws_1"},
        {"type": "mcp_list_tools", "id": "m", "tools": []},
        {"type": "compaction", "encrypted_content": "x"},
        {"type": "slug:new_call", "id": "x"},
        {"type": "item_reference", "id": "msg_1"},
        {"id": "msg_1"},
        OUTPUT,
    ],
    ids=lambda made: str(made.get("type", sorted(made))),
)
def test_the_second_turn_is_known_by_what_stands_before_the_first_that_a_model_made(made: Any) -> None:
    first = known("Hi")
    second = known([HI, made, {"role": "user", "content": "more"}])
    assert follows(second, first)
    assert not follows(known([{"role": "user", "content": "Ho"}, made]), first)
    assert not follows(known([HI, HI, made]), first)


@pytest.mark.parametrize(
    "item",
    [
        {"role": "developer", "content": "Be good."},
        {"role": "system", "content": "Be good."},
        {"type": "additional_tools", "role": "developer", "tools": []},
        {"type": "compaction_trigger"},
        {"type": "slug:unknown", "x": 1},
    ],
    ids=str,
)
def test_what_a_client_says_makes_no_second_turn(item: Any) -> None:
    assert known([item, HI]).known_as == ()


SAME_FIRST_TURNS: list[Any] = [
    "Hi",
    [HI],
    [{"type": "message", "role": "user", "content": "Hi"}],
    [{"role": "user", "content": [{"type": "input_text", "text": "Hi"}]}],
    [{"type": "message", "id": "msg_9", "status": "completed", **HI}],
    [{"type": "message", "id": None, "status": None, "phase": None, **HI}],
    [{"role": "user", "content": [{"type": "input_text", "text": "Hi", "prompt_cache_breakpoint": {}}]}],
]


@pytest.mark.parametrize("first", SAME_FIRST_TURNS, ids=str)
@pytest.mark.parametrize("later", SAME_FIRST_TURNS[1:], ids=str)
def test_ids_statuses_nulls_and_forms_of_a_message_do_not_count(first: Any, later: Any) -> None:
    assert follows(known([*later, HELLO, HI]), known(first))


def test_what_may_change_while_a_conversation_goes_on_does_not_count() -> None:
    first = known("Hi", tools=[{"type": "function", "name": "f"}], temperature=1, instructions="Be good.")
    second = known([HI, HELLO, HI], tools=[], reasoning={"effort": "high"}, instructions="Be good.")
    assert follows(second, first)
    lite: Any = {"type": "additional_tools", "role": "developer", "tools": [{"type": "custom", "name": "e"}]}
    assert follows(known([{**lite, "tools": []}, HI, CALL]), known([lite, HI]))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"instructions": "Be good."}, {"instructions": "Give it a title."}),
        ({"client": "alice"}, {"client": "bob"}),
        ({"route": "coder"}, {"route": "chat"}),
        ({}, {"instructions": "Be good."}),
    ],
)
def test_others_with_the_same_words_are_other_conversations(first: Any, second: Any) -> None:
    assert not follows(known([HI, HELLO], **second), known("Hi", **first))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([{"role": "user", "content": "Hi"}], [{"role": "developer", "content": "Hi"}]),
        ([{"role": "user", "content": [{"type": "input_image", "image_url": "data:a"}]}], "data:a"),
        (
            [{"role": "user", "content": [{"type": "input_image", "image_url": "data:a"}]}],
            [{"role": "user", "content": [{"type": "input_image", "image_url": "data:b"}]}],
        ),
        ([HI], [HI, HI]),
        ([{"type": "slug:x", "a": 1}], [{"type": "slug:x", "a": 2}]),
        ("x" * 5000, "x" * 5001),
        ("x" * 5000 + "y", "x" * 5000 + "z"),
    ],
)
def test_different_beginnings_are_told_apart(one: Any, other: Any) -> None:
    assert known(one).keys != known(other).keys


def test_later_turns_are_known_though_the_first_turn_is_forgotten() -> None:
    second = known([HI, HELLO, {"role": "user", "content": "more"}])
    third = known([HI, HELLO, {"role": "user", "content": "more"}, CALL, OUTPUT])
    assert follows(third, second)


EQUAL_ANSWERS: list[tuple[list[Any], list[Any]]] = [
    ([HELLO], [{"role": "assistant", "content": "Hello"}]),
    ([HELLO], [{"role": "assistant", "content": [{"type": "output_text", "text": "Hello"}]}]),
    ([THINKING, HELLO], [HELLO]),
    ([THINKING, HELLO], [THINKING, {**HELLO, "id": "msg_other"}]),
    ([CALL], [{**CALL, "id": "fc_other", "status": "completed"}, OUTPUT]),
    ([THINKING, CALL], [CALL, OUTPUT]),
]


@pytest.mark.parametrize(("answer", "sent_back"), EQUAL_ANSWERS)
def test_equal_first_turns_are_told_apart_by_how_they_were_answered(
    answer: list[Any], sent_back: list[Any]
) -> None:
    first = known("Hi")
    key = continued(first, answer)[0]
    second = known([HI, *sent_back, HI])
    assert second.known_as[0] == key
    assert second.known_as[1] == first.keys[0]
    assert second.keys == (key,)
    other = known([HI, {"role": "assistant", "content": "Good day"}, HI])
    assert other.known_as[0] != key


def test_only_the_first_turn_needs_its_answer() -> None:
    assert continued(known(prompt_cache_key="k"), [HELLO]) == ()
    assert continued(known([HI, HELLO, HI]), [HELLO]) == ()
    assert len(continued(known("Hi"), [])) == 1


@pytest.mark.parametrize("answer", [[HELLO], [THINKING, HELLO], [THINKING, CALL]])
def test_a_client_may_send_references_to_what_it_was_answered(answer: list[Any]) -> None:
    references = [{"type": "item_reference", "id": item["id"]} for item in answer]
    bare = [{"id": item["id"]} for item in answer]
    for sent_back in (references, bare):
        second = known([HI, *sent_back, HI])
        assert second.known_as[0] in continued(known("Hi"), answer)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
ITEMS = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["message", "reasoning", "function_call", "additional_tools", "x"]),
        "role": st.sampled_from(["user", "assistant"]) | JSON,
        "content": JSON | st.lists(st.fixed_dictionaries({}, optional={"type": JSON, "text": JSON})),
        "call_id": JSON,
        "id": JSON,
        "output": JSON,
    },
)


@given(st.text() | st.none() | st.lists(ITEMS | JSON), JSON)
def test_any_input_is_the_same_conversation_each_time(input: Any, instructions: Any) -> None:
    assert known(input, instructions=instructions) == known(input, instructions=instructions)
    if isinstance(input, list):
        continued(known("Hi"), input)


def test_nesting_and_lists_without_end_are_no_trouble() -> None:
    deep: Any = "x"
    for _ in range(500):
        deep = [{"type": "x", "content": deep}]
    assert known(deep).keys == known(deep).keys
    assert known([HI] * 100_000).keys != known([HI] * 100_001).keys
