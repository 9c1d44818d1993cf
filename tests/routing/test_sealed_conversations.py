"""Conversations with sealed reasoning over real sockets: each account gets its own ciphertext, no other."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from maestro_daemon.plugin import Secret
from maestro_local.options import LocalOptions
from maestro_local.server_provider import ServerProvider
from maestro_openai.options import OpenAIOptions
from maestro_openai.provider import OpenAIProvider
from tests.support import chat
from tests.support.conversation import Conversation
from tests.support.fake_upstream import FakeUpstream, Stream, refusal
from tests.support.house import NativeProvider, house
from tests.support.sealing_upstream import SealingUpstream, sealing_upstream

DEGRADED = "sealed_reasoning"
modes = pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])


def openai(name: str, upstream: SealingUpstream, key: str, **options: Any) -> OpenAIProvider:
    return OpenAIProvider(name, OpenAIOptions(base_url=upstream.url, api_key=Secret(key), **options))


@asynccontextmanager
async def two_accounts(stream: bool, **options: Any) -> AsyncIterator[tuple[Any, Any, Conversation]]:
    """A conversation with the route ``coder``: account a, else account b."""
    async with sealing_upstream(ka="A") as a, sealing_upstream(kb="B") as b:
        providers = {"a": openai("a", a, "ka"), "b": openai("b", b, "kb")}
        async with house(providers, {"coder": (["a/m", "b/m"], [])}, **options) as served:
            yield a, b, Conversation(served, stream)


@modes
async def test_an_account_gets_its_ciphertext_back_byte_for_byte(stream: bool) -> None:
    async with two_accounts(stream) as (a, b, client):
        for turn in range(3):
            await client.turn()
            assert a.thoughts() == a.minted[:turn]
        assert client.degraded is None
        assert not b.inputs
        marks = {
            thought.removesuffix(minted) for thought, minted in zip(client.thoughts(), a.minted, strict=True)
        }
        (mark,) = marks
        assert mark.isascii()
        assert 10 < len(mark) < 30


@modes
async def test_a_conversation_moves_from_a_dead_account_and_comes_back_to_it(stream: bool) -> None:
    async with two_accounts(stream) as (a, b, client):
        await client.turn("one")
        await client.turn("two")
        a.down = True
        await client.turn("three")
        assert (client.target, client.degraded) == ("b/m", DEGRADED)
        # The visible turns are all there, in order, and nothing of the other account's reasoning.
        told = [item for item in client.history[:-2] if item["type"] != "reasoning"]
        assert b.inputs[-1] == told

        a.down = False
        await client.turn("four")
        assert client.target == "b/m", "a conversation stays where it went"
        assert b.thoughts() == b.minted[:1]

        b.down = True
        await client.turn("five")
        assert (client.target, client.degraded) == ("a/m", DEGRADED)
        assert a.thoughts() == a.minted[:2]
        assert client.thoughts()[-1].endswith(a.minted[2])


@modes
async def test_where_the_latest_account_is_not_to_be_had_an_older_one_goes_on(stream: bool) -> None:
    async with sealing_upstream(ka="A") as a, sealing_upstream(kb="B") as b, sealing_upstream(kc="C") as c:
        providers = {"a": openai("a", a, "ka"), "b": openai("b", b, "kb"), "c": openai("c", c, "kc")}
        async with house(providers, {"coder": (["c/m", "a/m"], [])}) as served:
            client = Conversation(served, stream)
            for model in ("a/m", "b/m", "coder"):
                client.model = model
                await client.turn()
        assert (client.target, client.degraded) == ("a/m", DEGRADED)
        assert a.thoughts() == a.minted[:1]
        assert not c.inputs


@modes
async def test_an_answer_that_lacks_nothing_is_not_called_degraded(stream: bool) -> None:
    async with two_accounts(stream) as (a, _, client):
        a.down = True
        await client.turn()
        assert (client.target, client.degraded) == ("b/m", None)
        assert b"degraded" not in client.body


async def test_a_fallback_after_the_acceptance_says_so_in_a_comment() -> None:
    async with two_accounts(True) as (a, _, client):
        await client.turn()
        a.dies = True
        await client.turn()
        assert client.target == "a/m"
        assert client.degraded is None
        (comment,) = (line for line in client.body.splitlines() if line.startswith(b":"))
        said = dict(word.split(b"=") for word in comment.split()[2:])
        assert said[b"target"] == b"b/m"
        assert said[b"degraded"] == DEGRADED.encode()


@modes
async def test_a_restart_forgets_no_origin(stream: bool) -> None:
    async with sealing_upstream(ka="A") as a, sealing_upstream(kb="B") as b:
        routes = {"coder": (["b/m", "a/m"], [])}
        history: list[Any] = []
        for _ in range(2):
            providers = {"b": openai("b", b, "kb"), "a": openai("a", a, "ka")}
            async with house(providers, routes) as served:
                client = Conversation(served, stream, history=history)
                client.model = "a/m" if not history else "coder"
                await client.turn()
        assert (client.target, client.degraded) == ("a/m", None)
        assert a.thoughts() == a.minted[:1]
        assert not b.inputs


@modes
async def test_two_providers_of_one_account_read_each_others_ciphertext(stream: bool) -> None:
    async with sealing_upstream(ka="A", kb="A") as a:
        providers = {
            "one": openai("one", a, "ka", organization="org"),
            "two": openai("two", a, "kb", organization="org"),
        }
        async with house(providers) as served:
            client = Conversation(served, stream, "one/m")
            await client.turn()
            client.model = "two/m"
            await client.turn()
        assert a.thoughts() == a.minted[:1]
        assert client.degraded is None


@modes
@pytest.mark.parametrize("code", ["invalid_encrypted_content", "bad_request", None])
async def test_a_client_that_strips_the_mark_is_served_all_the_same(stream: bool, code: str | None) -> None:
    async with two_accounts(stream) as (a, b, client):
        a.code = b.code = code
        await client.turn()
        for item in client.history:
            if "encrypted_content" in item:
                item["encrypted_content"] = a.minted[0]
        client.model = "a/m"
        await client.turn()
        assert a.thoughts() == a.minted[:1]
        assert client.degraded is None
        for item in client.history:
            if "encrypted_content" in item:
                item["encrypted_content"] = a.minted[0]
        client.model = "b/m"
        await client.turn()
        assert (client.target, client.degraded) == ("b/m", DEGRADED)
        assert client.headers["x-maestro-attempts"] == "2"
        assert [b.thoughts(0), b.thoughts(1)] == [[a.minted[0]] * 2, []]


@pytest.mark.parametrize("blob", ["gAAAAAnobody", "x", "maestro1.0123456789ab.gAAAAA", "maestro-sealed-1.x"])
@modes
async def test_ciphertext_of_nobody_knows_whom_is_no_reason_to_refuse(stream: bool, blob: str) -> None:
    async with two_accounts(stream) as (_, b, client):
        client.history.append({"type": "reasoning", "id": "rs_x", "summary": [], "encrypted_content": blob})
        await client.turn()
        assert client.target == "a/m", "the same target before others"
        assert not b.inputs
        assert client.degraded == (None if blob.startswith("maestro-sealed") else DEGRADED)


async def test_a_refusal_inside_the_stream_is_recovered_as_well() -> None:
    async with two_accounts(True) as (a, b, client):
        a.in_stream = True
        client.history.append({"type": "reasoning", "id": "rs_x", "summary": [], "encrypted_content": "gA"})
        await client.turn()
        assert a.thoughts(-1) == []
        assert len(a.inputs) == 2
        assert not b.inputs


@modes
async def test_a_target_that_refuses_without_ciphertext_too_is_asked_twice_and_no_more(stream: bool) -> None:
    async with two_accounts(stream) as (a, _, client):
        a.refuses_all = True
        client.history.append({"type": "reasoning", "id": "rs_x", "summary": [], "encrypted_content": "gA"})
        await client.turn()
        assert len(a.inputs) == 2
        assert client.target == "b/m"


@modes
async def test_native_and_local_targets_mix(stream: bool, upstream: FakeUpstream) -> None:
    async with sealing_upstream(ka="A") as a:
        home = ServerProvider("home", LocalOptions(base_url=upstream.url))
        providers = {"a": openai("a", a, "ka"), "home": home}
        upstream.play(Stream(*chat.chunks({"reasoning_content": "Locally."}, {"content": "Hi from home"})))
        async with house(providers, {"coder": (["a/m", "home/m"], [])}) as served:
            client = Conversation(served, stream)
            await client.turn("one")
            a.down = True
            await client.turn("two")
            assert (client.target, client.degraded) == ("home/m", DEGRADED)
            sent = upstream.requests[-1].raw.decode()
            assert a.minted[0] not in sent
            assert "maestro1." not in sent
            assert "A says 0" in sent

            a.down = False
            await client.turn("three")
            assert client.target == "home/m"
            messages = upstream.requests[-1].body["messages"]
            assert any(each.get("reasoning_content") == "Locally." for each in messages)

            upstream.play(refusal(503))
            await client.turn("four")
            assert (client.target, client.degraded) == ("a/m", DEGRADED)
            assert a.thoughts() == a.minted[:1]
            assert "maestro" not in json.dumps(a.inputs[-1])


@modes
async def test_what_a_reference_stands_for_is_sealed_for_its_account(stream: bool) -> None:
    async with two_accounts(stream) as (a, b, client):
        output = await client.turn(store=True)
        references = [{"type": "item_reference", "id": item["id"]} for item in output]
        asked: list[Any] = [client.history[0], *references]

        client.history = list(asked)
        client.model = "a/m"
        await client.turn()
        assert a.inputs[-1][1:3] == references
        client.history = list(asked)
        client.model = "b/m"
        await client.turn()
        assert [item["type"] for item in b.inputs[-1]] == ["message", "message", "message"]
        assert client.degraded == DEGRADED


async def test_conversations_of_two_accounts_do_not_disturb_each_other() -> None:
    async with two_accounts(True, balance="round_robin") as (a, b, first):
        clients = [first, *(Conversation(first.at, number % 2 == 0) for number in range(7))]
        for _ in range(4):
            await asyncio.gather(*(client.turn() for client in clients))
        assert {client.target for client in clients} == {"a/m", "b/m"}
        for client in clients:
            assert client.degraded is None
            own = a if client.target == "a/m" else b
            assert all(any(thought.endswith(each) for each in own.minted) for thought in client.thoughts())


@modes
@pytest.mark.parametrize("code", ["invalid_value", "model_not_supported"])
async def test_a_refusal_for_another_reason_is_no_reason_to_leave_ciphertext_out(
    stream: bool, code: str, upstream: FakeUpstream
) -> None:
    upstream.play(refusal(400, "Bad tool.", code=code, param="tools"))
    thought = {"type": "reasoning", "id": "rs_x", "summary": [], "encrypted_content": "gA"}
    async with house({"first": NativeProvider("first", upstream.url)}) as served:
        asked = {"model": "first/m", "input": [thought], "stream": stream}
        status, _, body = await served.post(asked)
    assert (status, json.loads(body)["error"]["message"]) == (400, "Bad tool.")
    assert len(upstream.requests) == 1
