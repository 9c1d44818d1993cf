"""``X-Initiator`` is honest: it decides what the subscription is billed for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from maestro_copilot.initiator import TakenUp, by_last_item, told
from tests.support import native
from tests.support.copilot.copilot import Cut, Fake
from tests.support.copilot.refusing import Refused
from tests.support.copilot.served import Served, serving_copilot
from tests.support.copilot.turns import Call, Say
from tests.support.fake_upstream import FakeUpstream, Reply, Stream
from tests.support.house import NativeProvider

USER = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}
SAID = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hello"}]}
CALL = {"type": "function_call", "call_id": "call_1", "name": "add", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "call_1", "output": "3"}


@pytest.mark.parametrize(
    ("given", "initiator"),
    [
        ("Hi", "user"),
        ([USER], "user"),
        ([{"role": "user", "content": "Hi"}], "user"),
        ([USER, SAID, USER], "user"),  # a second prompt is the user's as well
        ([USER, CALL, OUTPUT], "agent"),
        ([USER, SAID], "agent"),
        ([USER, CALL, OUTPUT, USER], "user"),
        ([USER, {"type": "message", "role": "developer", "content": "Go on."}], "agent"),
        ([USER, {"type": "compaction_trigger"}], "agent"),
        ([USER, {"type": "custom_tool_call_output", "call_id": "c", "output": "x"}], "agent"),
        ([USER, {"type": "reasoning", "summary": []}], "agent"),
        ([], "user"),
        (None, "user"),
        ([USER, "what?"], "agent"),
    ],
)
def test_it_is_the_users_exactly_when_the_last_item_is(given: Any, initiator: str) -> None:
    """copilot.md §5 X-Initiator and billing: our rule."""
    assert by_last_item({"input": given}) == initiator


@pytest.mark.parametrize(
    ("value", "believed"),
    [
        ("user", "user"),
        ("AGENT", "agent"),
        (" Agent ", "agent"),
        ("robot", None),
        ("", None),
        ("user, agent", None),
    ],
)
def test_only_a_valid_word_of_the_client_counts(value: str, believed: str | None) -> None:
    """copilot.md §5 X-Initiator and billing: case-insensitive; missing or invalid = user."""
    assert told({"x-initiator": value}) == believed
    assert told({}) is None


def test_what_was_taken_up_is_remembered_within_bounds() -> None:
    taken = TakenUp(most=2)
    for id in ("a", "b", "a", "c"):
        taken.note(id)
    assert [id in taken for id in ("a", "b", "c")] == [True, False, True]


@pytest.mark.parametrize("model", ["gpt-native", "claude-chat"])
async def test_a_tool_loop_is_one_request_of_the_user(served: Served, model: str) -> None:
    """copilot.md §5 X-Initiator and billing."""
    served.copilot.play((Call("add", "{}", call_id="call_1"),), (Say("3"),))
    await served.final(model, input=[USER])
    await served.final(model, input=[USER, CALL, OUTPUT])
    await served.ask(model, input=[USER, CALL, OUTPUT, SAID, USER])
    assert [request.initiator for request in served.copilot.requests] == ["user", "agent", "user"]


async def test_the_clients_word_is_believed_only_if_configured(
    served: Served, fake: Fake, tmp_path: Path
) -> None:
    """copilot.md §5 X-Initiator and billing: a client's own valid x-initiator is trusted if configured."""
    said = {"x-initiator": "Agent", "x-interaction-type": "conversation-user"}
    await served.ask(headers=said)
    async with serving_copilot(fake, tmp_path, trust_initiator=True) as trusting:
        await trusting.ask(headers=said)
        await trusting.ask(headers={"x-initiator": "nobody"})
        await trusting.ask(headers={"x-initiator": "user"}, input=[USER, CALL, OUTPUT])
    assert [each.initiator for each in fake.copilot.requests] == ["user", "agent", "user", "user"]
    types = [each.headers.get("x-interaction-type") for each in fake.copilot.requests]
    assert types == [None, "conversation-user", None, None]


def twice(target: str) -> dict[str, Any]:
    """A route that comes to the same target again after a failure."""
    return {"again": ([target], [target])}


@pytest.mark.parametrize("model", ["gpt-native", "claude-chat"])
@pytest.mark.parametrize("fault", [Refused(500, "oops"), Refused(502, "bad gateway"), Cut(1)])
async def test_a_retry_of_what_copilot_took_up_is_the_agents(
    fake: Fake, tmp_path: Path, fault: Any, model: str
) -> None:
    """copilot.md §5: a retry of a request that Copilot already received for this turn is agent."""
    fake.copilot.faults = [fault]
    async with serving_copilot(fake, tmp_path, routes=twice(f"work/{model}")) as served:
        status, _, _ = await served.house.post({"model": "again", "input": "Hi", "stream": True})
    assert status == 200
    assert [request.initiator for request in fake.copilot.requests] == ["user", "agent"]


@pytest.mark.parametrize("streams", [True, False])
async def test_what_was_refused_at_the_door_is_still_the_users(served: Served, streams: bool) -> None:
    """copilot.md §5: the first request of a user's turn that counts stays user."""
    await served.ask()
    served.fake.state.revoke_copilot_tokens()
    await (served.final() if streams else served.ask())
    assert [request.initiator for request in served.copilot.requests] == ["user", "user", "user"]


async def test_a_turn_that_first_reaches_copilot_by_fallback_is_the_users(
    fake: Fake, upstream: FakeUpstream, tmp_path: Path
) -> None:
    """copilot.md §5: the first request that Copilot sees of a user's turn stays user, also as a fallback."""
    upstream.play(Reply({"error": {"message": "down"}}, 500))
    first = NativeProvider("first", upstream.url)
    routes = {"coder": (["first/gpt-test"], ["work/gpt-native"])}
    async with serving_copilot(fake, tmp_path, others={"first": first}, routes=routes) as served:
        status, headers, _ = await served.house.post({"model": "coder", "input": [USER]})
    assert (status, headers["x-maestro-target"]) == (200, "work/gpt-native")
    assert [request.initiator for request in fake.copilot.requests] == ["user"]


async def test_two_responses_are_two_turns(served: Served) -> None:
    """copilot.md §5 X-Initiator and billing."""
    served.copilot.faults = [Refused(400, "No.", code="invalid_request_body")]
    await served.refusal()
    await served.ask()
    assert [request.initiator for request in served.copilot.requests] == ["user", "user"]


async def test_the_fallback_after_copilot_is_not_told(
    fake: Fake, upstream: FakeUpstream, tmp_path: Path
) -> None:
    """copilot.md §5: the header is Copilot's alone."""
    upstream.play(Stream(*native.text("Hi")))
    fake.copilot.faults = [Refused(500, "oops")] * 9
    second = NativeProvider("second", upstream.url)
    routes = {"coder": (["work/gpt-native"], ["second/gpt-test"])}
    async with serving_copilot(fake, tmp_path, others={"second": second}, routes=routes) as served:
        await served.house.stream(model="coder")
    sent = {name.lower() for name in upstream.requests[0].headers}
    assert not {"x-initiator", "copilot-integration-id", "editor-version", "openai-intent"} & sent
