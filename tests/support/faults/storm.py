"""A storm: many requests at once while upstreams die and heal, clients leave and the configuration changes.

The daemon is a whole one, made from a configuration file and served on a socket of its own.

Everything random comes from one seed; what a request meets is decided when it arrives, so two runs of one
seed are alike but not equal. Whatever happens, each request that its client did not leave is answered
well-formed, and afterwards nothing is left.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp

from maestro_daemon.plugin import Attempt, ResponseRequest, hookimpl
from maestro_daemon.routing.breaker import BreakerRules
from tests.support.faults.cell import MODEL, SILENCE
from tests.support.faults.table import FAULTS, Failure, Place
from tests.support.faults.verdict import known_to_sdks, text_of
from tests.support.faults.watched_health import WatchedHealth
from tests.support.faults.wording import (
    SAID,
    WHOLE,
    ChatStream,
    Dripping,
    NativeStream,
    NativeWhole,
    Say,
    Told,
)
from tests.support.oracle import check_stream
from tests.support.raw_stream import events_of
from tests.support.raw_upstream import RawUpstream, Step, answer, held_port
from tests.support.response_oracle import check_response
from tests.support.standing import Standing, standing

UPSTREAMS: Final = ("a", "b", "c", "d", "rock")
"""The last one is well throughout; every second one speaks chat completions."""

AT_ONCE: Final = 100
"""Requests under way together."""

PATIENCE: Final = 30.0
"""Seconds for what does not fail; a hundred requests at once on a busy machine take their time."""

CHANGES: Final = 8
"""After so many answers the weather changes, and after four times as many the configuration is read anew."""

_BREAKER: Final = """
[server]
port = 0

[breaker]
failures = 2
cooldown = "50ms"
longest_cooldown = "200ms"
quota_cooldown = "100ms"
longest_retry_after = "200ms"
"""
_MODELS: Final = b'{"object":"list","data":[{"id":"gpt-test","object":"model"}]}'
_OPEN: Final = "open"
_SAFE: Final = "safe"
_SLOW: Final[tuple[Told, ...]] = (Say.HEAD, Dripping(0.01))
_BREAKDOWNS: Final[Sequence[tuple[Told, ...]]] = [
    fault.recipe
    for fault in FAULTS
    if fault.place is Place.SERVER and fault.failure not in (None, Failure.CLIENT)
]


class Heard:
    """What failed, from the notices of attempts."""

    def __init__(self) -> None:
        self.failures: list[str] = []

    @hookimpl
    def maestro_attempt_finished(self, request: ResponseRequest, attempt: Attempt) -> None:
        if attempt.error is not None:
            self.failures.append(f"{attempt.target}: {attempt.error}")


class Upstream:
    """One upstream and its present temper: the share of its requests that go wrong."""

    def __init__(self, name: str, port: int, chance: random.Random) -> None:
        self.name = name
        self.port = port
        self.chat = UPSTREAMS.index(name) % 2 == 1
        self.temper = 0.0
        self.dead = False
        self.server = RawUpstream([self._answer], lambda: None)
        self._chance = chance

    def change(self) -> None:
        """Another temper: well, moody, failing or gone."""
        self.temper = self._chance.choice((0.0, 0.2, 0.5, 1.0))
        dead = self._chance.random() < 0.25
        if dead and not self.dead:
            self.server.refuse()
        elif self.dead and not dead:
            self.server.listen(self.port)
        self.dead = dead

    def table(self, generation: int) -> str:
        """Its ``[providers.NAME]``; another `generation` makes another provider of it."""
        silence = f"{(PATIENCE if self.name == UPSTREAMS[-1] else 2 * SILENCE) * 1000:g}ms"
        kind = 'kind = "local"' if self.chat else 'kind = "openai"\napi_key = "sk-up"'
        return f"""
