"""A whole house on a socket: the real application over given providers, without a configuration file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

from maestro_daemon.plugin import Model, Provider
from maestro_daemon.providers.notices import Attempt, Outcome
from maestro_daemon.request import ResponseRequest
from maestro_daemon.routing.budget import BudgetRules, RetryBudget
from maestro_daemon.routing.health import Health
from maestro_daemon.routing.memory import Memory
from maestro_daemon.routing.plan import Planner, Route, Target
from maestro_daemon.routing.router import Router
from maestro_daemon.routing.terms import USUAL, Patience, Terms
from maestro_daemon.server.access import Access
from maestro_daemon.server.app import make_app
from maestro_daemon.server.connections import ConnectionRunner
from maestro_daemon.server.front import Door, Front, Limits
from maestro_daemon.server.responses import ResponsesHandler
from maestro_daemon.upstream.http import HttpUpstream
from maestro_daemon.upstream.responses import ResponsesUpstream


def no_retries() -> RetryBudget:
    """A budget that allows none, for tests that count who was asked."""
    return RetryBudget(BudgetRules(ratio=0.0, reserve=0))


class NativeProvider:
    """A native provider of the shortest kind."""

    def __init__(self, name: str, base_url: str, **options: Any) -> None:
        self.name = name
        self.http = HttpUpstream(
            base_url, provider=name, headers={"authorization": "Bearer sk-up"}, **options
        )
        self.upstream = ResponsesUpstream(self.http)
        self.complete = self.upstream.complete
        self.stream = self.upstream.stream

    def keeps_responses(self, model: str) -> bool:
        return True

    async def models(self) -> Sequence[Model]:
        return [Model("gpt-test")]

    async def aclose(self) -> None:
        await self.http.aclose()


class FixedCatalogue:
    """What each provider is said to list."""

    def __init__(self, listed: Mapping[str, Sequence[Model] | None]) -> None:
        self.listed = listed

    def models(self, provider: str) -> Sequence[Model] | None:
        return self.listed.get(provider)

    async def more_read(self) -> bool:
        return False


@dataclass
class Heard:
    """Notices as they came."""

    attempts: list[Attempt] = field(default_factory=list)
    outcomes: asyncio.Queue[Outcome] = field(default_factory=asyncio.Queue)

    def maestro_attempt_finished(self, *, request: ResponseRequest, attempt: Attempt) -> None:
        self.attempts.append(attempt)

    def maestro_response_finished(self, *, request: ResponseRequest, outcome: Outcome) -> None:
        self.outcomes.put_nowait(outcome)


@dataclass
class House:
    """A running house."""

    url: str
    session: aiohttp.ClientSession
    heard: Heard
    memory: Memory
    handler: ResponsesHandler
    health: Health

    async def post(self, body: Any = None, **more: Any) -> tuple[int, Mapping[str, str], bytes]:
        """POST /v1/responses; the whole answer."""
        sent = {"model": "first/gpt-test", "input": "Hi"} if body is None else body
        async with self.session.post(f"{self.url}/v1/responses", json=sent, **more) as answer:
            return answer.status, dict(answer.headers), await answer.read()

    async def stream(self, **fields: Any) -> list[dict[str, Any]]:
        """A streamed answer's events, `[DONE]` checked and left out."""
        return parse_stream(
            (await self.post({"model": "first/gpt-test", "input": "Hi", "stream": True, **fields}))[2]
        )


def parse_stream(body: bytes) -> list[dict[str, Any]]:
    """The events of an SSE body as the house writes it; strict: LF, event = type, `[DONE]` last."""
    import json

    assert b"\r" not in body
    assert body.endswith(b"\n\n")
    records = body[:-2].split(b"\n\n")
    assert records[-1] == b"data: [DONE]", body[-300:]
    events = []
    for record in records[:-1]:
        if record.startswith(b":"):
            continue
        name, data = record.split(b"\n")
        event = json.loads(data.removeprefix(b"data: "))
        assert name == b"event: " + event["type"].encode()
        events.append(event)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    return events


@asynccontextmanager
async def house(
    providers: Mapping[str, Provider],
    routes: Mapping[str, Sequence[Sequence[str]]] | None = None,
    *,
    balance: Any = "in_order",
    models: Mapping[str, Sequence[Model]] | None = None,
    keepalive: float = 60.0,
    send_timeout: float = 30.0,
    max_body: int = 64 * 1024 * 1024,
    keys: Mapping[str, str] | None = None,
    more: Sequence[web.RouteDef] = (),
    health: Health | None = None,
    patience: Mapping[str, Patience] | None = None,
    budget: RetryBudget | None = None,
    terms: Terms = USUAL,
) -> AsyncIterator[House]:
    """Serve `providers`; `routes` maps a name to (targets, fallbacks), each ``provider/model``."""

    def target(name: str) -> Target:
        provider, _, model = name.partition("/")
        return Target(providers[provider], provider, model)

    built = {
        name: Route(name, tuple(map(target, targets)), tuple(map(target, fallbacks)), balance, terms=terms)
        for name, (targets, fallbacks) in (routes or {}).items()
    }
    heard = Heard()
    memory = Memory()
    catalogue = FixedCatalogue({name: (models or {}).get(name, [Model("gpt-test")]) for name in providers})
    health = Health() if health is None else health
    planner = Planner(providers, built, catalogue, memory, health=health)
    router = Router(planner, memory, heard, health=health, patience=patience or {}, budget=budget)
    door = Door(Front(router, Access(keys or {}), Limits(max_body, 30.0, keepalive, send_timeout)))
    handler = ResponsesHandler(door, heard)  # type: ignore[arg-type]
    runner = ConnectionRunner(make_app(handler, door, more))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    async with aiohttp.ClientSession() as session:
        try:
            yield House(f"http://{host}:{port}", session, heard, memory, handler, health)
        finally:
            await session.close()
            await runner.cleanup()
            for provider in providers.values():
                await provider.aclose()
