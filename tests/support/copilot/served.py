"""A house in front of the fake, with one provider of kind ``copilot`` under the name ``work``."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maestro_copilot.options import CopilotOptions
from maestro_copilot.provider import CopilotProvider
from maestro_daemon.events import ResponseEvent
from maestro_daemon.plugin import Provider
from tests.support.copilot.copilot import CopilotHalf, Fake
from tests.support.house import House, house
from tests.support.oracle import check_stream


def copilot_options(fake: Fake, **options: Any) -> CopilotOptions:
    """Options for an account of the fake whose tokens are exchanged."""
    return CopilotOptions.model_validate(
        {
            "token": fake.state.github_token(),
            "base_url": fake.url,
            "github_url": fake.url,
            "github_api_url": fake.url,
            "mode": "exchange",
            **options,
        }
    )


@dataclass(frozen=True)
class Served:
    """The house, its provider, and what stands behind."""

    house: House
    provider: CopilotProvider
    fake: Fake

    @property
    def copilot(self) -> CopilotHalf:
        return self.fake.copilot

    async def ask(
        self, model: str = "gpt-native", *, headers: Mapping[str, str] | None = None, **body: Any
    ) -> dict[str, Any]:
        """A JSON answer, which must be one."""
        sent = {"model": f"work/{model}", "input": "Hi", **body}
        status, _, said = await self.house.post(sent, headers=headers)
        assert status == 200, said
        response: dict[str, Any] = json_of(said)
        return response

    async def refusal(
        self, model: str = "gpt-native", **body: Any
    ) -> tuple[int, Mapping[str, str], dict[str, Any]]:
        """Status, headers and error of a request that must fail."""
        status, headers, said = await self.house.post({"model": f"work/{model}", "input": "Hi", **body})
        assert status >= 400, said
        error: dict[str, Any] = json_of(said)["error"]
        return status, {name.lower(): value for name, value in headers.items()}, error

    async def events(self, model: str = "gpt-native", **body: Any) -> list[dict[str, Any]]:
        """A streamed answer's events, as the strictest judge has let them pass."""
        told = await self.house.stream(model=f"work/{model}", **body)
        last = told[-1]["response"]
        asked = {
            **told[-1],
            "response": {**last, "model": told[0]["response"]["model"]},
        }  # Copilot has its own
        check_stream([ResponseEvent(event["type"], dumped(event)) for event in (*told[:-1], asked)])
        return told

    async def final(self, model: str = "gpt-native", **body: Any) -> dict[str, Any]:
        """The final Response of a streamed answer."""
        response: dict[str, Any] = (await self.events(model, **body))[-1]["response"]
        return response


def json_of(said: bytes) -> Any:
    """Parsed JSON."""
    return json.loads(said)


def dumped(event: Mapping[str, Any]) -> bytes:
    """An event's payload."""
    return json.dumps(event).encode()


@asynccontextmanager
async def serving_copilot(
    fake: Fake,
    state_directory: Path,
    *,
    others: Mapping[str, Provider] | None = None,
    routes: Mapping[str, Sequence[Sequence[str]]] | None = None,
    **options: Any,
) -> AsyncIterator[Served]:
    """Serve it; `others` are further providers, for routes."""
    provider = CopilotProvider("work", copilot_options(fake, **options), state_directory)
    await provider.start()
    async with house({"work": provider, **(others or {})}, routes) as running:
        yield Served(running, provider, fake)
