"""The checks of the contract as pytest would run them, one by one and without pytest around them."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from maestro_daemon.testing import ProviderContract


def every_check() -> dict[str, tuple[str, dict[str, Any]]]:
    """By id (``test_name[parameter]``): the method's name, and what it is called with."""
    return {id: (name, given) for name in _names() for id, given in _parametrized(name)}


def run_check(contract: type[ProviderContract], id: str, folder: Path) -> None:
    """Run one. Raises what it raises."""
    name, given = every_check()[id]
    getattr(contract(), name)(tmp_path=folder, **given)


def _names() -> list[str]:
    found = inspect.getmembers(ProviderContract, inspect.isfunction)
    return [name for name, _ in found if name.startswith("test_")]


def _parametrized(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    marks = getattr(getattr(ProviderContract, name), "pytestmark", [])
    if not marks:
        yield name, {}
        return
    (mark,) = marks
    parameter, values = mark.args
    ids = mark.kwargs.get("ids") or map(str, values)
    for id, value in itertools.zip_longest(ids, values):
        yield f"{name}[{id}]", {parameter: value}
