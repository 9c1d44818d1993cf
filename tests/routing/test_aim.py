"""A request made ready for one target: ids that the target knows, references resolved or dropped."""

from __future__ import annotations

import json
from typing import Any

import pytest

from maestro_daemon.errors import RequestInvalid
from maestro_daemon.providers.account import account_hash
from maestro_daemon.request import ResponseRequest
from maestro_daemon.routing.aim import aimed, pinned
from maestro_daemon.routing.memory import Memory, Origin
from maestro_daemon.routing.plan import Target


class Keeps:
    def __init__(self, keeps: bool) -> None:
        self.keeps = keeps

    def keeps_responses(self, model: str) -> bool:
        return self.keeps


def target(provider: str, model: str = "m", *, native: bool) -> Target:
    return Target(Keeps(native), provider, model)  # type: ignore[arg-type]


FIRST = target("first", native=True)
SECOND = target("second", native=True)
HOME = target("home", native=False)


def request(client: str = "", **body: Any) -> ResponseRequest:
    return ResponseRequest(
        body={"model": "coder", "input": "Hi", **body}, model="coder", asked_model="coder", client=client
    )


def remembering(
    provider: str, *, native: bool, client: str = "", items: tuple[dict[str, Any], ...] = ()
) -> Memory:
    memory = Memory()
    memory.remember(client, "resp_ours", Origin(provider, "resp_theirs", native), items)
    return memory


def test_without_a_previous_response_the_plan_stays() -> None:
    assert pinned(request(), [HOME, FIRST], Memory()) == (HOME, FIRST)


@pytest.mark.parametrize("plan", [[FIRST, SECOND], [SECOND, FIRST], [HOME, SECOND, FIRST]])
def test_a_known_response_goes_to_the_native_target_that_made_it(plan: list[Target]) -> None:
    memory = remembering("first", native=True)
    wanted = request(previous_response_id="resp_ours")
    assert pinned(wanted, plan, memory) == (FIRST,)
    sent, *_ = aimed(wanted, FIRST, memory)
    assert sent.body["previous_response_id"] == "resp_theirs"
    assert wanted.body["previous_response_id"] == "resp_ours"


@pytest.mark.parametrize(
    "plan", [[FIRST], [FIRST, HOME], [HOME, FIRST], [FIRST, target("first", "x", native=True)]]
)
def test_an_unknown_id_is_passed_on_to_the_only_native_provider(plan: list[Target]) -> None:
    wanted = request(previous_response_id="resp_unknown")
    assert pinned(wanted, plan, Memory()) == (FIRST,)
    sent, *_ = aimed(wanted, FIRST, Memory())
    assert sent.body["previous_response_id"] == "resp_unknown"


@pytest.mark.parametrize(
    ("plan", "memory"),
    [
        ([HOME], Memory()),
        ([FIRST, SECOND], Memory()),
        ([SECOND], remembering("first", native=True)),
        ([FIRST], remembering("first", native=False)),
        ([HOME], remembering("home", native=False)),
        ([FIRST, SECOND], remembering("first", native=True, client="bob")),
    ],
    ids=[
        "no native",
        "several natives",
        "made elsewhere",
        "not stored",
        "made by translation",
        "another client's",
    ],
)
def test_a_response_that_no_target_holds_is_a_fault_of_the_client(plan: list[Target], memory: Memory) -> None:
    with pytest.raises(RequestInvalid, match="'resp_ours' not found") as refused:
        pinned(request(previous_response_id="resp_ours"), plan, memory)
    error = refused.value
    assert (error.status, error.code, error.param) == (
        400,
        "previous_response_not_found",
        "previous_response_id",
    )


MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "content": []}
REFERENCE = {"type": "item_reference", "id": "msg_1"}


@pytest.mark.parametrize("reference", [REFERENCE, {"id": "msg_1"}, {"type": None, "id": "msg_1"}])
def test_a_reference_is_resolved_for_a_translated_target(reference: dict[str, Any]) -> None:
    memory = remembering("first", native=True, items=(MESSAGE,))
    wanted = request(input=[{"role": "user", "content": "a"}, reference])
    sent, dropped, *_ = aimed(wanted, HOME, memory)
    assert sent.body["input"] == [{"role": "user", "content": "a"}, MESSAGE]
    assert wanted.body["input"][1] == reference
    assert not dropped


def test_the_native_target_that_made_an_item_gets_the_reference_itself() -> None:
    memory = remembering("first", native=True, items=(MESSAGE,))
    sent, dropped, *_ = aimed(request(input=[REFERENCE]), FIRST, memory)
    assert sent.body["input"] == [REFERENCE]
    assert not dropped


