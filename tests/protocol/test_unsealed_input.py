"""What another target's answers left in a conversation, for an upstream that takes requests as they are."""

from __future__ import annotations

import json
from typing import Any

import pytest

from maestro_daemon.protocol.compaction import sealed_summary
from maestro_daemon.protocol.sealed_reasoning import seal
from maestro_daemon.protocol.unsealed_input import unsealed
from maestro_daemon.request import ResponseRequest

USER = {"role": "user", "content": "hi"}
OURS = {
    "type": "reasoning",
    "id": "rs_ours",
    "summary": [],
    "content": [{"type": "reasoning_text", "text": "Hm."}],
    "encrypted_content": seal("Hm.", provider="home"),
}
THEIRS = {**OURS, "id": "rs_theirs", "encrypted_content": "gAAAAABmaestro-sealed-1."}


def request(*items: Any, **fields: Any) -> ResponseRequest:
    body = {"model": "m", "input": list(items), **fields}
    return ResponseRequest(body=body, model="m", asked_model="r", text=json.dumps(body).encode())


def test_reasoning_under_our_seal_is_left_out_by_name_and_all_else_stays() -> None:
    before = request(
        USER, OURS, THEIRS, 7, {"type": "x", "encrypted_content": OURS["encrypted_content"]}, x=None
    )
    sent, left_out = unsealed(before)
    items = before.body["input"]
    assert sent.body == {**before.body, "input": [items[0], *items[2:]]}
    assert sent.text is None
    assert left_out == ("input[1]: reasoning",)
    assert len(before.body["input"]) == 5


def test_a_broken_seal_of_ours_is_left_out_as_well() -> None:
    broken = {**OURS, "encrypted_content": OURS["encrypted_content"][:-3]}
    assert unsealed(request(broken, USER))[0].body["input"] == [USER]


def test_a_summary_of_ours_becomes_the_message_that_it_stands_for() -> None:
    summary = {"type": "compaction", "id": "cmp_1", "encrypted_content": sealed_summary("They said hi.")}
    sent, left_out = unsealed(request(summary, USER))
    content = "Summary of the conversation up to here:\n\nThey said hi."
    assert sent.body["input"] == [{"type": "message", "role": "user", "content": content}, USER]
    assert left_out == ()


def test_numbers_of_any_size_survive_that_something_is_left_out() -> None:
    big = 2**70 + 1  # no float is equal to it
    raw = b'{"model":"m","input":[%b],"x":%d}' % (json.dumps(OURS).encode(), big)
    before = ResponseRequest(body={**json.loads(raw), "x": float(big)}, model="m", asked_model="m", text=raw)
    assert unsealed(before)[0].body["x"] == big


@pytest.mark.parametrize("given", [None, "hi", [], [USER, THEIRS], [{"type": "reasoning", "summary": []}]])
def test_a_request_without_seals_of_ours_is_passed_on_as_it_is(given: Any) -> None:
    before = ResponseRequest(body={"model": "m", "input": given}, model="m", asked_model="m", text=b"{}")
    sent, left_out = unsealed(before)
    assert sent is before
    assert left_out == ()


MARKED = "maestro1.0123456789ab."


@pytest.mark.parametrize("kind", ["reasoning", "compaction", "context_compaction"])
def test_what_another_account_sealed_is_left_out(kind: str) -> None:
    foreign = {"type": kind, "id": "x_1", "encrypted_content": MARKED}
    sent, left_out = unsealed(request(USER, foreign))
    assert sent.body["input"] == [USER]
    assert left_out == (f"input[1]: {kind}",)


def test_an_item_that_says_more_than_its_ciphertext_stays_without_it() -> None:
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    parts = [{"type": "encrypted_content", "encrypted_content": MARKED}]
    text = {"type": "input_text", "text": "x"}
    output = {"type": "function_call_output", "call_id": "c", "output": parts}
    told = {"type": "agent_message", "content": [*parts, text]}
    sent, left_out = unsealed(
        request({**call, "encrypted_content": MARKED}, output, told, {**told, "content": parts})
    )
    assert sent.body["input"] == [call, {**output, "output": ""}, {**told, "content": [text]}]
    assert len(left_out) == 4
