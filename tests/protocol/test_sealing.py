"""Ciphertext marked with its account on the way out, and byte for byte what it was on the way back."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maestro_daemon.events import DeltaBurst, ResponseEvent
from maestro_daemon.protocol.compaction import sealed_summary
from maestro_daemon.protocol.sealed_reasoning import seal
from maestro_daemon.protocol.sealing import (
    Seal,
    marked_by,
    sealed_origins,
    unmarked_text,
    unsealed_items,
)
from maestro_daemon.request import ResponseRequest
from tests.support import native
from tests.support.core import compact, named, passed
from tests.support.legal_streams import CIPHERTEXTS, streams, with_rotating_ids
from tests.support.native import Event
from tests.support.oracle import check_stream

ACCOUNT = "0123456789ab"
OTHER = "ba9876543210"
MARK = f"maestro1.{ACCOUNT}."


def thought(ciphertext: Any, id: str = "rs_1", **more: Any) -> Event:
    return {"id": id, "type": "reasoning", "summary": [], "encrypted_content": ciphertext, **more}


def done(item: Event, **more: Any) -> ResponseEvent:
    return named({"type": "response.output_item.done", "output_index": 0, "item": item, **more})


def completed(*output: Event, **more: Any) -> ResponseEvent:
    response = native.response(status="completed", output=output, **more)
    return named({"type": "response.completed", "response": response})


def request(*items: Any) -> ResponseRequest:
    return ResponseRequest(body={"model": "m", "input": list(items)}, model="m", asked_model="m")


def ciphertexts(value: Any) -> list[str]:
    """Every `encrypted_content` in `value`, whatever it is."""
    if isinstance(value, dict):
        here = [value["encrypted_content"]] if "encrypted_content" in value else []
        return here + [each for field in value.values() for each in ciphertexts(field)]
    return [each for item in value for each in ciphertexts(item)] if isinstance(value, list) else []


@settings(max_examples=60)
@given(streams())
def test_a_legal_stream_comes_back_byte_for_byte(events: list[Event]) -> None:
    sealing = Seal(ACCOUNT)
    sent = passed([sealing.event(named(event)) for event in events])
    output = check_stream(sent)["output"]
    minted = ciphertexts(events[-1]["response"]["output"])
    assert ciphertexts(output) == [MARK + each for each in minted]
    assert unsealed_items(output, ACCOUNT)[:3] == (events[-1]["response"]["output"], len(minted), 0)
    for event, original in zip(sent[2:-1], events[2:-1], strict=True):
        said = json.loads(event.payload)
        if said["type"] == "response.output_item.done":
            assert said["item"] == output[said["output_index"]]
        elif ciphertexts(said):
            assert all(each == "" or each.startswith(MARK) for each in ciphertexts(said))
        assert event.payload.replace(MARK.encode(), b"") == compact(original)


@settings(max_examples=40)
@given(streams(), st.booleans())
def test_a_whole_answer_is_marked_as_the_stream_is(events: list[Event], spaced: bool) -> None:
    response = events[-1]["response"]
    body = json.dumps(response, indent=2 if spaced else None).encode()
    untouched = copy.deepcopy(response)
    sealed, parsed = Seal(ACCOUNT).answer(body, response)
    assert response == untouched
    assert parsed == json.loads(sealed)
    assert sealed.replace(MARK.encode(), b"") == body
    sealing = Seal(ACCOUNT)
    streamed = [json.loads(sealing.event(named(event)).payload) for event in events]
    assert streamed[-1]["response"] == parsed


@settings(max_examples=40)
@given(streams())
def test_an_upstream_that_changes_ids_or_lacks_items_in_the_end_is_marked_alike(events: list[Event]) -> None:
    sealing = Seal(ACCOUNT)
    poor = with_rotating_ids(events)
    poor[-1]["response"]["output"] = []
    output = check_stream(passed([sealing.event(named(event)) for event in poor]))["output"]
    minted = ciphertexts(events[-1]["response"]["output"])
    assert ciphertexts(output) == [MARK + each for each in minted]


@pytest.mark.parametrize("type", [["x"], {"a": 1}, 7], ids=repr)
@pytest.mark.parametrize(
    "holds",
    [{"encrypted_content": "gAAA"}, {"output": [{"type": "y", "encrypted_content": "gAAA"}]}],
    ids=["item", "part"],
)
def test_an_item_whose_type_is_no_name_is_marked_as_any_unknown_one(type: Any, holds: Event) -> None:
    item = {"id": "it_1", "type": type, **holds}
    added = named({"type": "response.output_item.added", "output_index": 0, "item": item})
    sealing = Seal(ACCOUNT)
    sent = passed([sealing.event(event) for event in (added, done(item), completed(item))])
    assert ciphertexts([json.loads(event.payload) for event in sent]) == [f"{MARK}gAAA"] * 3
    body, parsed = Seal(ACCOUNT).answer(compact({"output": [item]}), {"output": [item]})
    assert ciphertexts(json.loads(body)) == ciphertexts(parsed) == [f"{MARK}gAAA"]


def test_an_answer_that_came_as_a_terminal_event_alone_is_marked() -> None:
    whole = completed(thought("gAAA", id="rs_upstream", status="completed"), native.message("Hi"))
    output = check_stream(passed([Seal(ACCOUNT).event(whole)]))["output"]
    assert ciphertexts(output) == [f"{MARK}gAAA"]


@pytest.mark.parametrize(
    "event",
    [
        named({"type": "response.output_text.done", "text": '"encrypted_content":"gAAA"'}),
        named({"type": "response.output_text.delta", "delta": "x", "item": thought("gAAA")}),
        DeltaBurst("response.output_text.delta", [b'{"delta":"encrypted_content"}'] * 2),
        done(native.message("x")),
        done(thought(None)),
        done(thought("")),
        done(thought(7)),
        done(thought({"a": 1})),
        done(native.call("f", '{"encrypted_content":"gAAA"}')),
        completed(native.message("x"), metadata={"encrypted_content": "gAAA"}),
        named({"type": "response.failed", "response": {"output": None, "encrypted_content": "gAAA"}}),
        ResponseEvent("response.output_item.done", b'{"encrypted_content":'),
        ResponseEvent("response.output_item.done", b'["encrypted_content"]'),
        ResponseEvent("response.completed", b'"encrypted_content"'),
        ResponseEvent("response.completed", rb'{"encrypted_content":"\x"}'),
        ResponseEvent("response.completed", b'{"encrypted_content":"\\'),
        named({"type": "response.x", "item": [thought("gAAA")]}),
    ],
    ids=lambda event: event.payload[:60].decode(),
)
def test_what_holds_no_ciphertext_is_not_touched(event: ResponseEvent) -> None:
    assert Seal(ACCOUNT).event(event) is event


def test_an_account_that_is_not_known_marks_nothing() -> None:
    event = done(thought("gAAA"))
    assert Seal("").event(event) is event
    body = json.dumps(native.response(output=[thought("gAAA")])).encode()
    assert Seal("").answer(body, {})[0] is body


def test_numbers_and_spelling_of_all_else_stay() -> None:
    payload = (
        b'{ "type" : "response.output_item.done", "n": 1e400, "big": 123456789012345678901234567890,\n'
        b' "item": {"type":"reasoning", "encrypted_content" :\t"gA\\u002b", "x":"\\ud83d"}}'
    )
    sealed = Seal(ACCOUNT).event(ResponseEvent("response.output_item.done", payload)).payload
    assert sealed == payload  # not a payload that can be read: 1e400 is no number that JSON readers know
    payload = payload.replace(b"1e400", b"1.50")
    sealed = Seal(ACCOUNT).event(ResponseEvent("response.output_item.done", payload)).payload
    assert json.loads(sealed)["item"]["encrypted_content"] == f"{MARK}gA+"
    assert json.loads(sealed)["big"] == 123456789012345678901234567890


def test_a_name_that_tools_and_metadata_may_have_as_well_is_told_apart() -> None:
    schema = {"type": "object", "properties": {}, "examples": [{"encrypted_content": "mine"}]}
    tools = [{"type": "function", "name": "f", "parameters": schema, "strict": False}]
    sealing = Seal(ACCOUNT)
    sealing.event(done(thought("gAAA")))
    said = json.loads(sealing.event(completed(thought("gAAA"), tools=tools)).payload)["response"]
    assert said["tools"] == tools
    assert said["output"] == [thought(f"{MARK}gAAA")]


def test_a_key_that_only_ends_so_is_another_key() -> None:
    item = thought("gAAA", **{'x"encrypted_content': "gAAA"})
    said = json.loads(Seal(ACCOUNT).event(done(item)).payload)
    assert said["item"] == thought(f"{MARK}gAAA", **{'x"encrypted_content': "gAAA"})


def test_a_summary_of_ours_stays_readable_for_every_account() -> None:
    blob = sealed_summary("They said hi.")
    summary = {"type": "compaction", "id": "cmp_1", "encrypted_content": blob}
    sealing = Seal(ACCOUNT)
    event = done(summary)
    assert sealing.event(event) is event
    said = json.loads(sealing.event(completed(thought("gAAA"), summary)).payload)["response"]["output"]
    assert said == [thought(f"{MARK}gAAA"), summary]
    assert unsealed_items([summary], OTHER).items == [summary]


def test_a_compaction_of_an_upstreams_own_and_parts_of_items_are_marked() -> None:
    compacted = {"type": "compaction", "id": "cmp_1", "encrypted_content": "gAAA"}
    output = {
        "type": "function_call_output",
        "call_id": "c",
        "output": [{"type": "encrypted_content", "encrypted_content": "gBBB"}, {"type": "input_text"}],
    }
    for item, minted in ((compacted, "gAAA"), (output, "gBBB")):
        told = json.loads(Seal(ACCOUNT).event(done(item)).payload)["item"]
        assert ciphertexts(told) == [MARK + minted]
        assert unsealed_items([told], ACCOUNT) == ([item], 1, 0, 1)


@given(CIPHERTEXTS)
def test_an_upstream_that_marks_as_we_do_gets_its_own_mark_back(ciphertext: str) -> None:
    inner = json.loads(Seal(OTHER).event(done(thought(ciphertext))).payload)["item"]
    outer = json.loads(Seal(ACCOUNT).event(done(inner)).payload)["item"]
    assert unsealed_items([outer], ACCOUNT).items == [inner]
    assert marked_by(outer["encrypted_content"]) == ACCOUNT


def test_what_another_account_sealed_is_left_out_under_its_mark() -> None:
    item = thought(f"maestro1.{OTHER}.gAAA")
    told = unsealed_items([item, "x", thought(f"{MARK}gBBB")], ACCOUNT)
    assert told == ([thought(f"maestro1.{OTHER}."), "x", thought("gBBB")], 1, 1, 1)
    assert item["encrypted_content"].endswith("gAAA")


def test_what_bears_no_mark_goes_along_as_it_is() -> None:
    items = [thought("gAAA"), thought(None), thought(""), {"role": "user", "content": "x"}, 7]
    assert unsealed_items(items, ACCOUNT) == (items, 0, 0, 1)
    assert unsealed_items(items, "").items == items


@pytest.mark.parametrize(
    "blob",
    ["maestro1.", f"maestro1.{ACCOUNT}", f"maestro1.{ACCOUNT.upper()}.g", f" {MARK}g", "maestro1.xyz.g"],
)
def test_what_only_resembles_a_mark_is_none(blob: str) -> None:
    assert marked_by(blob) is None
    assert unsealed_items([thought(blob)], ACCOUNT).items == [thought(blob)]


def test_without_ciphertext_nothing_that_an_upstream_may_refuse_goes_along() -> None:
    translated = seal("Hm.", provider="home")
    items = [
        thought("gAAA"),
        thought(f"{MARK}gBBB"),
        thought(f"maestro1.{OTHER}.gCCC"),
        thought(translated),
        thought(MARK + translated),
    ]
    told = unsealed_items(items, ACCOUNT, ciphertext=False)
    assert [item["encrypted_content"] for item in told.items] == [
        "maestro1.000000000000.",
        MARK,
        f"maestro1.{OTHER}.",
        translated,
        translated,
    ]
    assert told[1:] == (1, 3, 0)


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("separators", [(",", ":"), None])
def test_marks_are_taken_off_a_text_as_off_its_items(indent: Any, separators: Any) -> None:
    items = [thought(f"{MARK}gAAA"), {"role": "user", "content": json.dumps(thought(f"{MARK}gAAA"))}]
    text = json.dumps({"input": items}, indent=indent, separators=separators).encode()
    told = unsealed_items(items, ACCOUNT)
    bare = unmarked_text(text, ACCOUNT, told.own)
    assert bare is not None
    assert json.loads(bare) == {"input": told.items}


@pytest.mark.parametrize(
    "body",
    [
        {"input": [thought(f"{MARK}gAAA")], "metadata": {"encrypted_content": f"{MARK}gAAA"}},
        {"input": [thought(f"{MARK}gAAA")], 'x"encrypted_content': f"{MARK}gAAA"},
    ],
)
def test_a_text_in_which_marks_cannot_be_told_apart_is_not_guessed_at(body: Any) -> None:
    assert unmarked_text(json.dumps(body).encode(), ACCOUNT, 1) is None


def test_the_origin_of_a_conversation_is_whose_ciphertext_came_last() -> None:
    theirs = thought(f"maestro1.{OTHER}.g")
    ours = thought(f"{MARK}g")
    user = {"role": "user", "content": "x"}
    assert list(sealed_origins(request(user, ours, thought("gAAA"), thought(None), user))) == [ACCOUNT]
    assert list(sealed_origins(request(theirs, ours, theirs, ours))) == [ACCOUNT, OTHER]
    assert list(sealed_origins(request(user, thought("gAAA"), 7))) == []
    for given_input in ("x", None, [], dict[str, Any]()):
        asked = ResponseRequest(body={"model": "m", "input": given_input}, model="m", asked_model="m")
        assert list(sealed_origins(asked)) == []
