"""What became of the plugins, and how they behave, as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from maestro_daemon.providers.needed_api import API_VERSION
from maestro_daemon.providers.registry import Registry


def report(registry: Registry, providers: Iterable[str] = ()) -> dict[str, Any]:
    """``{"api": version of the contract, "plugins": [row, …]}``.

    `providers` are the names of those that live. A row has the fields of `PluginRow` and of the plugin's
    `Record`, and under ``providers`` those it made.
    """
    living = frozenset(providers)
    rows = []
    for row in registry.rows:
        record = registry.conduct.of(row.name)
        rows.append(
            {
                "name": row.name,
                "distribution": row.distribution,
                "version": row.version,
                "state": row.state,
                "kinds": list(row.kinds),
                "error": row.error,
                "load_seconds": round(row.load_seconds, 6),
                "providers": [name for name in registry.conduct.providers(row.name) if name in living],
                "raised": record.raised,
                "blocked": record.blocked,
                "last_fault": record.last or None,
                "last_fault_at": record.last_at,
            }
        )
    return {"api": API_VERSION, "plugins": rows}