@pytest.mark.parametrize(
    "memory",
    [
        remembering("first", native=True, items=(MESSAGE,)),
        remembering("second", native=False, items=(MESSAGE,)),
    ],
)
def test_another_native_target_gets_the_item(memory: Memory) -> None:
    sent, *_ = aimed(request(input=[REFERENCE]), SECOND, memory)
    assert sent.body["input"] == [MESSAGE]


def test_a_native_target_may_know_what_the_house_does_not() -> None:
    sent, dropped, *_ = aimed(request(input=[REFERENCE]), FIRST, Memory())
    assert sent.body["input"] == [REFERENCE]
    assert not dropped


def test_a_reference_that_nobody_knows_is_dropped_and_named() -> None:
    sent, dropped, *_ = aimed(
        request(input=["x", REFERENCE, {"role": "user", "content": "a"}]), HOME, Memory()
    )
    assert sent.body["input"] == ["x", {"role": "user", "content": "a"}]
    assert dropped == ["msg_1"]


def test_another_clients_items_are_not_resolved() -> None:
    memory = remembering("first", native=True, client="alice", items=(MESSAGE,))
    sent, dropped, *_ = aimed(request("bob", input=[REFERENCE]), HOME, memory)
    assert sent.body["input"] == []
    assert dropped == ["msg_1"]


THOUGHT = {"id": "rs_1", "type": "reasoning", "summary": []}


@pytest.mark.parametrize("item", [THOUGHT, {**THOUGHT, "encrypted_content": None}])
def test_reasoning_that_only_its_own_provider_knows_by_its_id_goes_to_no_other(item: dict[str, Any]) -> None:
    memory = remembering("home", native=False, items=(THOUGHT,))
    wanted = request(input=[{"role": "user", "content": "a"}, item])
    sent, dropped, *_ = aimed(wanted, FIRST, memory)
    assert sent.body["input"] == [{"role": "user", "content": "a"}]
    assert dropped == ["rs_1"]
    own = remembering("first", native=True, items=(THOUGHT,))
    for target, known, told in ((HOME, memory, THOUGHT), (FIRST, own, item)):
        sent, dropped, *_ = aimed(wanted, target, known)
        assert sent.body["input"] == [wanted.body["input"][0], told]
        assert not dropped


def test_reasoning_that_is_not_known_here_is_passed_on() -> None:
    for item in (THOUGHT, {**THOUGHT, "id": None}, {**THOUGHT, "id": 3}):
        sent, *_ = aimed(request(input=[item]), FIRST, remembering("home", native=False))
        assert sent.body["input"] == [item]


@pytest.mark.parametrize("emptied", [{}, {"content": []}, {"content": None, "encrypted_content": None}])
def test_reasoning_of_which_a_client_kept_the_id_alone_is_told_to_a_translated_target(
    emptied: dict[str, Any],
) -> None:
    said = {**THOUGHT, "content": [{"type": "reasoning_text", "text": "Hm."}]}
    memory = remembering("home", native=False, items=(said,))
    wanted = request(input=[{**THOUGHT, "status": "in_progress", **emptied}])
    assert aimed(wanted, HOME, memory).request.body["input"] == [said]


@pytest.mark.parametrize(
    "told",
    [
        {"content": [{"type": "reasoning_text", "text": "Else."}]},
        {"summary": [{"type": "summary_text", "text": "Else."}]},
    ],
)
def test_what_a_client_says_of_its_reasoning_counts(told: dict[str, Any]) -> None:
    said = {**THOUGHT, "content": [{"type": "reasoning_text", "text": "Hm."}]}
    wanted = request(input=[{**THOUGHT, **told}])
    sent = aimed(wanted, HOME, remembering("home", native=False, items=(said,)))
    assert sent.request.body["input"] == [{**THOUGHT, **told}]


def test_reasoning_with_ciphertext_is_passed_on() -> None:
    item = {**THOUGHT, "encrypted_content": "gAAA"}
    sent, *_ = aimed(request(input=[item]), FIRST, remembering("home", native=False, items=(item,)))
    assert sent.body["input"] == [item]


def test_a_reference_to_reasoning_of_another_provider_is_dropped_for_a_native_target() -> None:
    memory = remembering("home", native=False, items=(THOUGHT,))
    wanted = request(input=[{"type": "item_reference", "id": "rs_1"}])
    assert aimed(wanted, FIRST, memory).dropped == ["rs_1"]
    assert aimed(wanted, HOME, memory).request.body["input"] == [THOUGHT]


def test_the_clients_own_text_is_kept_where_no_item_changes() -> None:
    raw = b'{"model":"coder","input":[{"type":"item_reference","id":"rs_1"}]}'
    wanted = ResponseRequest(body=json.loads(raw), model="coder", asked_model="coder", text=raw)
    sent, *_ = aimed(wanted, FIRST, remembering("first", native=True, items=(THOUGHT,)))
    assert sent.text == raw.replace(b"coder", b"m")


