"""Lists of models in the shape that most APIs have taken from OpenAI."""

from __future__ import annotations

from typing import Any

from maestro_daemon.errors import UpstreamBroken
from maestro_daemon.providers.provider import Model


def listed_models(listing: Any) -> list[Model]:
    """The models of ``{"data": [{"id": …}, …]}``, each once; what else is said of one is in its `details`.

    Entries without an id are left out. Raises `UpstreamBroken` for what is no such list.
    """
    data = listing.get("data") if isinstance(listing, dict) else None
    if not isinstance(data, list):
        raise UpstreamBroken("The upstream answered with something else than a list of models.")
    entries = {
        entry["id"]: entry
        for entry in data
        if isinstance(entry, dict) and isinstance(entry.get("id"), str) and entry["id"]
    }
    return [
        Model(id, details={name: value for name, value in entry.items() if name != "id"})
        for id, entry in entries.items()
    ]
