"""The provider keeps the whole contract of plugins; its stage is the prompt."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import maestro_echo

from maestro_daemon.testing import (
    Answers,
    Breaks,
    Ends,
    Fails,
    Fields,
    Inapplicable,
    ProviderContract,
    Refuses,
    Scenario,
    Stage,
    Stalls,
)


class PromptStage(Stage):
    """Scenarios become prompts that ask for them."""

    def play(self, *scenarios: Scenario) -> Sequence[Fields]:
        """The input that each request needs."""
        return [{"input": "\n".join(_lines(scenario))} for scenario in scenarios]


def _lines(scenario: Scenario) -> list[str]:
    match scenario:
        case Answers(odd=True) | Answers(bytes_at_once=int()):
            raise Inapplicable("it reads no bytes of an upstream")
        case Answers():
            thought = [f"/think {json.dumps(scenario.thought)}"] if scenario.thought else []
            calls = [f"/call id={each.call_id} {each.name} {each.arguments}" for each in scenario.calls]
            stop = ["/stop length"] if scenario.finish == "length" else []
            given, made = scenario.tokens
            return [f"/usage {given} {made}", *thought, *_said(scenario.pieces), *calls, *stop]
        case Refuses(status, message, code, retry_after):
            after = [] if retry_after is None else [f"after={retry_after}s"]
            named = [] if code is None else [f"code={code}"]
            return [" ".join(["/fail", str(status), *named, *after, message])]
        case Breaks(None):
            return ["/unreachable"]
        case Breaks(pieces) | Ends(pieces):
            return [*_said(pieces or ()), "/cut"]
        case Fails(pieces, message):
            return [*_said(pieces), f"/fail 500 {message}"]
        case Stalls(None):
            raise Inapplicable("it accepts at once")
        case Stalls(pieces):
            return [*_said(pieces or ()), "/hang"]
    raise Inapplicable("it talks no nonsense")


def _said(pieces: Sequence[str]) -> list[str]:
    return [f"/say {json.dumps(piece)}" for piece in pieces]


class TestEcho(ProviderContract):
    """Every check of the contract."""

    plugin = maestro_echo
    model = "echo"

    @asynccontextmanager
    async def stage(self) -> AsyncIterator[Stage]:
        """Prompts."""
        yield PromptStage()
