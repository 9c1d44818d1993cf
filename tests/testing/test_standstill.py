"""A check ends although what it checks holds up the loop, and says where."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from maestro_daemon.plugin import Model
from maestro_daemon.testing import Breach, bounded, standstill
from tests.testing.checks import run_check
from tests.testing.right import InProcess, Right, RightOptions, plugin_of


class Spins(Right):
    """Never comes back to the loop."""

    async def models(self) -> Sequence[Model]:
        while True:
            pass


class SpinsAndSaysNothing(Right):
    """Takes every failure for its upstream's."""

    async def models(self) -> Sequence[Model]:
        try:
            while True:
                pass
        except Exception:  # noqa: BLE001
            return [Model("gpt-test")]


@pytest.mark.parametrize("provider", [Spins, SpinsAndSaysNothing])
def test_code_that_blocks_the_loop_is_interrupted_and_named(
    provider: type[Right], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded, "_STANDSTILL", 0.5)
    fields = {"plugin": plugin_of(provider, RightOptions), "patience": 0.2}
    contract = type("Contract", (InProcess,), fields)
    before = signal.getsignal(signal.SIGALRM)
    with pytest.raises(Breach, match=r"stood still for 0\.5 s at .*test_standstill\.py:\d+") as raised:
        run_check(contract, "test_models_are_listed", tmp_path)
    assert raised.value.section == "the-event-loop"
    assert signal.getsignal(signal.SIGALRM) is before


def test_alarms_of_others_still_reach_them() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: heard.append(number))
    try:

        async def check() -> None:
            signal.raise_signal(signal.SIGALRM)
            await asyncio.sleep(0)

        bounded.run(check(), 5.0)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert heard == [signal.SIGALRM]


def test_waiting_is_not_standing_still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "_STANDSTILL", 0.1)
    pump = standstill._Watch._pump
    longer = asyncio.Event()
    beats = iter(range(3 * standstill._LOOKS))

    def counted(watch: standstill._Watch) -> None:
        pump(watch)
        if next(beats, None) is None:
            longer.set()

    monkeypatch.setattr(standstill._Watch, "_pump", counted)

    async def check() -> None:
        await longer.wait()

    bounded.run(check(), 0.5)
