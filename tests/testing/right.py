"""A provider without fault, in this process: what the wrong ones are made from.

Its upstream speaks Responses natively; the "connection" to it is an object, so that a whole check takes no
longer than a few milliseconds.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Annotated, Any, ClassVar

from pydantic import Field

from maestro_daemon.plugin import (
    Accepted,
    BaseUrl,
    CredentialsRefused,
    Model,
    ResponseEvent,
    ResponseRequest,
    Secret,
    Table,
    Timeout,
    UpstreamBroken,
    UpstreamRefused,
    UpstreamUnreachable,
    hookimpl,
)
from maestro_daemon.protocol import sse
from maestro_daemon.testing import (
    SECRET,
    Answers,
    Asked,
    Babbles,
    Breaks,
    Ends,
    Fails,
    Fields,
    Listing,
    Lists,
    ProviderContract,
    Refuses,
    ResponsesWire,
    Scenario,
    Stage,
    Stalls,
)
from maestro_daemon.testing.wire import JUNK

WIRE = ResponsesWire()


class World(Stage):
    """The upstream: what it is to say, what it was asked, and who is connected."""

    now: ClassVar[World]

    url = "https://upstream.test/v1"
    passes_unknown = True

    def __init__(self) -> None:
        World.now = self
        self.scenarios: list[Scenario] = [Answers(("Hi",))]
        self.listing: Listing = Lists(("gpt-test",))
        self.record: list[Asked] = []
        self.gone: asyncio.Queue[None] = asyncio.Queue()
        self.open: set[object] = set()

    def play(self, *scenarios: Scenario) -> Sequence[Fields]:
        self.scenarios = list(scenarios)
        return [{} for _ in scenarios]

    def play_listing(self, listing: Listing) -> None:
        self.listing = listing

    def asked(self) -> Sequence[Asked]:
        return list(self.record)

    async def left(self) -> None:
        await self.gone.get()

    def connections(self) -> int:
        return len(self.open)

    def ask(self, where: str, body: bytes) -> Scenario:
        self.record.append(Asked(where, body))
        return self.scenarios.pop(0) if len(self.scenarios) > 1 else self.scenarios[0]


class RightOptions(Table):
    """A provider of kind `right`."""

    base_url: BaseUrl = "https://upstream.test/v1"
    """Where the API is."""

    api_key: Annotated[Secret, Field(examples=[{"env": "RIGHT_KEY"}])]
    """The key."""

    idle_timeout: Timeout = 60.0
    """How long the upstream may be silent."""


class Right:
    """Keeps the whole contract."""

    def __init__(self, name: str, options: Any) -> None:
        self.name = name
        self.options = options
        self.closed = asyncio.Event()
        self.lines: set[object] = set()

    # What it says of itself

    def account(self) -> str:
        return "right"

    def problem(self) -> str | None:
        return None

    def keeps_responses(self, model: str) -> bool:
        return True

    async def models(self) -> Sequence[Model]:
        World.now.record.append(Asked(self.where("/models"), b""))
        match World.now.listing:
            case Lists(ids, odd):
                return self.read_models([*(JUNK if odd else ()), *({"id": id} for id in ids)])
            case Refuses() as refusal:
                raise self.refused(refusal)
            case _:
                raise UpstreamBroken("That is no list.")

    def read_models(self, entries: Sequence[Any]) -> Sequence[Model]:
        ids = (each.get("id") for each in entries if isinstance(each, dict))
        return [Model(id) for id in ids if isinstance(id, str)]

    # The way to the upstream

    def where(self, path: str) -> str:
        return f"/v1{path}"

    def body(self, request: ResponseRequest) -> Mapping[str, Any]:
        return request.body

    @asynccontextmanager
    async def line(self, request: ResponseRequest) -> AsyncIterator[Scenario]:
        """A connection that ends with the block."""
        if self.options.base_url != World.now.url:
            raise self.unreachable("nobody listens")
        line = object()
        scenario = World.now.ask(self.where("/responses"), json.dumps(dict(self.body(request))).encode())
        World.now.open.add(line)
        self.lines.add(line)
        try:
            yield scenario
        except BaseException as error:
            if isinstance(scenario, Stalls):
                self.hang_up(line, error)
            else:
                self.drop(line)
            raise
        self.drop(line)

    def hang_up(self, line: object, error: BaseException) -> None:
        World.now.gone.put_nowait(None)
        self.drop(line)

    def drop(self, line: object) -> None:
        World.now.open.discard(line)
        self.lines.discard(line)

    # Failures

    def unreachable(self, why: str) -> Exception:
        return UpstreamUnreachable(f"{self.name} cannot be reached: {why}.")

    def silent(self) -> Exception:
        return UpstreamUnreachable(f"{self.name} was silent.")

    def broken(self, scenario: Scenario) -> Exception:
        return UpstreamBroken(f"{self.name} broke off.")

    def refused(self, refusal: Refuses) -> Exception:
        kind = CredentialsRefused if refusal.status in (401, 403) else UpstreamRefused
        return kind(
            refusal.message.replace(SECRET, "***"),
            status=refusal.status,
            code=refusal.code,
            retry_after=refusal.retry_after and float(refusal.retry_after),
        )

    async def silence(self) -> None:
        """Wait for an upstream that says nothing more."""
        try:
            async with asyncio.timeout(self.options.idle_timeout):
                await self.closed.wait()
        except TimeoutError:
            raise self.silent() from None
        raise UpstreamBroken(f"{self.name} was closed.")

    # Answers

    def told(self, answer: Answers) -> Answers:
        """The answer as it is passed on."""
        return answer

    def events(self, answer: Answers) -> Iterator[ResponseEvent]:
        """Its events."""
        for record in WIRE.records(self.told(answer)):
            for type, payload in sse.Decoder().feed(record):
                yield ResponseEvent(type, payload)

    def begun(self, pieces: Sequence[str]) -> Iterator[ResponseEvent]:
        """The events of a text up to its last piece."""
        if not pieces:
            return
        for event in self.events(Answers(tuple(pieces))):
            yield event
            if json.loads(event.payload).get("delta") == pieces[-1]:
                return

    async def stream(self, request: ResponseRequest) -> AsyncGenerator[ResponseEvent, None]:
        async with self.line(request) as scenario:
            match scenario:
                case Refuses():
                    raise self.refused(scenario)
                case Breaks(None):
                    raise self.unreachable("it hung up")
                case Stalls(None):
                    await self.silence()
            yield Accepted({})
            match scenario:
                case Answers():
                    for event in self.events(scenario):
                        await asyncio.sleep(0)
                        yield event
                case Stalls(pieces):
                    for event in self.begun(pieces or ()):
                        yield event
                    await self.silence()
                case Breaks(pieces) | Ends(pieces) | Fails(pieces):
                    for event in self.begun(pieces or ()):
                        yield event
                    raise self.broken(scenario)
                case Babbles():
                    raise self.broken(scenario)

    async def complete(self, request: ResponseRequest) -> Any:
        async with aclosing(self.stream(request)) as events:
            last = None
            async for event in events:
                last = event
        assert last is not None
        return json.loads(last.payload)["response"]

    async def aclose(self) -> None:
        self.closed.set()
        for line in tuple(self.lines):
            self.drop(line)


def plugin_of(provider: type[Any], options: type[Any] = RightOptions, kind: str = "right") -> object:
    """A plugin that brings one kind."""

    class Plugin:
        @hookimpl
        def maestro_register_providers(self, register: Any) -> None:
            register(kind, options, provider)

    return Plugin()


class InProcess(ProviderContract):
    """The contract on providers made from `Right`."""

    impatient: ClassVar[Mapping[str, Any]] = {"idle_timeout": "5ms"}
    patience = 0.2

    @asynccontextmanager
    async def stage(self) -> AsyncIterator[Stage]:
        yield World()


class OfRight(InProcess):
    plugin = plugin_of(Right)