def test_all_else_of_the_body_stays() -> None:
    body = {"x_new": [None, {"a": 2**70}], "tools": [{"type": "x"}], "stream": True, "store": None}
    wanted = request(**body)
    sent, *_ = aimed(wanted, FIRST, Memory())
    assert sent.body == {**wanted.body, "model": "m"}
    assert (sent.model, sent.asked_model) == ("m", "coder")
    assert sent.response_id == wanted.response_id


ACCOUNT = account_hash(FIRST.provider, "first")
MINE = {**THOUGHT, "encrypted_content": f"maestro1.{ACCOUNT}.gAAA"}
THEIRS = {**THOUGHT, "id": "rs_2", "encrypted_content": "maestro1.0123456789ab.gBBB"}
BARE = {**THOUGHT, "id": "rs_3", "encrypted_content": "gCCC"}


def worded(raw: bytes) -> ResponseRequest:
    return ResponseRequest(body=json.loads(raw), model="coder", asked_model="coder", text=raw)


@pytest.mark.parametrize(
    ("items", "told", "degraded", "ciphertext"),
    [
        ([MINE, BARE], [{**MINE, "encrypted_content": "gAAA"}, BARE], "", True),
        ([BARE], [BARE], "", True),
        ([THEIRS], [{**THEIRS, "encrypted_content": "maestro1.0123456789ab."}], "sealed_reasoning", False),
        ([MESSAGE, THOUGHT], [MESSAGE, THOUGHT], "", False),
    ],
)
def test_a_target_gets_its_own_ciphertext_and_no_others(
    items: list[Any], told: list[Any], degraded: str, ciphertext: bool
) -> None:
    for wanted in (request(input=items), worded(json.dumps({"model": "coder", "input": items}).encode())):
        sent = aimed(wanted, FIRST, Memory())
        assert sent.request.body["input"] == told
        assert (sent.degraded, sent.ciphertext) == (degraded, ciphertext)
        assert wanted.body["input"] == items
        if sent.request.text is not None:
            assert json.loads(sent.request.text) == sent.request.body


def test_a_target_that_refused_ciphertext_gets_none() -> None:
    sent = aimed(request(input=[MINE, BARE, MESSAGE]), FIRST, Memory(), ciphertext=False)
    assert "gAAA" not in str(sent.request.body)
    assert "gCCC" not in str(sent.request.body)
    assert (sent.degraded, sent.ciphertext) == ("sealed_reasoning", False)


def test_the_clients_own_text_is_kept_but_for_the_marks() -> None:
    raw = b'{"model":"coder","input":[%b ], "x" : 1.50}' % json.dumps(MINE).encode()
    bare = raw.replace(f"maestro1.{ACCOUNT}.".encode(), b"")
    sent = aimed(worded(raw), FIRST, Memory()).request
    assert sent.text == bare.replace(b"coder", b"m")
    assert sent.body == json.loads(sent.text)


def test_every_digit_stays_where_another_accounts_ciphertext_is_left_out() -> None:
    big = 2**70 + 1
    raw = b'{"model":"coder","input":[%b],"x":%d}' % (json.dumps(THEIRS).encode(), big)
    wanted = ResponseRequest(
        body={**json.loads(raw), "x": float(big)}, model="coder", asked_model="coder", text=raw
    )
    sent = aimed(wanted, FIRST, Memory()).request
    assert sent.text is None
    assert sent.body["x"] == big


def test_marks_that_cannot_be_told_apart_in_a_text_are_taken_off_all_the_same() -> None:
    big = 2**70 + 1
    body = {"model": "coder", "input": [MINE], "metadata": {"encrypted_content": MINE["encrypted_content"]}}
    raw = json.dumps({**body, "x": big}).encode()
    wanted = ResponseRequest(body={**body, "x": float(big)}, model="coder", asked_model="coder", text=raw)
    sent = aimed(wanted, FIRST, Memory()).request
    assert sent.body == {**body, "model": "m", "input": [{**MINE, "encrypted_content": "gAAA"}], "x": big}


@pytest.mark.parametrize("item", [{"type": "item_reference", "id": "rs_1"}, THOUGHT])
def test_reasoning_that_is_remembered_with_its_ciphertext_is_told_to_its_account(
    item: dict[str, Any],
) -> None:
    memory = remembering("second", native=False, items=(MINE,))
    sent = aimed(request(input=[item]), FIRST, memory)
    assert sent.request.body["input"] == [{**MINE, "encrypted_content": "gAAA"}]
    assert not sent.dropped
    theirs = {**THEIRS, "id": "rs_1"}
    sent = aimed(request(input=[item]), FIRST, remembering("second", native=False, items=(theirs,)))
    assert sent.degraded == "sealed_reasoning"
    assert "gBBB" not in str(sent.request.body)
