"""Tool loops with reasoning by the openai package against Copilot, across the end of a token."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import pytest_asyncio
from openai import AsyncOpenAI

from tests.clients.conftest import make_client
from tests.support.copilot.copilot import Fake, fake_copilot
from tests.support.copilot.overheard import nothing_in
from tests.support.copilot.turns import Call, Say, Think
from tests.support.serving import serving_beside

SERVER = """
[server]
port = 0
"""
PROVIDER = """
[providers.{name}]
kind = "copilot"
token = "{token}"
base_url = "{url}"
github_url = "{url}"
github_api_url = "{url}"
mode = "exchange"
"""
PROVIDERS = 32  # one for each test, since an account renews its token by force a few times a minute only

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOOLS: list[Any] = [
    {
        "type": "function",
        "name": "add",
        "description": "Add two numbers.",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "number"}, "b": {"type": "number"}},
            "required": ["a", "b"],
            "additionalProperties": False,
        },
        "strict": False,
    }
]
MODELS = pytest.mark.parametrize(
    "model", ["gpt-native", "gpt-plain", "claude-chat", "gpt-5-mini", "o1-preview"]
)


@dataclass(frozen=True)
class Place:
    """A provider of the daemon, its client, and both halves of the fake."""

    name: str
    token: str
    client: AsyncOpenAI
    fake: Fake
    before: int = 0

    @property
    def exchanges(self) -> int:
        """How often this provider asked for another Copilot token than it had `before`."""
        asked = [headers for path, headers, _ in self.fake.github.seen if path.endswith("/v2/token")]
        return sum(self.token in headers["Authorization"] for headers in asked) - self.before

    def the_token_ends(self) -> None:
        """Between two requests; nobody on our side can know."""
        self.fake.state.revoke_copilot_tokens()

    async def answer(self, model: str, *, streams: bool = False, **fields: Any) -> Any:
        fields = {"model": f"{self.name}/{model}", **fields}
        if not streams:
            return await self.client.responses.create(**fields)
        async with self.client.responses.stream(**fields) as stream:
            async for _ in stream:
                pass
            return await stream.get_final_response()


@dataclass(frozen=True)
class Daemon:
    """A daemon process with many accounts at one fake."""

    fake: Fake
    url: str
    accounts: Iterator[tuple[str, str]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def daemon(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Daemon]:
    async with fake_copilot() as fake:
        accounts = {f"work{number}": fake.state.github_token() for number in range(PROVIDERS)}
        tables = [PROVIDER.format(name=name, token=token, url=fake.url) for name, token in accounts.items()]
        folder = tmp_path_factory.mktemp("daemon")
        async with serving_beside("\n".join([SERVER, *tables]), folder) as url:
            yield Daemon(fake, url, iter(accounts.items()))
        await asyncio.to_thread(nothing_in, folder / "daemon.log")


@pytest_asyncio.fixture(loop_scope="module")
async def place(daemon: Daemon) -> AsyncIterator[Place]:
    """A provider that no test had before, with a token that is good; no script yet."""
    name, token = next(daemon.accounts)
    async with await make_client(daemon.url) as client:
        await client.responses.create(model=f"{name}/old-chat", input="Hi")
        daemon.fake.copilot.forget()
        place = Place(name, token, client, daemon.fake)
        yield replace(place, before=place.exchanges)


@MODELS
@pytest.mark.parametrize("streams", [True, False])
@pytest.mark.parametrize(
    "asked", [{}, {"store": False, "include": ["reasoning.encrypted_content"]}], ids=["plain", "stateless"]
)
async def test_a_tool_loop_with_reasoning_outlives_its_token(
    place: Place, model: str, streams: bool, asked: dict[str, Any]
) -> None:
    """copilot.md §3 Tokens, §7 Replaying, §8."""
    fake = place.fake
    fake.copilot.chat.signs = True
    fake.copilot.play(
        (Think("First a and b."), Call("add", '{"a": 1, "b": 2}'), Call("add", '{"a": 3, "b": 4}')),
        (Think("Then both."), Say("Almost."), Call("add", '{"a": 3, "b": 7}')),
        (Think("Done."), Say("It is ", "10.")),
        (Say("As ", "I said."),),
    )
    history: list[Any] = [{"role": "user", "content": "Add 1, 2, 3 and 4."}]
    rounds = 0
    while True:
        response = await place.answer(model, streams=streams, input=history, tools=TOOLS, **asked)
        rounds += 1
        history += [item.model_dump(exclude_none=True) for item in response.output]
        calls = [item for item in response.output if item.type == "function_call"]
        if not calls:
            break
        for call in calls:
            numbers = json.loads(call.arguments)
            total = str(numbers["a"] + numbers["b"])
            history.append({"type": "function_call_output", "call_id": call.call_id, "output": total})
        place.the_token_ends()
    assert (rounds, response.output_text) == (3, "It is 10.")
    history.append({"role": "user", "content": "Sure?"})
    last = await place.answer(model, streams=streams, input=history, tools=TOOLS, **asked)
    assert last.output_text == "As I said."

    served = [each for each in fake.copilot.requests if each.body["model"] == model]
    by_turn = [each.initiator for each in served]
    assert by_turn == ["user", "agent", "agent", "agent", "agent", "user"]  # two were refused by their token
    assert place.exchanges == 2
    if model.startswith("gpt-native") or model == "gpt-plain":
        assert len(set(fake.copilot.native.ciphertexts_seen)) == 3
    else:
        assert [text for text, _ in fake.copilot.chat.replayed[-3:]] == [
            "First a and b.",
            "Then both.",
            "Done.",
        ]
        assert len(set(fake.copilot.chat.signatures_seen)) == 3


@MODELS
async def test_a_token_that_runs_out_by_the_clock_is_renewed(place: Place, model: str) -> None:
    """copilot.md §3 Tokens: do not trust expires_at against a skewed local clock."""
    place.fake.copilot.play((Say("Hello."),))
    for _ in range(3):
        assert (await place.answer(model, input="Hi")).output_text == "Hello."
        place.fake.state.skew += 2 * place.fake.state.lifetime
    assert place.exchanges == 2


async def test_item_references_are_resolved_before_copilot_sees_them(place: Place) -> None:
    """copilot.md §7 What it takes and refuses: it keeps nothing."""
    copilot = place.fake.copilot
    copilot.play((Think(), Call("add", '{"a": 1, "b": 2}', call_id="call_r")), (Say("3"),))
    first = await place.answer("gpt-native", input="Add.", tools=TOOLS)
    references: list[Any] = [{"type": "item_reference", "id": item.id} for item in first.output]
    output = {"type": "function_call_output", "call_id": "call_r", "output": "3"}
    second = await place.answer(
        "gpt-native", input=[{"role": "user", "content": "Add."}, *references, output], tools=TOOLS
    )
    assert second.output_text == "3"
    assert len(copilot.native.ciphertexts_seen) == 1