[providers.{self.name}]
{kind}
base_url = "http://127.0.0.1:{self.port}/v1"
headers = {{ x-generation = "{generation}" }}
connect_timeout = "{PATIENCE:g}s"
first_byte_timeout = "{silence}"
first_output_timeout = "{silence}"
idle_timeout = "{silence}"
"""

    def _answer(self, request: bytes) -> Sequence[Step]:
        if request.startswith(b"GET "):
            listed = request.startswith(b"GET /v1/models ")
            return [answer(_MODELS) if listed else answer(b"", "404 Not Found")]
        body = json.loads(request.partition(b"\r\n\r\n")[2])
        stream = body.get("stream", False)
        marker = json.dumps(body).split("<<")[1].split(">>")[0]
        recipe = _SLOW if self._chance.random() < 0.2 else WHOLE
        if self._chance.random() < self.temper:
            recipe = self._chance.choice(_BREAKDOWNS)
        words = ChatStream(marker) if self.chat else NativeStream(marker) if stream else NativeWhole(marker)
        return words.script(recipe)[1:]


@dataclass
class Storm:
    """A storm and what was seen of it; `generations` are how often each provider's table has changed."""

    seed: int
    daemon: Standing
    health: WatchedHealth
    upstreams: Sequence[Upstream]
    chance: random.Random
    hedge: bool
    seen: Counter[str] = field(default_factory=Counter)
    generations: Counter[str] = field(default_factory=Counter)
    _answered: int = 0
    _writing: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def rage(self, requests: int) -> None:
        """So many requests; raises what went wrong with any of them."""
        room = asyncio.Semaphore(AT_ONCE)

        async def one(number: int) -> None:
            async with room:
                await self._ask(number)
            self._answered += 1
            if self._answered % CHANGES == 0:
                self.chance.choice(self.upstreams[:-1]).change()
            if self._answered % (4 * CHANGES) == 0:
                await self.change_configuration()

        async with asyncio.TaskGroup() as group:
            for number in range(requests):
                group.create_task(one(number))

    async def change_configuration(self) -> None:
        """Read the configuration anew while requests run: another balance, and one provider made anew."""
        changed = self.chance.choice(self.upstreams[:-1])
        self.generations[changed.name] += 1
        balance = self.chance.choice(("round_robin", "in_order", "weighted", "least_busy"))
        text = configuration(self.upstreams, self.generations, balance, self.hedge)
        async with self._writing:  # half a file is no configuration
            become = await self.daemon.reload(text)
        assert become["problems"] == {}
        self.seen["reloads"] += 1

    async def _ask(self, number: int) -> None:
        chance = self.chance
        stream = chance.random() < 0.6
        route = _SAFE if chance.random() < 0.6 else _OPEN
        marker = f"-{number}-{chance.randrange(10**9)}"
        body: dict[str, Any] = {"model": route, "input": f"<<{marker}>>", "stream": stream}
        if chance.random() < 0.5:
            body["prompt_cache_key"] = f"conversation {chance.randrange(20)}"
        leaves = chance.random() < 0.15
        url = f"{self.daemon.url}/responses"
        if leaves:
            await self._leave(url, body, chance.random() * SILENCE)
            return
        async with asyncio.timeout(PATIENCE), self.daemon.session.post(url, json=body) as answered:
            self._judge(answered, await answered.read(), marker, stream=stream, route=route)

    async def _leave(self, url: str, body: dict[str, Any], patience: float) -> None:
        """Ask, and go after a while, whatever came until then."""
        try:
            async with asyncio.timeout(patience), self.daemon.session.post(url, json=body) as answered:
                await answered.content.readany()
                answered.close()
        except TimeoutError:
            pass
        self.seen["left"] += 1

    def _judge(
        self, answered: aiohttp.ClientResponse, raw: bytes, marker: str, *, stream: bool, route: str
    ) -> None:
        if answered.status != 200:
            error = json.loads(raw)["error"]
            assert error.keys() == {"message", "type", "param", "code"}
            assert error["message"]
            assert route == _OPEN, f"HTTP {answered.status} though {UPSTREAMS[-1]} was there: {error}"
            self.seen[f"HTTP {answered.status}"] += 1
            return
        if stream:
            raw = raw.replace(f'"{MODEL}"'.encode(), f'"{route}"'.encode())  # the upstream's name for it
            response = check_stream(map(known_to_sdks, events_of(raw)))
        else:
            response = json.loads(raw)
            check_response(response)
        text = text_of(response)
        if response["status"] == "completed":
            assert text == SAID + marker
        else:
            assert stream
            assert response["status"] == "failed"
            assert (SAID + marker).startswith(text)
            # What was said binds the answer to its upstream; until then the next one goes on.
            assert text or route == _OPEN, f"{UPSTREAMS[-1]} was there: {raw!r}"
        self.seen[response["status"]] += 1


def configuration(
    upstreams: Sequence[Upstream], generations: Mapping[str, int], balance: str, hedge: bool
) -> str:
    """The daemon's TOML. The safe route falls back to who is always well."""
    changing = json.dumps([f"{each.name}/gpt-test" for each in upstreams[:-1]])
    common = f'targets = {changing}\nbalance = "{balance}"\nhedge = {json.dumps(hedge)}\n'
    routes = (
        f"[routes.{_OPEN}]\n{common}\n"
        f'[routes.{_SAFE}]\n{common}fallbacks = ["{upstreams[-1].name}/gpt-test"]\n'
    )
    return _BREAKER + "".join(each.table(generations[each.name]) for each in upstreams) + routes


@asynccontextmanager
async def storm(seed: int, folder: Path, *, hedge: bool = False) -> AsyncIterator[Storm]:
    """A daemon and upstreams for a storm; all are well at first. `hedge` asks a second target early."""
    chance = random.Random(seed)
    heard = Heard()
    made: list[WatchedHealth] = []

    class Watched(WatchedHealth):
        def __init__(self, rules: BreakerRules) -> None:
            super().__init__(rules)
            made.append(self)

    async with AsyncExitStack() as stack:
        upstreams = []
        for name in UPSTREAMS:
            upstream = Upstream(name, stack.enter_context(held_port()), chance)
            stack.push_async_callback(upstream.server.aclose)
            upstream.server.listen(upstream.port)
            upstreams.append(upstream)
        text = configuration(upstreams, Counter(), "round_robin", hedge)
        daemon = await stack.enter_async_context(
            standing(folder, text, plugins={"heard": heard}, health=Watched)
        )
        yield Storm(seed, daemon, made[0], upstreams, chance, hedge)
        async with asyncio.timeout(PATIENCE):
            await daemon.daemon.handler.under_way.none()
            await daemon.only_current()
            for upstream in upstreams:
                await upstream.server.deserted()
        assert [each for each in heard.failures if each.startswith(UPSTREAMS[-1])] == []
