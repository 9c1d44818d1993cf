from __future__ import annotations

import resource
from collections.abc import MutableMapping
from typing import Any

import pytest

from maestro_daemon.descriptors import make_room


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[int, int]]:
    """The process' limits, as the module sees them."""
    kept = {"now": (1024, 4096)}

    def change(which: int, limits: tuple[int, int]) -> None:
        kept["now"] = limits

    monkeypatch.setattr(resource, "getrlimit", lambda which: kept["now"])
    monkeypatch.setattr(resource, "setrlimit", change)
    return kept


def test_there_is_room_for_clients_and_their_upstreams(
    limits: dict[str, tuple[int, int]], logged: list[MutableMapping[str, Any]]
) -> None:
    make_room(1000)
    assert limits["now"] == (2256, 4096)
    make_room(10)
    assert limits["now"] == (2256, 4096)
    assert logged == []


def test_too_little_room_is_said(
    limits: dict[str, tuple[int, int]], logged: list[MutableMapping[str, Any]]
) -> None:
    make_room(5000)
    assert limits["now"] == (4096, 4096)
    (line,) = logged
    assert (line["limit"], line["wanted"]) == (4096, 10256)
