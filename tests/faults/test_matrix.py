"""The fault matrix: every fault, streamed or not, native or translated, at every position of a route."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import pytest

from tests.support.faults.cell import Cell, cells, play


@pytest.mark.parametrize(
    "cell",
    [pytest.param(cell, marks=() if cell.is_brief else pytest.mark.heavy) for cell in cells()],
    ids=str,
)
async def test_a_fault_is_met_as_its_class_and_moment_demand(
    cell: Cell, logged: list[MutableMapping[str, Any]]
) -> None:
    await play(cell, logged)
