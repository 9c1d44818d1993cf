"""What is measured: each scenario gives the daemon and the bare proxy the same work, and has a target."""

from __future__ import annotations

from dataclasses import dataclass, field

from load import Expected, Load
from processes import Measured
from traffic import agent_request, chat_request, small_request

DELTA = b'"type":"response.output_text.delta"'
CHAT_DELTA = b'"delta":{"content":'
ANSWER = b"A proxy adds little."


@dataclass(frozen=True, slots=True)
class Sample:
    """One load on one server: so many units (requests or events) in so many seconds, for so much CPU."""

    units: int
    seconds: float
    cpu: float

    @property
    def rate(self) -> float:
        return self.units / self.seconds

    @property
    def cost(self) -> float:
        """Microseconds of CPU per unit."""
        return self.cpu / self.units * 1e6


@dataclass(slots=True)
class Scenario:
    """`unit` is what is counted, `per_answer` how many of them one answer holds.

    `target` bounds the ratio daemon : proxy, from below for requests per second (`by_rate`), else from
    above for CPU per unit. `daemon` and `bare` gather one sample per round.
    """

    key: str
    title: str
    unit: str
    per_answer: int
    target: float
    daemon_load: Load
    bare_load: Load
    by_rate: bool = False
    daemon: list[Sample] = field(default_factory=list)
    bare: list[Sample] = field(default_factory=list)

    async def turn(self, daemon: Measured, bare: Measured, *, daemon_first: bool) -> None:
        """One round: both servers, one after the other."""
        sides = [(daemon, self.daemon_load, self.daemon), (bare, self.bare_load, self.bare)]
        for server, load, samples in sides if daemon_first else reversed(sides):
            cpu = server.cpu()
            answers, seconds = await load.run(server.port)
            samples.append(Sample(answers * self.per_answer, seconds, server.cpu() - cpu))


def scenarios(*, quick: bool) -> list[Scenario]:
    """Every scenario, in the order of the table; `quick` ones take about a third of the time."""
    return [_json(0.4 if quick else 1.2), *_streams(quick=quick)]


def _json(seconds: float) -> Scenario:
    """32 clients, each with its next request as soon as the last is answered."""

    def load(model: str) -> Load:
        body = small_request(model, stream=False)
        return Load("/v1/responses", body, 32, seconds, Expected(ANSWER, 20))

    return Scenario(
        key="json",
        title="JSON, 32 at once",
        unit="requests/s",
        per_answer=1,
        target=0.6,
        daemon_load=load("native/bench-json"),
        bare_load=load("bench-json"),
        by_rate=True,
    )


def _streams(*, quick: bool) -> list[Scenario]:
    seconds = 0.4 if quick else 1.2
    ticks = 100 if quick else 300

    def load(body: bytes, clients: int, deltas: int, *, again_for: float = 0.0) -> Load:
        return Load("/v1/responses", body, clients, again_for, Expected(DELTA, deltas))

    def paced(model: str) -> Load:
        return load(small_request(f"{model}-{ticks}", stream=True), 16, ticks)

    def burst(model: str) -> Load:
        return load(small_request(f"{model}-200", stream=True), 8, 200, again_for=seconds)

    def agent(model: str) -> Load:
        return load(agent_request(f"{model}-50"), 8, 50, again_for=seconds)

    return [
        Scenario(
            key="paced",
            title="16 streams, one event each 10 ms",
            unit="µs/event",
            per_answer=ticks,
            target=1.6,
            daemon_load=paced("native/bench-paced"),
            bare_load=paced("bench-paced"),
        ),
        Scenario(
            key="burst",
            title="8 streams of 200 events at once",
            unit="µs/event",
            per_answer=200,
            target=4.0,
            daemon_load=burst("native/bench-burst"),
            bare_load=burst("bench-burst"),
        ),
        Scenario(
            key="agent",
            title="48 KiB request, 50 events",
            unit="µs/request",
            per_answer=1,
            target=2.5,
            daemon_load=agent("native/bench-burst"),
            bare_load=agent("bench-burst"),
        ),
        Scenario(
            key="translated",
            title="16 streams, one delta each 10 ms, translated",
            unit="µs/event",
            per_answer=ticks,
            target=3.0,
            daemon_load=paced("chat/bench-paced"),
            bare_load=Load(
                "/v1/chat/completions",
                chat_request(f"bench-paced-{ticks}"),
                16,
                0.0,
                Expected(CHAT_DELTA, ticks),
            ),
        ),
    ]
