"""A storm: many requests at once while upstreams die and heal, clients leave and the configuration changes.

Everything random comes from one seed; what a request meets is decided when it arrives, so two runs of one
seed are alike but not equal. Whatever happens, each request that its client did not leave is answered
well-formed, and afterwards nothing is left.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp

from maestro_daemon.plugin import Provider
from maestro_daemon.routing.breaker import BreakerRules
from maestro_daemon.routing.health import Health, Named
from maestro_daemon.routing.terms import Patience, Terms
from maestro_daemon.routing.trial import Trial
from tests.support.faults.cell import MODEL, SILENCE
from tests.support.faults.table import FAULTS, Failure, Place
from tests.support.faults.verdict import known_to_sdks, text_of
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
from tests.support.house import House, NativeProvider, house
from tests.support.oracle import check_stream
from tests.support.raw_stream import events_of
from tests.support.raw_upstream import RawUpstream, Step, held_port
from tests.support.response_oracle import check_response
from tests.support.translated_provider import TranslatedProvider

UPSTREAMS: Final = ("a", "b", "c", "d", "rock")
"""The last one is well throughout; every second one speaks chat completions."""

AT_ONCE: Final = 100
"""Requests under way together."""

PATIENCE: Final = 30.0
"""Seconds for what does not fail; a hundred requests at once on a busy machine take their time."""

CHANGES: Final = 8
"""After so many answers the weather changes, and after four times as many the configuration is read anew."""

_RULES: Final = BreakerRules(
    failures=2, cooldown=0.05, longest_cooldown=0.2, quota_cooldown=0.1, longest_retry_after=0.2
)
_OPEN: Final = "open"
_SAFE: Final = "safe"
_SLOW: Final[tuple[Told, ...]] = (Say.HEAD, Dripping(0.01))
_BREAKDOWNS: Final[Sequence[tuple[Told, ...]]] = [
    fault.recipe
    for fault in FAULTS
    if fault.place is Place.SERVER and fault.failure not in (None, Failure.CLIENT)
]


class WatchedHealth(Health):
    """Health that counts the probes under way at each target; `crowded` are targets that had two at once."""

    def __init__(self, rules: BreakerRules) -> None:
        super().__init__(rules)
        self.probes: Counter[str] = Counter()
        self.probed = 0
        self.crowded: set[str] = set()

    def begin(self, target: Named, *, early: bool = False) -> Trial | None:
        trial = super().begin(target, early=early)
        if trial is None or not trial.is_probe:
            return trial
        self.probed += 1
        self.probes[target.name] += 1
        if self.probes[target.name] > 1:
            self.crowded.add(target.name)
        return _WatchedProbe(trial, self.probes, target.name)  # type: ignore[return-value]


class _WatchedProbe:
    """A probe until its target has answered or failed."""

    def __init__(self, trial: Trial, probes: Counter[str], name: str) -> None:
        self._trial = trial
        self._probes = probes
        self._name = name
        self._over = False

    def __getattr__(self, name: str) -> Any:
        if name in ("answered", "succeeded", "failed", "left") and not self._over:
            self._over = True
            self._probes[self._name] -= 1
        return getattr(self._trial, name)


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

    def _answer(self, request: bytes) -> Sequence[Step]:
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
    """A storm and what was seen of it."""

    seed: int
    front: House
    health: WatchedHealth
    upstreams: Sequence[Upstream]
    chance: random.Random
    seen: Counter[str] = field(default_factory=Counter)
    _answered: int = 0

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
                reload_configuration(self)

        async with asyncio.TaskGroup() as group:
            for number in range(requests):
                group.create_task(one(number))

    async def _ask(self, number: int) -> None:
        chance = self.chance
        stream = chance.random() < 0.6
        route = _SAFE if chance.random() < 0.6 else _OPEN
        marker = f"-{number}-{chance.randrange(10**9)}"
        body: dict[str, Any] = {"model": route, "input": f"<<{marker}>>", "stream": stream}
        if chance.random() < 0.5:
            body["prompt_cache_key"] = f"conversation {chance.randrange(20)}"
        leaves = chance.random() < 0.15
        url = f"{self.front.url}/v1/responses"
        if leaves:
            await self._leave(url, body, chance.random() * SILENCE)
            return
        async with asyncio.timeout(PATIENCE), self.front.session.post(url, json=body) as answer:
            self._judge(answer, await answer.read(), marker, stream=stream, route=route)

    async def _leave(self, url: str, body: dict[str, Any], patience: float) -> None:
        """Ask, and go after a while, whatever came until then."""
        try:
            async with asyncio.timeout(patience), self.front.session.post(url, json=body) as answer:
                await answer.content.readany()
                answer.close()
        except TimeoutError:
            pass
        self.seen["left"] += 1

    def _judge(
        self, answer: aiohttp.ClientResponse, raw: bytes, marker: str, *, stream: bool, route: str
    ) -> None:
        if answer.status != 200:
            error = json.loads(raw)["error"]
            assert error.keys() == {"message", "type", "param", "code"}
            assert error["message"]
            assert route == _OPEN, f"HTTP {answer.status} though {UPSTREAMS[-1]} was there: {error}"
            self.seen[f"HTTP {answer.status}"] += 1
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
            assert text or route == _OPEN, f"nothing was said though {UPSTREAMS[-1]} was there"
        self.seen[response["status"]] += 1


def reload_configuration(storm: Storm) -> None:
    """The configuration is read anew while requests run: here its breakers alone, with the same rules."""
    storm.health.follow(_RULES)
    storm.seen["reloads"] += 1


@asynccontextmanager
async def storm(seed: int, *, hedge: bool = False) -> AsyncIterator[Storm]:
    """A house and upstreams for a storm; all upstreams are well at first. `hedge` asks a second one early."""
    chance = random.Random(seed)
    health = WatchedHealth(_RULES)
    async with AsyncExitStack() as stack:
        upstreams = []
        providers: dict[str, Provider] = {}
        patience = {}
        for name in UPSTREAMS:
            upstream = Upstream(name, stack.enter_context(held_port()), chance)
            stack.push_async_callback(upstream.server.aclose)
            upstream.server.listen(upstream.port)
            silence = PATIENCE if name == UPSTREAMS[-1] else 2 * SILENCE
            times = {"connect_timeout": PATIENCE, "first_byte_timeout": silence, "idle_timeout": silence}
            kind = TranslatedProvider if upstream.chat else NativeProvider
            providers[name] = kind(name, f"http://127.0.0.1:{upstream.port}/v1", **times)
            patience[name] = Patience(first_output=silence)
            upstreams.append(upstream)
        changing = [f"{name}/gpt-test" for name in UPSTREAMS[:-1]]
        routes = {_SAFE: (changing, [f"{UPSTREAMS[-1]}/gpt-test"]), _OPEN: (changing, [])}
        front = await stack.enter_async_context(
            house(
                providers,
                routes,
                balance="round_robin",
                health=health,
                patience=patience,
                terms=Terms(hedge=hedge),
            )
        )
        yield Storm(seed, front, health, upstreams, chance)
        async with asyncio.timeout(PATIENCE):
            await front.handler.idle()
            for upstream in upstreams:
                await upstream.server.deserted()
        rock = [each.error for each in front.heard.attempts if each.provider == UPSTREAMS[-1]]
        assert [error for error in rock if error is not None] == []
