"""A random storm over real sockets. A failure prints its seed, and ``STORM_SEED`` plays that again."""

from __future__ import annotations

import os
import random
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.faults.cell import nothing_left
from tests.support.faults.storm import storm

GIVEN = os.environ.get("STORM_SEED")


@pytest.mark.parametrize("hedge", [False, True], ids=["plain", "hedged"])
@pytest.mark.parametrize(
    ("requests", "seed"),
    [
        pytest.param(150, int(GIVEN or 1), id="small"),
        pytest.param(
            1500,
            int(GIVEN or random.SystemRandom().randrange(10**6)),
            id="large",
            marks=[pytest.mark.heavy, pytest.mark.timeout(240)],
        ),
    ],
)
async def test_whatever_happens_every_request_is_answered_and_nothing_is_left(
    requests: int, seed: int, hedge: bool, tmp_path: Path, logged: list[MutableMapping[str, Any]]
) -> None:
    print(f"STORM_SEED={seed}")  # noqa: T201  (shown when the test fails)
    async with nothing_left(logged), storm(seed, tmp_path, hedge=hedge) as raging:
        await raging.rage(requests)
        await raging.daemon.daemon.handler.under_way.none()
        print(dict(raging.seen), raging.health.probed, "probes")  # noqa: T201
        answered = sum(count for what, count in raging.seen.items() if what != "reloads")
        assert answered == requests
        assert raging.seen["completed"] > requests / 2
        assert raging.health.probed > 0
        assert raging.health.crowded == set()
        assert +raging.health.probes == {}
        assert all(row["in_flight"] == 0 for row in raging.health.snapshot())
        assert len(raging.daemon.daemon.handler.under_way) == 0
