"""Conversations stay where they were answered, over real sockets: three targets in turn, fifty clients."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest

from tests.support.answering_upstream import AnsweringUpstream, answering_upstreams
from tests.support.house import House, NativeProvider, house, parse_stream

NAMES: Final = ("first", "second", "third")
CONVERSATIONS: Final = 50
TURNS: Final = 10
FEWEST, MOST = 0.8 * CONVERSATIONS / 3, 1.2 * CONVERSATIONS / 3
AT_ONCE: Final = 8


class Client:
    """One conversation: what was said so far, and who answered."""

    def __init__(self, house: House, number: int, kind: str, *, stream: bool, opening: str = "") -> None:
        self.house = house
        self.kind = kind
        self.number = number
        self.stream = stream
        self.opening = opening or f"This is conversation {number}."
        self.history: list[Any] = []
        self.targets: list[str] = []

    async def turn(self) -> None:
        """Say something, and keep the answer as clients of this kind do."""
        said = self.opening if not self.history else f"Turn {len(self.targets) + 1}."
        self.history.append({"role": "user", "content": said})
        body: dict[str, Any] = {"model": "coder", "input": self.history, "stream": self.stream}
        if self.kind == "key":
            body["prompt_cache_key"] = f"conversation-{self.number}"
        if len(self.history) == 1 and self.number % 2:
            body["input"] = said  # some begin with a text
        headers = {self.kind: f"session-{self.number}"} if self.kind not in ("key", "history") else {}
        status, answered, raw = await self.house.post(body, headers=headers)
        assert status == 200, raw
        self.targets.append(answered["x-maestro-target"])
        output = parse_stream(raw)[-1]["response"]["output"] if self.stream else json.loads(raw)["output"]
        self.history += [self._kept(item) for item in output]

    def _kept(self, item: Any) -> Any:
        """Clients differ in what they send back of an answer."""
        text = item["content"][0]["text"]
        forms = (
            item,
            {name: value for name, value in item.items() if name not in ("id", "status")},
            {**item, "id": None, "phase": None},
            {"role": "assistant", "content": text},
        )
        return forms[self.number % len(forms)]

    @property
    def moves(self) -> int:
        """How often another target answered than before."""
        return sum(one != other for one, other in zip(self.targets, self.targets[1:], strict=False))


async def all_together(turns: Iterable[Callable[[], Awaitable[None]]]) -> None:
    """A turn of each, a few at once."""
    free = asyncio.Semaphore(AT_ONCE)

    async def one(turn: Callable[[], Awaitable[None]]) -> None:
        async with free:
            await turn()

    async with asyncio.TaskGroup() as group:
        for turn in turns:
            group.create_task(one(turn))


def spread(targets: Sequence[str]) -> Counter[str]:
    """How many conversations each target has; checks that this is within 20 % of even."""
    counts = Counter(targets)
    assert len(counts) == len(NAMES)
    assert all(FEWEST <= count <= MOST for count in counts.values()), counts
    return counts


@asynccontextmanager
async def three_targets() -> AsyncIterator[tuple[House, dict[str, AnsweringUpstream]]]:
    async with answering_upstreams(*NAMES) as upstreams:
        providers = {name: NativeProvider(name, upstream.url) for name, upstream in upstreams.items()}
        targets = [f"{name}/gpt-test" for name in NAMES]
        async with house(providers, {"coder": (targets, [])}, balance="round_robin") as one:
            yield one, upstreams


KINDS: Final = [
    pytest.param("key", False, id="key"),
    pytest.param("key", True, id="key, streamed"),
    pytest.param("session-id", True, id="header of Codex"),
    pytest.param("x-session-affinity", False, id="header of opencode"),
    pytest.param("x-claude-code-session-id", False, id="header of Claude Code"),
    pytest.param("x-session-id", False, id="header of others"),
    pytest.param("history", False, id="history"),
    pytest.param("history", True, id="history, streamed"),
]


@pytest.mark.parametrize(("kind", "stream"), KINDS)
async def test_every_conversation_stays_on_one_target_and_they_are_spread_evenly(
    kind: str, stream: bool
) -> None:
    async with three_targets() as (one, upstreams):
        clients = [Client(one, number, kind, stream=stream) for number in range(CONVERSATIONS)]
        for _ in range(TURNS):
            await all_together(client.turn for client in clients)
        assert [client.moves for client in clients] == [0] * CONVERSATIONS
        homes = spread([client.targets[0] for client in clients])
        for name, upstream in upstreams.items():
            assert len(upstream.asked) == TURNS * homes[f"{name}/gpt-test"]


@pytest.mark.parametrize("stream", [False, True], ids=["JSON", "streamed"])
async def test_equal_first_turns_are_spread_evenly_and_then_each_stays_where_it_is(stream: bool) -> None:
    async with three_targets() as (one, _):
        clients = [
            Client(one, number, "history", stream=stream, opening="Hello!") for number in range(CONVERSATIONS)
        ]
        await all_together(client.turn for client in clients)
        spread([client.targets[0] for client in clients])
        for _ in range(3):
            await all_together(client.turn for client in clients)
        assert [client.moves for client in clients] == [0] * CONVERSATIONS


@pytest.mark.parametrize(("kind", "stream"), [KINDS[0], KINDS[2], KINDS[6]])
async def test_when_a_target_dies_only_its_own_conversations_move_and_only_once(
    kind: str, stream: bool
) -> None:
    async with three_targets() as (one, upstreams):
        clients = [Client(one, number, kind, stream=stream) for number in range(CONVERSATIONS)]
        for _ in range(TURNS // 2):
            await all_together(client.turn for client in clients)
        spread([client.targets[0] for client in clients])
        await upstreams["second"].die()
        for _ in range(TURNS // 2):
            await all_together(client.turn for client in clients)
        dead = "second/gpt-test"
        for client in clients:
            assert client.moves == (1 if client.targets[0] == dead else 0), client.targets
        moved = Counter(client.targets[-1] for client in clients if client.targets[0] == dead)
        assert set(moved) == {"first/gpt-test", "third/gpt-test"}
        state = {row["target"]: row["state"] for row in one.health.snapshot()}
        assert state == {"first/gpt-test": "closed", dead: "open", "third/gpt-test": "closed"}
