"""Which plugins are installed: the entry points of the group ``maestro_daemon``."""

from __future__ import annotations

import re
from importlib.metadata import Distribution, EntryPoint, distributions
from typing import Final

import structlog

GROUP: Final = "maestro_daemon"
_log = structlog.get_logger(__name__)


def entry_points() -> list[EntryPoint]:
    """The entry points of every installed package; one whose metadata is damaged is logged and left out.

    The standard library's own function fails as a whole at the first damaged package.
    """
    points: list[EntryPoint] = []
    seen: set[str] = set()
    for distribution in distributions():
        try:
            name = re.sub(r"[-_.]+", "-", _name(distribution)).lower()
            if name not in seen:
                points += [point for point in distribution.entry_points if point.group == GROUP]
            seen.add(name)
        except Exception as error:  # noqa: BLE001  (other people's metadata)
            if GROUP in (distribution.read_text("entry_points.txt") or ""):
                _log.warning(
                    "a package's entry points cannot be read", package=_name(distribution), error=str(error)
                )
    return points


def _name(distribution: Distribution) -> str:
    # The annotation of the standard library promises a name; damaged metadata has none.
    name: str | None = distribution.name
    return name or ""
