"""What it costs to plan a request: µs of CPU, over 10,000 plans in this process, without any network.

Three targets in turn, with the breakers and the affinity that the daemon has; each plan is also told who
answered. Nothing is asserted.
"""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from maestro_daemon.errors import UpstreamBroken
from maestro_daemon.providers.provider import Model
from maestro_daemon.request import ResponseRequest
from maestro_daemon.routing.affinity import Affinity
from maestro_daemon.routing.failure_class import classify
from maestro_daemon.routing.health import Health
from maestro_daemon.routing.memory import Memory
from maestro_daemon.routing.plan import Planner, Route, Target

PLANS = 10_000
ROUNDS = 5
CONVERSATIONS = 500
TARGET = 30.0
NAMES = ("first", "second", "third")


class Named:
    """A provider that is never asked."""

    def keeps_responses(self, model: str) -> bool:
        return True


class Listing:
    """A catalogue as GitHub Copilot fills one: everything is known."""

    def __init__(self, window: int) -> None:
        self.listed = {
            name: [Model(f"m{number}", "", window, 128_000, True, True) for number in range(30)]
            for name in NAMES
        }

    def models(self, provider: str) -> Sequence[Model] | None:
        return self.listed.get(provider)

    async def more_read(self) -> bool:
        return False


class Case(NamedTuple):
    """Requests of one kind; `cooling` of the targets have an open breaker, `window` is their context."""

    what: str
    requests: list[ResponseRequest]
    cooling: int = 0
    window: int = 400_000


def request(input: Any, *, headers: Mapping[str, str] | None = None, **fields: Any) -> ResponseRequest:
    body = {"model": "coder", "input": input, "stream": True, "store": False, **fields}
    text = orjson.dumps(body)
    return ResponseRequest(
        orjson.loads(text), "coder", "coder", stream=True, headers=headers or {}, client="alice", text=text
    )


def message(role: str, size: int, number: int = 0) -> dict[str, Any]:
    kind = "output_text" if role == "assistant" else "input_text"
    text = (f"{number} " + "What stands in a file of some kind, said in words. " * (size // 50 + 1))[:size]
    return {"type": "message", "id": "msg_1", "role": role, "content": [{"type": kind, "text": text}]}


def agent(number: int, turns: int) -> list[dict[str, Any]]:
    """An agent's input: 48 KiB to begin with, and 5 KiB more with each turn."""
    items = [message("developer", 40_000), message("user", 8_000), message("user", 1_000, number)]
    for turn in range(turns):
        call = {
            "type": "function_call",
            "name": "exec",
            "arguments": "{}",
            "call_id": f"call_{number}_{turn}",
        }
        output = {"type": "function_call_output", "call_id": call["call_id"], "output": "line\n" * 1000}
        items += [message("assistant", 100), call, output]
    return items


def cases() -> list[Case]:
    def keyed(number: int, input: Any) -> ResponseRequest:
        return request(input, prompt_cache_key=f"0199-conversation-{number:08}", tools=[{"type": "function"}])

    many = range(CONVERSATIONS)
    return [
        Case("by prompt_cache_key", [keyed(each, "Hi") for each in many]),
        Case("by prompt_cache_key, every conversation new", [keyed(each, "Hi") for each in range(PLANS)]),
        Case("by prompt_cache_key, 150 KiB of history", [keyed(each, agent(each, 20)) for each in range(50)]),
        Case("by prompt_cache_key, one target cooling", [keyed(each, "Hi") for each in many], 1),
        Case(
            "… 150 KiB, counted against a context of 32k",
            [keyed(each, agent(each, 20)) for each in range(50)],
            0,
            32_768,
        ),
        Case("by session header", [request("Hi", headers={"session-id": f"s{each}"}) for each in many]),
        Case("by history, first turn of 48 KiB", [request(agent(each, 0)) for each in range(50)]),
        Case("by history, 150 KiB", [request(agent(each, 20)) for each in range(50)]),
    ]


def planner(cooling: int, window: int) -> Planner:
    providers: dict[str, Any] = {name: Named() for name in NAMES}
    targets = tuple(Target(provider, name, "m7") for name, provider in providers.items())
    health = Health()
    for target in targets:
        trial = health.begin(target)
        assert trial is not None
        trial.succeeded()
    for target in targets[:cooling]:
        while health.available(target):
            trial = health.begin(target)
            assert trial is not None
            trial.failed(classify(UpstreamBroken("cut")))
    return Planner(
        providers,
        {"coder": Route("coder", targets)},
        Listing(window),
        Memory(),
        health=health,
        affinity=Affinity(),
    )


def measured(case: Case) -> float:
    """Median over the rounds, in µs of CPU per plan."""
    rounds = []
    for _ in range(ROUNDS):
        plan: Callable[[ResponseRequest], Any] = planner(case.cooling, case.window).plan
        requests = case.requests
        count = len(requests)
        began = time.process_time()
        for number in range(PLANS):
            made = plan(requests[number % count])
            made.served_by(made.candidates[0])
        rounds.append((time.process_time() - began) / PLANS * 1e6)
    return statistics.median(rounds)


def main() -> int:
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"{PLANS} plans, median of {ROUNDS} rounds; target: at most {TARGET:g} µs by prompt_cache_key\n")
    for case in cases():
        print(f"{case.what:46} {measured(case):6.2f} µs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
