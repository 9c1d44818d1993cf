"""A list of models that does not come, and will not stop coming, holds up nothing but itself."""

from __future__ import annotations

import asyncio
from typing import Any

from maestro_daemon.providers.catalog import Catalog
from maestro_daemon.providers.provider import Model


class Stubborn:
    """Its `models` ignores every cancellation until `gate` opens."""

    name = "stubborn"

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.calls = 0

    async def models(self) -> list[Model]:
        self.calls += 1
        while not self.gate.is_set():
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                continue
        return [Model("m")]


class Quick(Stubborn):
    """Lists at once."""

    async def models(self) -> list[Model]:
        return [Model("q")]


async def test_a_reading_that_ignores_its_cancellation_is_left_alone(logged: list[Any]) -> None:
    stubborn: Any = Stubborn()
    quick: Any = Quick()
    catalog = Catalog({"s": stubborn, "q": quick}, timeout=0.02)
    await asyncio.wait_for(catalog.refresh(), 10)
    assert [model.id for model in catalog.models("q") or ()] == ["q"]
    assert catalog.failure("s") == "The list of models did not come within 0.02 s."
    assert [line["task"] for line in logged if line["log_level"] == "error"] == ["models of s"]
    stubborn.gate.set()


async def test_it_is_not_asked_again_until_it_is_over() -> None:
    stubborn: Any = Stubborn()
    catalog = Catalog({"s": stubborn}, timeout=0.02)
    await catalog.refresh()
    await catalog.refresh()
    assert stubborn.calls == 1
    assert catalog.failure("s") == "The list of models that was asked for before has not come yet."
    stubborn.gate.set()
    for _ in range(10):
        await asyncio.sleep(0)
    await catalog.refresh()
    assert stubborn.calls == 2
    assert [model.id for model in catalog.models("s") or ()] == ["m"]
