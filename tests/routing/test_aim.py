"""A request made ready for one target: ids that the target knows, references resolved or dropped."""

from __future__ import annotations

import json
from typing import Any

import pytest

from maestro_daemon.errors import RequestInvalid
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
    sent, dropped, *_ = aimed(request(input=["x", REFERENCE, {"role": "user", "content": "a"}]), HOME, Memory())
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
    for target, known in ((HOME, memory), (FIRST, remembering("first", native=True, items=(THOUGHT,)))):
        sent, dropped, *_ = aimed(wanted, target, known)
        assert sent.body["input"] == wanted.body["input"]
        assert not dropped


def test_reasoning_that_is_not_known_here_is_passed_on() -> None:
    for item in (THOUGHT, {**THOUGHT, "id": None}, {**THOUGHT, "id": 3}):
        sent, *_ = aimed(request(input=[item]), FIRST, remembering("home", native=False))
        assert sent.body["input"] == [item]


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
