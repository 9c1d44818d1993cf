"""One line about a running daemon, for ``systemctl status``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

_MOST: Final = 6


def status_line(places: Sequence[str], report: Mapping[str, Any]) -> str:
    """Where it listens, and what it serves: `report` is that of `HealthPages`."""
    said = [f"serving on {' and '.join(places)}"]
    for what in ("providers", "routes"):
        names = [name if each["ready"] else f"{name} (not ready)" for name, each in report[what].items()]
        if names:
            said.append(f"{what}: {_some(names)}")
    if not report["providers"]:
        said.append("no providers")
    return "; ".join(said)


def _some(names: Sequence[str]) -> str:
    if len(names) <= _MOST:
        return ", ".join(names)
    return f"{', '.join(names[: _MOST - 1])} and {len(names) - _MOST + 1} more"
