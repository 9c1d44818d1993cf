"""Every row of the table says who saw it and when."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any

from maestro_copilot import quirks
from maestro_copilot.quirks import Meaning, Quirk


def rows(value: Any) -> Iterator[Quirk | Meaning]:
    if isinstance(value, Quirk | Meaning):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from rows(each)
    elif isinstance(value, tuple):
        for each in value:
            yield from rows(each)


def test_every_row_has_its_source_and_its_date() -> None:
    found = [row for value in vars(quirks).values() for row in rows(value)]
    assert len(found) > 40
    for row in found:
        assert row.source.strip()
        datetime.date.fromisoformat(row.noted)
