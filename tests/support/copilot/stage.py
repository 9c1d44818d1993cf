"""The fake as the contract kit drives it: what a Copilot does is scripted, what it refuses stays its own."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from maestro_daemon.testing import (
    Answers,
    Asked,
    Breaks,
    Fields,
    Inapplicable,
    Listing,
    Lists,
    Refuses,
    Scenario,
    Stage,
    Stalls,
)
from tests.support.copilot.catalogues import CHAT, MALFORMED, NATIVE, entry
from tests.support.copilot.copilot import Cut, Fake, Stall, fake_copilot
from tests.support.copilot.refusing import Refused
from tests.support.copilot.turns import Call, Doing, Say, Think, Turn

_RECORDS_BEFORE_TEXT: Final = {"gpt-native": 4, "claude-chat": 3}
_OFTEN: Final = 8  # a fault takes the place of one answer


class CopilotStage(Stage):
    """GitHub and its Copilot, asked for `model`; tokens are exchanged."""

    counts_tokens = False

    def __init__(self, fake: Fake, model: str) -> None:
        self.url = fake.url
        self.fake = fake
        self._model = model
        self._endpoints = NATIVE if model == "gpt-native" else CHAT

    def play(self, *scenarios: Scenario) -> Sequence[Fields]:
        self.fake.copilot.faults = []
        self.fake.copilot.play(*map(self._turn, scenarios))
        return [{} for _ in scenarios]

    def play_listing(self, listing: Listing) -> None:
        half = self.fake.copilot
        half.catalogue_faults = []
        match listing:
            case Lists(ids, odd):
                half.catalogue = {
                    "data": [*(MALFORMED if odd else ()), *(entry(id, self._endpoints) for id in ids)]
                }
            case Refuses():
                half.catalogue_faults = [_refused(listing)] * _OFTEN
            case _:
                raise Inapplicable("this Copilot talks no nonsense")

    def asked(self) -> Sequence[Asked]:
        return [Asked(each.path, json.dumps(each.body).encode()) for each in self.fake.copilot.requests]

    async def left(self) -> None:
        await self.fake.copilot.left.get()

    def _turn(self, scenario: Scenario) -> Turn:
        half = self.fake.copilot
        half.native.foreign = False
        match scenario:
            case Answers(bytes_at_once=None, finish="stop"):
                half.native.foreign = scenario.odd
                return tuple(_doings(scenario))
            case Refuses():
                half.faults = [_refused(scenario)] * _OFTEN
                return (Say("Hi"),)
            case Breaks() if self._model == "gpt-native":
                raise Inapplicable("this Copilot cuts streams alone")
            case Breaks(pieces) | Stalls(pieces) if pieces is not None:
                place = _RECORDS_BEFORE_TEXT[self._model] + len(pieces) if pieces else 0
                fault = Cut(place) if isinstance(scenario, Breaks) else Stall(place)
                half.faults = [fault] * _OFTEN
                return (Say(*(pieces or ("Hi",))),)
        raise Inapplicable("this Copilot always answers, in whole records, to the end")


def _doings(answer: Answers) -> list[Doing]:
    said: list[Doing] = [Think(answer.thought)] if answer.thought else []
    said += [Say(*answer.pieces)] if answer.pieces else []
    return [*said, *(Call(each.name, each.arguments, call_id=each.call_id) for each in answer.calls)]


def _refused(refuses: Refuses) -> Refused:
    after = {} if refuses.retry_after is None else {"retry-after": str(refuses.retry_after)}
    return Refused(refuses.status, refuses.message, code=refuses.code, headers=after)


@asynccontextmanager
async def copilot_stage(model: str) -> AsyncIterator[CopilotStage]:
    """A fake of its own for each check."""
    async with fake_copilot() as fake:
        yield CopilotStage(fake, model)


def exchanging(stage: Stage) -> dict[str, Any]:
    """The table of a provider whose GitHub token the fake exchanges."""
    assert isinstance(stage, CopilotStage)
    token = stage.fake.state.github_token()
    # Under another name, so that Copilot alone can be missing.
    github = stage.url.replace("127.0.0.1", "localhost")
    there = {"base_url": stage.url, "github_url": github, "github_api_url": github}
    return {**there, "token": token, "mode": "exchange"}
